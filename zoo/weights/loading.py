"""Loading of a state dict into a model: what fitted, what is new, and an error where only part of a body fits.

A head for other classes may be new, and is reported. Anything else that does not fit raises before the model is
touched: half a body loaded in silence trains to a worse model that nobody suspects.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from zoo.errors import WeightsError, nearest

if TYPE_CHECKING:
    from torch import Tensor, nn

logger = logging.getLogger("zoo.weights")

Misfit = tuple[str, tuple[int, ...], tuple[int, ...]]
Conversion = Callable[[dict[str, Any]], Mapping[str, Any]]

SHOWN = 4  # names in a line of the report
SHOWN_IN_ERRORS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What happened to every tensor of the model and of the file, by name.

    loaded:      taken from the file as they are.
    adapted:     first convolution, resized to other input channels: (name, shape in file, shape in model).
    new:         in the model only: freshly initialised.
    mismatched:  of another shape in the file, so freshly initialised: (name, shape in file, shape in model).
    unused:      in the file only.
    num_tensors: tensors of the model that came from the file, of `total_tensors`.
    num_params:  numbers in the parameters among them (no running statistics), of `total_params`.
    """

    loaded: tuple[str, ...]
    adapted: tuple[Misfit, ...] = ()
    new: tuple[str, ...] = ()
    mismatched: tuple[Misfit, ...] = ()
    unused: tuple[str, ...] = ()
    num_tensors: int
    num_params: int
    total_tensors: int
    total_params: int

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"Loaded {self.num_tensors:,} of {self.total_tensors:,} tensors, "
            f"{self.num_params:,} of {self.total_params:,} parameters."
        ]
        rows: tuple[tuple[str, Sequence[str | Misfit], str], ...] = (
            ("adapted", self.adapted, "resized to the input channels, file -> model"),
            ("new", self.new, "not in the file, freshly initialised"),
            ("wrong shape", self.mismatched, "file -> model, freshly initialised"),
            ("unused", self.unused, "in the file only"),
        )
        lines += [f"  {name:<11} {len(items):>4}  {_listed(items)} ({note})" for name, items, note in rows if items]
        return "\n".join(lines)


@dataclass
class _Plan:
    """What `load_weights` is going to do; `values` are the tensors to load by name."""

    values: "dict[str, Tensor]" = field(default_factory=dict)
    loaded: list[str] = field(default_factory=list)
    adapted: list[Misfit] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    mismatched: list[Misfit] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def load_weights(
    model: "nn.Module",
    state_dict: "Mapping[str, Tensor]",
    *,
    strict: bool = False,
    key_conversion: Conversion | str | None = None,
    allow_new_head: bool = True,
    head: str | Sequence[str] | None = None,
    allow: Sequence[str] = (),
    adapt_input_channels: bool = True,
    assign: bool = False,
) -> LoadReport:
    """Loads the tensors that fit `model` and reports on all of them; raises if more than the head does not fit.

    strict:         every tensor of the model and of the file must fit.
    key_conversion: from the file's state dict to one with the model's names, or "module:callable" of such a function.
    allow_new_head: whether the head may be freshly initialised.
    head:           dotted path, or several, of the classifier; None asks the model's attribute `classifier`, and
                    takes the last linear layer where there is none. Side heads that change as it does go with it.
    allow:          dotted paths of further parts that need not fit, such as side heads.
    adapt_input_channels: a first convolution that differs in its input channels only is resized: summed to one
                    channel, which is the answer to a grey image given as RGB; else repeated and scaled.
    assign:         the file's tensors become the model's parameters, without a copy. Needed for a model built on the
                    meta device, whose head, if it does not fit, is then initialised by its `reset_parameters`.
    Raises:         WeightsError, with the model untouched.
    """
    converted = _converted(state_dict, key_conversion)
    heads = _heads(model, head)
    plan = _plan(model, converted, adapt=adapt_input_channels)
    if not any(converted[name].is_floating_point() for name in plan.values):
        raise WeightsError(
            f"Nothing of the file fits {type(model).__name__}. The file has {_listed(list(converted), SHOWN)}; "
            f"the model has {_listed(list(model.state_dict()), SHOWN)}. Is it the file of another model?"
        )
    _check_fit(model, plan, heads=heads if allow_new_head else (), allow=tuple(allow), strict=strict)
    report = _report(model, plan)
    _apply(model, plan, assign=assign)
    logger.info("%s: %s", type(model).__name__, report)
    return report


