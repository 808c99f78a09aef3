"""A model seen from one of its layers on, so that explanations can lie over what that layer gives.

Token numbers have no gradient, and a waveform is no picture; the embedding of the tokens and the spectrogram inside
the model are what heat can lie over.
"""

from typing import Any

import torch
from torch import Tensor, nn

from zoo.explanation.layers import layer_name
from zoo.modes import evaluation_mode


class FromLayer(nn.Module):
    """Runs a model on fixed inputs with the output of one layer replaced by this module's own input.

    model:         left as it is; its parameters are not this module's.
    layer:         whose output is replaced, every time it runs, or its dotted name.
    inputs:        what the model is called with, of B rows.
    unpack:        whether `inputs` is a tuple of the model's arguments; a dict gives arguments by name.
    channels_last: whether the layer gives [B, *, D]: this module then takes and `values` are [B, D, *], so that
                   methods that sum over channels sum over D.
    values:        what the layer gives for `inputs`.
    Raises:        ValueError if the layer did not run exactly once, or gave no floating-point tensor.
    """

    values: Tensor

    def __init__(
        self,
        model: nn.Module,
        layer: str | nn.Module,
        inputs: Any,
        *,
        unpack: bool = False,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.layer = layer_name(model, layer)
        self.inputs = inputs
        self.unpack = unpack
        self.channels_last = channels_last
        caught: list[Any] = []
        handle = model.get_submodule(self.layer).register_forward_hook(lambda *call: caught.append(call[2]))
        try:
            with torch.no_grad(), evaluation_mode(model):
                self._call(inputs)
        finally:
            handle.remove()
        if len(caught) != 1 or not isinstance(caught[0], Tensor) or not caught[0].is_floating_point():
            came = f"ran {len(caught)} times" if len(caught) != 1 else f"gave {type(caught[0]).__name__}"
            raise ValueError(f"Layer {self.layer!r} must run once and give one floating-point tensor; it {came}.")
        self.values = self._turned(caught[0].detach())

    def forward(self, values: Tensor) -> Any:
        """Values in place of the layer's output, as `values` is shaped, to the model's output.

        Fewer rows than `inputs` has are taken to be its first ones.
        """
        replaced = values.movedim(1, -1) if self.channels_last else values
        handle = self.model.get_submodule(self.layer).register_forward_hook(lambda *call: replaced)
        try:
            few = len(values) < len(self.values)
            return self._call(_first(self.inputs, len(values), of=len(self.values)) if few else self.inputs)
        finally:
            handle.remove()

    def _call(self, inputs: Any) -> Any:
        if isinstance(inputs, dict):
            return self.model(**inputs)
        return self.model(*inputs) if self.unpack else self.model(inputs)

    def _turned(self, values: Tensor) -> Tensor:
        return values.movedim(-1, 1) if self.channels_last else values


def _first(inputs: Any, count: int, *, of: int) -> Any:
    """Nested inputs of `of` rows with the first `count` of them."""
    if isinstance(inputs, Tensor):
        return inputs[:count] if inputs.ndim and len(inputs) == of else inputs
    if isinstance(inputs, dict):
        return {name: _first(value, count, of=of) for name, value in inputs.items()}
    if isinstance(inputs, tuple) and hasattr(inputs, "_fields"):
        return type(inputs)(*(_first(value, count, of=of) for value in inputs))
    if isinstance(inputs, tuple | list):
        return type(inputs)(_first(value, count, of=of) for value in inputs)
    return inputs
