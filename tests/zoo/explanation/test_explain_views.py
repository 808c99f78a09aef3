"""How explanations are drawn that are not of images."""

import pytest
import torch

from zoo.explanation import (
    AttentionView,
    ColumnView,
    Explanation,
    ImageView,
    SignalView,
    SpectrogramView,
    TokenView,
)


def explanation(view, *shape, inputs=None, signed=True, **fields):
    heat = torch.linspace(-1, 1, torch.Size(shape).numel()).view(shape)
    given = heat if inputs is None else inputs
    return Explanation(inputs=given, heat=heat, raw=heat, method="by_hand", signed=signed, view=view, **fields)


def texts_of(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


WORDS = [["a", "lovely", "dress", "\n"], ["too", "small"]]


def test_tokens_are_coloured_by_sign():
    """Fails if evidence for and against look alike, or the padding of the shorter row is drawn."""
    view = TokenView(tokens=WORDS)
    figure = explanation(view, 2, 4, labels=("bad", "good"), target=torch.tensor([1, 0])).figure()
    drawn = texts_of(figure)
    assert drawn.count("small") == 1
    assert "\\n" in drawn
    assert len(drawn) == 2 + 6  # a title and the words of each row
    blue, red = (
        next(text for text in figure.axes[0].texts if text.get_text() == word).get_bbox_patch().get_facecolor()
        for word in ("a", "small")
    )
    assert blue[2] > blue[0]
    assert red[0] > red[2]


def test_unsigned_heat_over_tokens_is_coloured_from_zero():
    """Fails if the token with the least attention looks as if it had none: one alone has all of it."""
    heat = torch.tensor([[0.5, 0.25, 0.0], [1.0, 0.0, 0.0]])
    view = TokenView(tokens=[["half", "quarter", "none"], ["alone"]])
    figure = Explanation(inputs=heat, heat=heat, raw=heat, method="attention", signed=False, view=view).figure()
    texts = {text.get_text(): text for text in figure.axes[0].texts}
    words = ("half", "quarter", "none", "alone")
    fills = {word: sum(texts[word].get_bbox_patch().get_facecolor()[:3]) for word in words}
    assert fills["alone"] == fills["half"] > fills["quarter"] > fills["none"]
    assert any("dark" in text for text in texts), "what the colours mean"


def test_long_texts_are_broken_into_lines():
    """Fails if a long text runs over the edge of the picture."""
    figure = explanation(TokenView(tokens=[["word"] * 100]), 1, 100).figure()
    xs = [text.get_position()[0] for text in figure.axes[0].texts]
    ys = {text.get_position()[1] for text in figure.axes[0].texts}
    assert max(xs) < 96
    assert len(ys) > 5


def test_html_escapes_the_words(tmp_path):
    """Fails if a text with markup becomes part of the page."""
    path = tmp_path / "why.html"
    explanation(TokenView(tokens=[["<script>", "b"]]), 1, 2).save(path)
    page = path.read_text(encoding="utf-8")
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


def test_only_text_becomes_html(tmp_path):
    """Fails if an empty or wrong file is written."""
    with pytest.raises(ValueError, match=r"\.png"):
        explanation(ColumnView(names=["a"]), 1, 1).save(tmp_path / "why.html")
    assert not list(tmp_path.iterdir())


def test_attention_shows_both_sides():
    """Fails if the words of input and output are exchanged."""
    view = AttentionView(sources=[["ein", "Hund", "läuft"]], outputs=[["a", "dog"]])
    figure = explanation(view, 1, 2, 3).figure()
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["ein", "Hund", "läuft"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "dog"]
    assert axes.images[0].get_array().shape == (2, 3)
    assert (axes.get_xlabel(), axes.get_ylabel(), figure.axes[1].get_ylabel()) == ("input", "output", "weight")


def test_columns_are_sorted_by_size():
    """Fails if the largest share is cut off, or names do not follow their bars."""
    view = ColumnView(names=["age", "hours", "sex"], values=[["39", "40", "Male"]], limit=2)
    heat = torch.tensor([[0.1, -3.0, 2.0]])
    found = Explanation(inputs=heat, heat=heat, raw=heat, method="by_hand", signed=True, view=view)
    axes = found.figure().axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["sex = Male", "hours = 40"]
    assert [bar.get_width() for bar in axes.patches] == [2.0, -3.0]


def test_titles_and_units_of_bars_stay_on_the_page():
    """Fails if a long title is cut off at the edge of the picture, or the axis has no unit."""
    view = ColumnView(names=["age"], unit="euros")
    heat = torch.ones(1, 1)
    labels = ["a class whose name is so long that it takes more than one line above its panel"]
    found = Explanation(inputs=heat, heat=heat, raw=heat, method="by_hand", signed=True, labels=labels, view=view)
    figure = found.figure()
    figure.canvas.draw()
    title = figure.axes[0].title.get_window_extent()
    assert figure.bbox.x0 <= title.x0 < title.x1 <= figure.bbox.x1
    assert figure.axes[0].get_xlabel() == "euros"


def test_hundreds_of_rows_are_not_drawn(caplog):
    """Fails if the picture of a whole table takes minutes, or leaves rows out without a word."""
    with caplog.at_level("WARNING", logger="zoo"):
        figure = explanation(ColumnView(names=["a", "b"], values=[["1", "2"]] * 300), 300, 2).figure()
    assert len(figure.axes) == 24
    assert "first 24 of 300" in caplog.text


def test_spectrograms_have_seconds_and_hz():
    """Fails if time is drawn in columns, or the padding is drawn."""
    view = SpectrogramView(hop_seconds=0.01, frequencies_hz=[100.0 * k for k in range(8)], lengths=[10])
    figure = explanation(view, 1, 8, 20, inputs=torch.randn(1, 1, 8, 20)).figure()
    assert len(figure.axes) == 3
    left, right, bottom, top = figure.axes[0].images[0].get_extent()
    assert (left, right, bottom, top) == (0, pytest.approx(0.1), 0, 8)
    assert figure.axes[0].get_yticklabels()[-1].get_text() == "700"


def test_signals_end_where_the_clip_ends():
    """Fails if the padding of a shorter clip is drawn."""
    figure = explanation(SignalView(sample_rate_hz=100.0, lengths=[50, 20]), 2, 50).figure()
    assert [axes.lines[0].get_xdata()[-1] for axes in figure.axes] == [pytest.approx(0.49), pytest.approx(0.19)]


def test_boxes_are_outlined_on_images():
    """Fails if the box of one row is drawn on another."""
    view = ImageView(boxes=[[(1, 2, 5, 7)], []])
    figure = explanation(view, 2, 8, 8, inputs=torch.rand(2, 3, 8, 8)).figure()
    outlined = [axes for axes in figure.axes if axes.patches]
    assert len(outlined) == 2
    assert outlined[0].patches[0].get_bbox().extents.tolist() == [1, 2, 5, 7]


@pytest.mark.parametrize(
    ("view", "shape"),
    [
        (TokenView(tokens=[["a"] * 9]), (1, 4)),
        (AttentionView(sources=[["a"]], outputs=[["b"]]), (1, 4)),
        (ColumnView(names=["a"]), (1, 4)),
        (SpectrogramView(hop_seconds=0.1, frequencies_hz=[1.0]), (1, 4, 4)),
        (SignalView(sample_rate_hz=1.0), (1, 4, 4)),
    ],
)
def test_heat_of_another_kind_is_refused(view, shape):
    """Fails if a wrong picture is drawn, or the error is matplotlib's."""
    with pytest.raises(ValueError, match=r"\["):
        explanation(view, *shape).figure()
