"""The record of one part, and the table of all parts of one kind. Plain data: reading it imports no torch."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zoo.errors import check_name
from zoo.lookup import check_arguments, import_object


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is had by name: a loss, an optimizer, a layer.

    builder: "module:callable", imported when the part is used.
    source:  where it comes from: authors, year, arXiv id or DOI, and the section or equation; "own" where nowhere.
    summary: one line.
    """

    name: str
    builder: str
    source: str
    summary: str


class PartTable(Mapping[str, Callable[..., Any]]):
    """The parts of one kind: a mapping from names to what builds them, imported only when it is taken.

    kind:  as errors and `zoo list-parts` call it: "loss".
    given: how many arguments the caller of `make` hands over by place before the options, such as the parameters of an
           optimizer.
    """

    def __init__(self, kind: str, *parts: Part, given: int = 0) -> None:
        self.kind = kind
        self.given = given
        self.parts = {part.name: part for part in parts}
        if len(self.parts) != len(parts):
            raise ValueError(f"Two parts of the kind {kind} share a name.")

    def __getitem__(self, name: str) -> Callable[..., Any]:
        builder: Callable[..., Any] = import_object(self.parts[name].builder)
        return builder

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def check(self, name: str, options: Mapping[str, Any] | None = None) -> Callable[..., Any]:
        """What builds the part `name`, which takes `options`.

        Raises: UnknownNameError or UnknownArgumentError, each with the nearest valid names; ValueError for an option of
                another plain type than the builder takes.
        """
        check_name(self.kind, name, self.parts)
        builder = self[name]
        # Binding what is handed over by place leaves the arguments that are options.
        options_of = functools.partial(builder, *(None,) * self.given) if self.given else builder
        check_arguments(f"{self.kind[0].upper()}{self.kind[1:]} {name!r}", options_of, options or {})
        return builder

    def make(self, name: str, *given: Any, **options: Any) -> Any:
        """The part called `name`, built. Raises: as `check`."""
        return self.check(name, options)(*given, **options)

    def bind(self, name: str, **options: Any) -> Callable[..., Any]:
        """The function called `name` with its options bound. Raises: as `check`."""
        return functools.partial(self.check(name, options), **options)

    def option_names(self, name: str) -> list[str]:
        """The options that the part `name` takes."""
        parameters = list(inspect.signature(self[name]).parameters.values())[self.given :]
        return [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
