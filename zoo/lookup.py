"""Objects by reference, and arguments checked before they are used."""

import importlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Any, get_args, get_origin

from zoo.errors import UnknownArgumentError, nearest

PLAIN_TYPES = {bool, int, float, str, type(None)}
"""What a value read from text can be; only these are checked against annotations."""


def import_object(reference: str) -> Any:
    """The object that "package.module:name" refers to."""
    module, separator, name = reference.partition(":")
    if not separator:
        raise ValueError(f"Expected a reference of the form 'package.module:name', got {reference!r}.")
    return getattr(importlib.import_module(module), name)


def check_arguments(name: str, builder: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Checks arguments against the parameters of `builder`, before anything is built.

    Raises: UnknownArgumentError with the nearest valid names if it does not take one of them; ValueError if a number or
            text is given where its annotation wants another plain type, or a text where it wants a list, whose
            letters would be taken for the items.
    """
    parameters = inspect.signature(builder).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for argument, value in arguments.items():
        if argument in parameters:
            wanted = parameters[argument].annotation
            if isinstance(value, str) and _wants_a_list(wanted):
                items = json.dumps([part.strip() for part in value.split(",")])
                raise ValueError(f"{name}: {argument} must be a list, such as {items}, got {value!r}.")
            if not _is_plain_fit(value, wanted):
                words = getattr(wanted, "__name__", None) if isinstance(wanted, type) else None
                raise ValueError(f"{name}: {argument} must be {words or wanted}, got {value!r}.")
        elif not takes_any:
            hint = nearest(argument, parameters)
            every = "" if hint.startswith("Known") else f" Valid: {', '.join(parameters) or 'none'}."
            raise UnknownArgumentError(f"{name} takes no argument {argument!r}. {hint}{every}")


def _wants_a_list(annotation: Any) -> bool:
    """Whether the annotation allows lists or tuples, and beside them plain types other than text alone."""
    kinds = _kinds(annotation)
    lists = {kind for kind in kinds if get_origin(kind) in (Sequence, list, tuple)}
    return bool(lists) and kinds - lists <= PLAIN_TYPES - {str}


def _kinds(annotation: Any) -> set[Any]:
    return set(get_args(annotation)) if isinstance(annotation, UnionType) else {annotation}


def _is_plain_fit(value: Any, annotation: Any) -> bool:
    """False only for a plain value where the annotation allows plain types alone, and not this one's."""
    kinds = _kinds(annotation)
    if not kinds <= PLAIN_TYPES or type(value) not in PLAIN_TYPES:
        return True
    return type(value) in kinds or (type(value) is int and float in kinds)