def _converted(state_dict: "Mapping[str, Tensor]", conversion: Conversion | str | None) -> "Mapping[str, Tensor]":
    """The state dict under the model's names."""
    if conversion is None:
        return state_dict
    if isinstance(conversion, str):
        from zoo.lookup import import_object

        conversion = import_object(conversion)
    try:
        return conversion(dict(state_dict))  # type: ignore[operator]
    except (ValueError, LookupError) as error:
        raise WeightsError(f"The names in the file are not those that its key conversion expects: {error}") from error


def _heads(model: "nn.Module", head: str | Sequence[str] | None) -> tuple[str, ...]:
    """Dotted paths of the classifier: as given, or what fine-tuning would replace."""
    if head is None:
        from zoo.heads import head_path

        try:
            return (head_path(model),)
        except ValueError:  # the model has none
            return ()
    heads = (head,) if isinstance(head, str) else tuple(head)
    parts = {name for name, _ in model.named_modules() if name}
    for name in heads:
        if name not in parts:
            raise ValueError(f"{type(model).__name__} has no part {name!r} to be its head. {nearest(name, parts)}")
    return heads


def _plan(model: "nn.Module", given: "Mapping[str, Tensor]", *, adapt: bool) -> _Plan:
    """Compares names and shapes, and decides what to load."""
    plan = _Plan()
    own = _tensors(model)
    present = {id(tensor) for name, tensor in own.items() if name in given}
    first = _first_convolution(model) if adapt else None
    for name, tensor in own.items():
        if name not in given:
            if id(tensor) in present:  # tied to a tensor that the file holds under its other name
                plan.loaded.append(name)
            elif tensor.is_floating_point():
                plan.new.append(name)
            continue  # a missing counter, such as BatchNorm's num_batches_tracked, is no loss
        value = given[name]
        shapes = (name, tuple(value.shape), tuple(tensor.shape))
        if value.shape == tensor.shape:
            plan.loaded.append(name)
            plan.values[name] = value
        elif name == first and _differs_in_channels(value.shape, tensor.shape):
            plan.adapted.append(shapes)
            plan.values[name] = _with_input_channels(value, tensor.shape[1])
        else:
            plan.mismatched.append(shapes)
    plan.unused = [name for name in given if name not in own]
    return plan


def _tensors(model: "nn.Module") -> "dict[str, Tensor]":
    """The model's own parameters and persistent buffers by name; tied ones are the same object."""
    from torch import Tensor

    return {name: value for name, value in model.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}


def _first_convolution(model: "nn.Module") -> str | None:
    """The name of the weight of the first convolution, None if there is none or it is grouped."""
    from torch import nn

    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            return f"{name}.weight".removeprefix(".") if module.groups == 1 else None
    return None


def _differs_in_channels(given: Sequence[int], own: Sequence[int]) -> bool:
    return len(given) == len(own) and given[0] == own[0] and tuple(given[2:]) == tuple(own[2:])


def _with_input_channels(weight: "Tensor", channels: int) -> "Tensor":
    """A convolution's weight [O, C, ...] for another number of input channels."""
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    order = [index % weight.shape[1] for index in range(channels)]
    return weight[:, order] * (weight.shape[1] / channels)  # the scale keeps the size of the answer


def _check_fit(
    model: "nn.Module", plan: _Plan, *, heads: tuple[str, ...], allow: tuple[str, ...], strict: bool
) -> None:
    """Raises WeightsError if anything but the head and the allowed parts does not fit."""
    free = () if strict else heads + allow
    parts = {name for name, _ in model.named_children()}
    new = [name for name in plan.new if not _within(name, free)]
    changes = {_change_of_rows(row) for row in plan.mismatched if _within(row[0], heads)} - {None}
    mismatched = [
        row
        for row in plan.mismatched
        if strict or (not _within(row[0], free) and _change_of_rows(row) not in changes)  # side heads change alike
    ]
    # A part that the model lacks as a whole, such as side heads, may stay unused; more of a part than the model
    # has, such as further blocks of a stage, tells of a file for a larger model.
    unused = [
        name
        for name in plan.unused
        if strict or (name.partition(".")[0] in parts and not _within(name, heads + allow) and not _is_counter(name))
    ]
    if not (new or mismatched or unused):
        return
    found = [
        f"{len(items)} {what}: {_listed(items, SHOWN_IN_ERRORS)}"
        for what, items in (
            ("of another shape (file -> model)", mismatched),
            ("missing in the file", new),
            ("that the model has no place for", unused),
        )
        if items
    ]
    raise WeightsError(
        f"The file does not fit {type(model).__name__}, and nothing was loaded. Tensors {'; '.join(found)}. "
        "Build the model as the file was trained (its variant, depth and options), name its classifier with "
        "head='...', or name the parts that may differ with allow=['...']."
    )


