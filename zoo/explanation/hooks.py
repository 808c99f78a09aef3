"""Borrowing a model: run it, look at layers inside, and give it back exactly as it was.

Shapes: B rows, the rest as the layer has them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

ForwardHook = Callable[[str, nn.Module, tuple[Any, ...], Any], Any]


@contextmanager
def borrowed(model: nn.Module, inputs: Tensor) -> Iterator[None]:
    """Inside: evaluation mode, frozen parameters, gradients possible whatever the caller has switched off.

    After, also after an exception: the mode of every submodule, every `requires_grad` and the state of the random
    number generators are what they were. No parameter gets a gradient, so nothing before the explained layer is kept.
    """
    modes = [(module, module.training) for module in model.modules()]
    trainable = [p for p in model.parameters() if p.requires_grad and p.is_leaf and not p.is_inference()]
    tensors = [inputs, *model.parameters(), *model.buffers()]
    devices = sorted({t.device.index or 0 for t in tensors if t.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices), torch.inference_mode(False), torch.enable_grad():
        try:
            for module, _ in modes:
                module.training = False  # not .eval(): models may override it with more than the flag
            for parameter in trainable:
                parameter.requires_grad_(False)
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            for parameter in trainable:
                parameter.requires_grad_(True)


@contextmanager
def hooked(modules: Mapping[str, nn.Module], hook: ForwardHook) -> Iterator[None]:
    """Inside: `hook(name, module, args, output)` runs after the forward of each of `modules`; afterwards none does."""
    with ExitStack() as stack:
        for name, module in modules.items():
            stack.callback(module.register_forward_hook(partial(hook, name)).remove)
        yield


def run_and_capture(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> tuple[Any, dict[str, Tensor]]:
    """The model's output and the output of each named layer, with a graph from the earliest layer to the output.

    The model goes on with copies, so that in-place operations (ReLU) after a layer leave what was captured alone.
    A layer that runs several times gives its last output, one that gives a tuple its first element.
    Raises: ValueError for a layer that did not run or gave no floating-point tensor.
    """
    modules = dict(model.named_modules())
    captured: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        tensor = output[0] if type(output) is tuple and output else output
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            kind = type(module).__name__
            raise ValueError(f"Layer {name!r} ({kind}) gives {type(tensor).__name__}, not a floating-point tensor.")
        kept = tensor.clone()
        captured[name] = kept if kept.requires_grad else kept.requires_grad_()
        passed_on = captured[name].clone()
        return (passed_on, *output[1:]) if type(output) is tuple else passed_on

    with hooked({name: modules[name] for name in layers}, keep):
        output = model(inputs)
    for name in layers:
        if name not in captured:
            raise ValueError(f"Layer {name!r} does not run in the forward pass of {type(model).__name__}.")
    return output, captured
