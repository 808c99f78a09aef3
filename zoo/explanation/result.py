"""The record that every explanation comes back as.

Shapes: B rows, C classes; `*` is the input without its channels ([H, W] for images).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from zoo.explanation.views import ImageView, TokenView, View

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Explanation:
    """Heat over a batch of inputs, with what is needed to read and to draw it.

    inputs:        [B, C, *] as the model saw them.
    heat:          [B, *] float32, more is more evidence; below zero is evidence against where `signed` says so.
    raw:           what the method computed before it was brought to the input's shape: [B, h, w] over the cells of
                   the layer for the CAM family, [B, C, *] attributions for the gradient methods.
    method:        name of the method.
    signed:        whether the sign of the heat has a meaning.
    layer:         dotted name of the layer looked at, None for methods that look at the input.
    target:        [B] the class explained, None if a target_function was.
    logits:        [B, C] of the model for the inputs, None if it gives none.
    labels:        class names in the order of the logits; without `target`, what to call each row [B].
    view:          what the heat lies over, and so how it is drawn.
    """

    inputs: Tensor
    heat: Tensor
    raw: Tensor
    method: str
    signed: bool
    layer: str | None = None
    target: Tensor | None = None
    logits: Tensor | None = None
    labels: Sequence[str] | None = None
    view: View = field(default_factory=ImageView)

    def __repr__(self) -> str:
        return f"Explanation({self.method}, layer={self.layer!r}, heat={list(self.heat.shape)})"

    def __len__(self) -> int:
        return len(self.heat)

    @property
    def probabilities(self) -> Tensor | None:
        """[B] probability of the target class: softmax over the logits, the sigmoid where there is one logit only."""
        if self.logits is None or self.target is None:
            return None
        logits = self.logits.float()
        if logits.shape[1] == 1:
            return logits[:, 0].sigmoid()
        return logits.softmax(dim=1).gather(1, self.target[:, None])[:, 0]

    def title(self, row: int) -> str:
        """Class name (or number) and probability of one row, in words."""
        if self.target is None or self.probabilities is None:
            return str(self.labels[row]) if self.target is None and self.labels is not None else "target function"
        index = int(self.target[row])
        name = str(self.labels[index]) if self.labels is not None else f"class {index}"
        return f"{name}, {100 * float(self.probabilities[row]):.1f} %"

    def figure(self) -> "Figure":
        """A matplotlib figure with the heat of every row over its input."""
        return self.view.draw(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the figure; the suffix of `path` chooses the format (.png, .pdf, .svg; .html for text)."""
        if Path(path).suffix.lower() != ".html":
            self.figure().savefig(path)
        elif isinstance(self.view, TokenView):
            Path(path).write_text(self.view.html(self), encoding="utf-8")
        else:
            raise ValueError(f"Only explanations of text are written as HTML; give {path} the suffix .png.")
