"""The head of a network: the module that turns features into outputs, and that fine-tuning replaces."""

from collections.abc import Iterable

from torch import nn

SIDE_HEAD = "aux"  # how torchvision, timm, transformers and the zoo begin the names of side heads


def head_path(model: nn.Module) -> str:
    """Dotted path of the module that turns features into outputs.

    It is what the model names as `classifier` (native models) or in `pretrained_cfg` (timm), or stands beside the
    body (transformers); else the last linear layer in the order of definition, or the last convolution where there is
    none.
    Raises: ValueError if the model has neither.
    """
    return head_paths(model)[0]


def head_paths(model: nn.Module) -> tuple[str, ...]:
    """The head of `head_path`, then other modules that give outputs of their own from the same body.

    Those are the second classifier of a distilled model, and the side heads of GoogLeNet, Inception and segmentation
    networks, which are known by their names: they begin with "aux".
    """
    found = _find_heads(model)
    if not found:
        raise ValueError(f"{type(model).__name__} has no linear layer or convolution that could be its head.")
    return found


def parts_above_body(model: nn.Module) -> tuple[str, ...]:
    """All that fine-tuning replaces or trains first.

    Of a model that names its `body`, a dotted path such as "encoder", that is all else; of others `head_paths`, if they
    have a head, and layers that transformers puts between body and head.
    """
    body = getattr(model, "body", None)
    if isinstance(body, str):
        return _beside_path(model, body)
    heads = _find_heads(model)
    return (*heads, *(name for name in _beside_body(model) if name not in heads))


def _beside_path(model: nn.Module, path: str) -> tuple[str, ...]:
    """The largest parts with parameters that neither hold the module at `path` nor lie in it."""
    model.get_submodule(path)  # for its error
    found: list[str] = []
    module, before = model, ""
    for step in path.split("."):
        beside = dict(module.named_children())
        found += [before + name for name in _with_parameters(beside) if name != step]
        module, before = beside[step], f"{before}{step}."
    return tuple(found)


def _find_heads(model: nn.Module) -> tuple[str, ...]:
    found = _named_heads(model) or _classifiers_beside_body(model) or _last_layer(model)
    return (*found, *(name for name in _side_heads(model) if name not in found)) if found else ()


def _named_heads(model: nn.Module) -> tuple[str, ...]:
    named = getattr(model, "classifier", None)
    if isinstance(named, str):
        return (named,)
    config = getattr(model, "pretrained_cfg", None)
    given = config.get("classifier") if isinstance(config, dict) else None
    present = {name for name, _ in model.named_modules()}
    return tuple(name for name in ((given,) if isinstance(given, str) else given or ()) if name in present)


def _beside_body(model: nn.Module) -> list[str]:
    """The children with parameters beside a transformers model's body."""
    body = getattr(model, "base_model_prefix", None)
    children = dict(model.named_children())
    if not isinstance(body, str) or body not in children:
        return []
    return [name for name in _with_parameters(children) if name != body]


def _classifiers_beside_body(model: nn.Module) -> tuple[str, ...]:
    """Of several parts beside the body, those named for classes, the last first: it is what the model returns."""
    parts = [name for name in _beside_body(model) if not name.startswith(SIDE_HEAD)]
    named = [name for name in parts if "class" in name and not name.startswith("pre")]
    return tuple(reversed(named)) or tuple(parts[-1:])


def _side_heads(model: nn.Module) -> list[str]:
    children = dict(model.named_children())
    return [name for name in _with_parameters(children) if name.lower().startswith(SIDE_HEAD)]


def _with_parameters(children: dict[str, nn.Module]) -> Iterable[str]:
    return (name for name, child in children.items() if any(True for _ in child.parameters()))


def _last_layer(model: nn.Module) -> tuple[str, ...]:
    side = tuple(f"{name}." for name in _side_heads(model))
    modules = [(name, module) for name, module in model.named_modules() if name and not f"{name}.".startswith(side)]
    for kind in (nn.Linear, nn.modules.conv._ConvNd):
        found = [name for name, module in modules if isinstance(module, kind)]
        if found:
            return (found[-1],)
    return ()