def _change_of_rows(row: Misfit) -> tuple[int, int] | None:
    """Outputs in the file and in the model, if a layer differs in nothing else."""
    _, given, own = row
    return (given[0], own[0]) if given and own and given[0] != own[0] and given[1:] == own[1:] else None


def _within(name: str, paths: Sequence[str]) -> bool:
    """Whether the tensor `name` belongs to one of the parts; "" is the whole model."""
    return any(path in ("", name) or name.startswith(f"{path}.") for path in paths)


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _report(model: "nn.Module", plan: _Plan) -> LoadReport:
    own = _tensors(model)
    params = {name: tensor.numel() for name, tensor in model.named_parameters()}  # a tied one once
    came = {id(own[name]) for name in [*plan.loaded, *(row[0] for row in plan.adapted)]}
    return LoadReport(
        loaded=tuple(plan.loaded),
        adapted=tuple(plan.adapted),
        new=tuple(plan.new),
        mismatched=tuple(plan.mismatched),
        unused=tuple(plan.unused),
        num_tensors=len(plan.loaded) + len(plan.adapted),
        num_params=sum(count for name, count in params.items() if id(own[name]) in came),
        total_tensors=len(plan.loaded) + len(plan.adapted) + len(plan.new) + len(plan.mismatched),
        total_params=sum(params.values()),
    )


def _apply(model: "nn.Module", plan: _Plan, *, assign: bool) -> None:
    """Writes the planned values into the model."""
    own = _tensors(model)
    on_meta = any(tensor.is_meta for tensor in own.values())
    if not assign:
        if on_meta:
            raise ValueError(f"{type(model).__name__} was built on the meta device: pass assign=True.")
        model.load_state_dict(plan.values, strict=False)
        return
    fresh = list(_without_values(model, plan)) if on_meta else []
    ties = _ties(model, plan)
    # The model decides on the dtype and, unless it is on meta, on the device.
    values = {
        name: value.to(dtype=own[name].dtype, device=value.device if own[name].is_meta else own[name].device)
        for name, value in plan.values.items()
    }
    model.load_state_dict(values, strict=False, assign=True)
    for module in fresh:
        module.to_empty(device="cpu", recurse=False)
        module.reset_parameters()  # type: ignore[operator]
    for owner, attribute, source in ties:
        setattr(owner, attribute, model.get_parameter(source))


def _without_values(model: "nn.Module", plan: _Plan) -> Iterator["nn.Module"]:
    """The modules on the meta device that the file says nothing of, and that can initialise themselves.

    Raises: WeightsError if a module has only a part of its tensors in the file, or cannot initialise itself.
    """
    own = _tensors(model)
    came = {id(own[name]) for name in plan.values}
    for path, module in model.named_modules():
        direct = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
        tensors = {name: tensor for name, tensor in direct.items() if not _is_counter(name)}
        missing = [name for name, tensor in tensors.items() if tensor.is_meta and id(tensor) not in came]
        if missing and (len(missing) < len(tensors) or not hasattr(module, "reset_parameters")):
            raise WeightsError(
                f"{path or type(model).__name__} has no values for {_listed(missing)} in the file, and cannot "
                "initialise them on the meta device. Build the model without it."
            )
        if missing:
            yield module


def _ties(model: "nn.Module", plan: _Plan) -> list[tuple["nn.Module", str, str]]:
    """Parameters that are one object under several names: (owner, attribute, the name whose value counts)."""
    groups: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), []).append(name)
    ties = []
    for names in groups.values():
        source = next((name for name in names if name in plan.values), names[0])
        for name in names:
            if name != source:
                owner, _, attribute = name.rpartition(".")
                ties.append((model.get_submodule(owner), attribute, source))
    return ties


def _listed(items: Sequence[str | Misfit], shown: int = SHOWN) -> str:
    """The first items in words: names, or names with both shapes."""
    words = [item if isinstance(item, str) else f"{item[0]} {list(item[1])} -> {list(item[2])}" for item in items]
    return ", ".join(words[:shown]) + (f" and {len(words) - shown:,} more" if len(words) > shown else "")
