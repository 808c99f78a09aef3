"""BLEU and chrF against sacrebleu's functions, error rates against jiwer's and an edit distance written out."""

import math

import pytest

from zoo.metrics import BLEU, UndefinedMetricWarning, bleu, cer, chrf, make_metric, wer

TEXTS = ["A dog runs over the green grass.", "Two men talk", "nothing at all here now"]
ANSWERS = [("A dog runs over green grass.", "Dog runs."), ("Two men are talking .",), ("A woman sings here now .",)]
RIGHT = [answers[0] for answers in ANSWERS]


def edits(one, other):
    """Levenshtein's distance, by its recurrence."""
    row = list(range(len(other) + 1))
    for number, left in enumerate(one, 1):
        before, row[0] = row[0], number
        for place, right in enumerate(other, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (left != right))
    return row[-1]


@pytest.mark.parametrize("lowercase", [True, False])
def test_bleu_and_chrf_are_sacrebleus(lowercase):
    """Fails if batches are averaged, streams of references turned the wrong way, or case is not what was asked for."""
    import sacrebleu

    streams = [[answers[0] for answers in ANSWERS], ["Dog runs.", None, None]]
    upper = [text.upper() for text in TEXTS]
    expected = {
        "bleu": sacrebleu.corpus_bleu(upper, streams, lowercase=lowercase).score,
        "chrf": sacrebleu.CHRF(lowercase=lowercase).corpus_score(upper, streams).score,
    }
    for name, value in expected.items():
        metric = make_metric(name, lowercase=lowercase)
        for rows in (slice(0, 2), slice(2, 2), slice(2, 3)):
            metric.update(upper[rows], ANSWERS[rows])
        assert metric.compute() == pytest.approx(value)
    assert bleu(upper, ANSWERS, lowercase=lowercase) == pytest.approx(expected["bleu"])
    assert chrf(upper, ANSWERS, lowercase=lowercase) == pytest.approx(expected["chrf"])


def test_a_right_answer_may_be_one_text():
    """Fails if a text passes for a sequence of one-letter answers."""
    assert bleu(TEXTS, RIGHT) == pytest.approx(bleu(TEXTS, [(right,) for right in RIGHT]))
    assert bleu(RIGHT, RIGHT) == pytest.approx(100)
    assert BLEU(tokenize="char").signature().split("|")[3] == "tok:char"


@pytest.mark.parametrize(("name", "own"), [("wer", wer), ("cer", cer)])
def test_error_rates_are_over_the_corpus(name, own):
    """Fails if rates of texts are averaged, or edits divided by the produced texts' length."""
    import jiwer

    expected = {"wer": jiwer.wer, "cer": jiwer.cer}[name](RIGHT, TEXTS)
    split = str.split if name == "wer" else list
    by_hand = sum(edits(split(text), split(right)) for text, right in zip(TEXTS, RIGHT, strict=True))
    assert own(TEXTS, RIGHT) == pytest.approx(expected)
    assert expected == pytest.approx(by_hand / sum(len(split(right)) for right in RIGHT))
    metric = make_metric(name)
    for rows in (slice(0, 1), slice(1, 1), slice(1, 3)):
        metric.update(TEXTS[rows], RIGHT[rows])
    assert metric.compute() == pytest.approx(expected)
    resumed = make_metric(name)
    resumed.load_state_dict(metric.state_dict())
    assert resumed.compute() == metric.compute()


def test_error_rates_by_hand():
    """One word of three is another, one of two is missing, three words are too many for an empty text: 5 of 5."""
    texts, right = ["a x c", "d", "e f g"], ["a b c", "d e", ""]
    assert wer(texts[:2], right[:2]) == pytest.approx(2 / 5)
    assert wer(texts, right) == 1
    assert wer([""], ["a b"]) == 1
    assert wer(["A"], ["a"]) == 1
    assert cer(["abd"], ["abc"]) == pytest.approx(1 / 3)


@pytest.mark.parametrize("name", ["bleu", "chrf", "wer", "cer"])
def test_nothing_seen_is_undefined(name):
    with pytest.warns(UndefinedMetricWarning, match="no text was seen"):
        assert math.isnan(make_metric(name).compute())


@pytest.mark.parametrize("own", [wer, cer])
def test_empty_right_texts_are_undefined(own):
    """Fails if a rate over no word is 0, or infinite."""
    with pytest.warns(UndefinedMetricWarning, match="right texts are empty"):
        assert math.isnan(own(["a", ""], ["", ""]))


@pytest.mark.parametrize("name", ["bleu", "wer"])
def test_what_does_not_fit_raises(name):
    """Fails if one text is taken for as many as it has letters."""
    metric = make_metric(name)
    with pytest.raises(TypeError, match="sequence of texts"):
        metric.update("abc", ["a", "b", "c"])
    with pytest.raises(TypeError, match="sequence of texts"):
        metric.update([None], ["a"])
    with pytest.raises(ValueError, match="2 texts need as many"):
        metric.update(["a", "b"], ["a"])
    if name == "wer":
        with pytest.raises(TypeError, match="one right text"):
            metric.update(["a"], [("a", "b")])
    else:
        with pytest.raises(ValueError, match="one has none"):
            metric.update(["a"], [()])
