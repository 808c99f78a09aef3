"""What an explanation lies over, and so how it is drawn: images, spectrograms, signals, tokens, columns.

A view holds what the heat alone does not say, such as the words behind the token numbers.
Shapes: B rows, T steps or tokens, F columns or frequencies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from zoo.records import ImagePreprocessing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.explanation.result import Explanation

Box = Sequence[float]


class View(Protocol):
    """A way to draw an explanation."""

    def draw(self, explanation: "Explanation") -> "Figure":
        """A picture of every row.

        Raises: ValueError if the heat is not of the kind that this view is for.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ImageView:
    """Heat [B, H, W] over images [B, C, H, W]: input, heat, and heat over the input.

    preprocessing: what normalised the inputs; without it each image is stretched to its full range.
    boxes:         of each row, (left, top, right, bottom) in pixels of the input, to be outlined.
    """

    preprocessing: ImagePreprocessing | None = None
    boxes: Sequence[Sequence[Box]] = ()

    def draw(self, explanation: "Explanation") -> "Figure":
        """Three panels a row."""
        from zoo.explanation.pictures.image import draw

        return draw(explanation, preprocessing=self.preprocessing, boxes=self.boxes)


@dataclass(frozen=True, kw_only=True)
class SpectrogramView:
    """Heat [B, F, T] over spectrograms [B, 1, F, T], low frequencies first.

    hop_seconds:    from one column to the next.
    frequencies_hz: centre of each row [F].
    lengths:        of each row's clip, in columns; the rest is padding and not drawn.
    """

    hop_seconds: float
    frequencies_hz: Sequence[float]
    lengths: Sequence[int] = ()

    def draw(self, explanation: "Explanation") -> "Figure":
        """The spectrogram, the heat, and the heat over the spectrogram, with seconds and Hz."""
        from zoo.explanation.pictures.spectrogram import draw

        return draw(explanation, hop_seconds=self.hop_seconds, frequencies_hz=self.frequencies_hz, lengths=self.lengths)


@dataclass(frozen=True, kw_only=True)
class SignalView:
    """Heat [B, T] over signals [B, T] or [B, 1, T]."""

    sample_rate_hz: float
    lengths: Sequence[int] = ()

    def draw(self, explanation: "Explanation") -> "Figure":
        """The signal over time, coloured by its heat."""
        from zoo.explanation.pictures.signal import draw

        return draw(explanation, sample_rate_hz=self.sample_rate_hz, lengths=self.lengths)


@dataclass(frozen=True, kw_only=True)
class TokenView:
    """Heat [B, T] over tokens.

    tokens: the words of each row; those beyond are padding and not drawn.
    """

    tokens: Sequence[Sequence[str]]

    def draw(self, explanation: "Explanation") -> "Figure":
        """Coloured text."""
        from zoo.explanation.pictures.tokens import draw

        return draw(explanation, tokens=self.tokens)

    def html(self, explanation: "Explanation") -> str:
        """Coloured text as a page of its own."""
        from zoo.explanation.pictures.tokens import page

        return page(explanation, tokens=self.tokens)


@dataclass(frozen=True, kw_only=True)
class AttentionView:
    """Heat [B, T_out, T_in]: from which input tokens each output token was made.

    sources, outputs: the words of each row; those beyond are padding and not drawn.
    """

    sources: Sequence[Sequence[str]]
    outputs: Sequence[Sequence[str]]

    def draw(self, explanation: "Explanation") -> "Figure":
        """A map with the words at its sides."""
        from zoo.explanation.pictures.attention import draw

        return draw(explanation, sources=self.sources, outputs=self.outputs)


@dataclass(frozen=True, kw_only=True)
class ColumnView:
    """Heat [B, F] over the columns of a table.

    names:  of the columns [F].
    values: what each row holds, as text; none where the heat is of no single row.
    limit:  most columns drawn, those with the most heat.
    unit:   of the heat, in words for the axis.
    """

    names: Sequence[str]
    values: Sequence[Sequence[str]] = ()
    limit: int = 20
    unit: str = ""

    def draw(self, explanation: "Explanation") -> "Figure":
        """Bars, the longest first."""
        from zoo.explanation.pictures.columns import draw

        return draw(explanation, names=self.names, values=self.values, limit=self.limit, unit=self.unit)
