"""The head of a network: the module that turns features into outputs, and that fine-tuning replaces."""

from torch import nn


def head_path(model: nn.Module) -> str:
    """Dotted path of the module that turns features into outputs.

    It is what the model names as `classifier` (native models) or in `pretrained_cfg` (timm); else the last linear
    layer in the order of definition, or the last convolution where there is none.
    Raises: ValueError if the model has neither.
    """
    named = getattr(model, "classifier", None)
    if isinstance(named, str):
        return named
    config = getattr(model, "pretrained_cfg", None)
    if isinstance(config, dict) and config.get("classifier"):
        first = config["classifier"]
        return first if isinstance(first, str) else first[0]
    modules = list(model.named_modules())
    for kind in (nn.Linear, nn.modules.conv._ConvNd):
        found = [name for name, module in modules if isinstance(module, kind) and name]
        if found:
            return found[-1]
    raise ValueError(f"{type(model).__name__} has no linear layer or convolution that could be its head.")
