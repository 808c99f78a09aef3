"""Tokens coloured by their heat, as a matplotlib figure and as a page of HTML."""

import html
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from zoo.explanation.pictures import rows_drawn
from zoo.explanation.pictures.image import INPUT_PERCENTILE, colour

if TYPE_CHECKING:
    from zoo.explanation.result import Explanation

LINE_CHARACTERS = 96
LINE_INCHES, CHARACTER_INCHES = 0.3, 0.085
FONT_POINTS = 9.5


def draw(explanation: "Explanation", *, tokens: Sequence[Sequence[str]]) -> Figure:
    """One paragraph of coloured text a row, under its title.

    Raises: ValueError if the heat is not over these tokens.
    """
    tokens = tokens[: rows_drawn(len(tokens))]
    rows = [_colours(explanation, row, words) for row, words in enumerate(tokens)]
    lines = [_lines(words) for words in tokens]
    height = sum(len(row) + 2 for row in lines)
    figure = Figure(figsize=((LINE_CHARACTERS + 4) * CHARACTER_INCHES, height * LINE_INCHES), dpi=150)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-2, LINE_CHARACTERS + 2)
    axes.set_ylim(height, 0)
    top = 0.0
    for row, row_lines in enumerate(lines):
        note = " (red for, blue against)" if explanation.signed else " (from dark, none, to bright)"
        title = "\n".join(textwrap.wrap(explanation.title(row), LINE_CHARACTERS))
        axes.text(0, top + 0.6, f"{title}   {explanation.method.replace('_', ' ')}{note}", fontsize=8, va="center")
        for number, line in enumerate(row_lines):
            for index, start in line:
                word = shown(tokens[row][index])
                fill, ink = rows[row][index]
                axes.text(
                    start, top + 1.5 + number, word, family="monospace", fontsize=FONT_POINTS, va="center",
                    color=ink, bbox={"facecolor": fill, "edgecolor": "none", "pad": 1.5},
                )  # fmt: skip
        top += len(row_lines) + 2
    return figure


def page(explanation: "Explanation", *, tokens: Sequence[Sequence[str]]) -> str:
    """The same as HTML that needs nothing else; the heat of a token shows when one points at it."""
    paragraphs = []
    for row, words in enumerate(tokens):
        colours = _colours(explanation, row, words)
        spans = [
            f'<span style="background:{_css(fill)};color:{ink}" title="{float(explanation.heat[row, index]):+.4g}">'
            f"{html.escape(shown(word))}</span>"
            for index, (word, (fill, ink)) in enumerate(zip(words, colours, strict=True))
        ]
        paragraphs.append(f"<h3>{html.escape(explanation.title(row))}</h3>\n<p>{' '.join(spans)}</p>")
    style = "body{font:16px/1.8 monospace;max-width:60em;margin:2em auto}span{padding:1px 3px;border-radius:3px}"
    head = f'<meta charset="utf-8"><title>{html.escape(explanation.method)}</title><style>{style}</style>'
    return f"<!doctype html><html><head>{head}</head><body>\n" + "\n".join(paragraphs) + "\n</body></html>\n"


def shown(token: str) -> str:
    """A token in which white space can be seen."""
    text = token.replace("\n", "\\n").replace("\t", "\\t")
    return text if text.strip() else text.replace(" ", "␣") or "∅"


def _colours(explanation: "Explanation", row: int, words: Sequence[str]) -> list[tuple[np.ndarray, str]]:
    """Fill, 0..1 [3], and colour of the letters of each token."""
    if explanation.heat.ndim != 2 or len(words) > explanation.heat.shape[1]:
        raise ValueError(f"{len(words)} tokens do not fit heat of the shape {list(explanation.heat.shape)}.")
    heat = explanation.heat[row, : len(words)].detach().float().cpu().numpy()[None]  # [1, T]
    percentile = 100.0 if len(words) < 50 else INPUT_PERCENTILE
    heat = np.pad(heat, ((0, 0), (0, 1)))  # a zero: unsigned heat is coloured from there up, not from its least token
    fills = colour(heat, signed=explanation.signed, percentile=percentile)[0][0, :-1]
    return [(fill, "black" if fill @ (0.299, 0.587, 0.114) > 0.5 else "white") for fill in fills]


def _lines(words: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Lines of (number of the token, first character)."""
    lines: list[list[tuple[int, int]]] = [[]]
    position = 0
    for index, word in enumerate(words):
        length = len(shown(word))
        if position and position + length > LINE_CHARACTERS:
            lines.append([])
            position = 0
        lines[-1].append((index, position))
        position += length + 1
    return lines


def _css(fill: np.ndarray) -> str:
    return "rgb({},{},{})".format(*(round(255 * float(part)) for part in fill))
