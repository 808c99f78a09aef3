"""Names to entries: the catalogues of the installed task packages, and what users register.

A catalogue is data, found through the entry-point group `zoo.catalogs`; a third-party package adds its own in the
same way. Nothing here imports torch until a model is built, and no look-up writes anything.
"""

import fnmatch
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from zoo.errors import CatalogError, DuplicateNameError, UnknownNameError, check_name, nearest
from zoo.lookup import check_arguments, import_object
from zoo.parts import CORE_TABLES, Part, PartTable
from zoo.records import Catalog, Entry, Paper, TaskEntry, Weights

if TYPE_CHECKING:
    from os import PathLike

    from torch import nn

    from zoo.weights import LoadReport

BuilderT = TypeVar("BuilderT", bound=Callable[..., Any])

CATALOG_GROUP = "zoo.catalogs"
DISTRIBUTION = "domain-zoo"
BACKENDS = ("timm", "torchvision", "hf", "torchaudio")


@dataclass
class Registry:
    """Entries and tasks by name. `models` and `tasks` are filled from the catalogues at the first look-up."""

    models: dict[str, Entry] = field(default_factory=dict)
    tasks: dict[str, TaskEntry] = field(default_factory=dict)
    demos: dict[str, str] = field(default_factory=dict)
    tables: list[PartTable] = field(default_factory=lambda: [*CORE_TABLES])

    def add(self, catalog: Catalog) -> None:
        """Adds a whole catalogue, or nothing of it.

        Raises: DuplicateNameError if a name is taken, also twice within the catalogue.
        """
        kinds: tuple[tuple[str, Mapping[str, Any], list[str]], ...] = (
            ("model", self.models, [entry.name for entry in catalog.models]),
            ("task", self.tasks, [entry.name for entry in catalog.tasks]),
            ("demo", self.demos, list(catalog.demos)),
        )
        for kind, known, names in kinds:
            taken = sorted({name for name in names if name in known or names.count(name) > 1})
            if taken:
                raise DuplicateNameError(f"The {kind} name {taken[0]!r} is taken already; choose another name.")
        self.models.update({entry.name: entry for entry in catalog.models})
        self.tasks.update({entry.name: entry for entry in catalog.tasks})
        self.demos.update(catalog.demos)
        self.tables += catalog.parts


@functools.cache
def registry() -> Registry:
    """The registry of this process, with every installed catalogue in it."""
    found = Registry()
    for point in sorted(entry_points(group=CATALOG_GROUP), key=lambda point: (not _is_own(point), point.name)):
        try:
            catalog = point.load()
            if not isinstance(catalog, Catalog):
                raise TypeError(f"expected a zoo.records.Catalog, got {type(catalog).__name__}")
            found.add(catalog)
        except Exception as error:  # a third party's code may raise anything; the cause is kept
            owner = f" of the package {point.dist.name} {point.dist.version}" if point.dist is not None else ""
            raise CatalogError(
                f"The catalogue {point.name!r}{owner} ({point.value}) cannot be used: {type(error).__name__}: {error}. "
                "Repair or uninstall that package."
            ) from error
    return found


def _is_own(point: EntryPoint) -> bool:
    """Whether the zoo ships this catalogue; such come first, so that in a clash of names the other one is blamed."""
    return point.dist is not None and point.dist.name == DISTRIBUTION


def split_backend(name: str) -> tuple[str | None, str]:
    """ "timm:resnet18" to ("timm", "resnet18"), and a native name to (None, name)."""
    prefix, separator, rest = name.partition(":")
    if not separator:
        return None, name
    check_name("backend", prefix, BACKENDS)
    return prefix, rest


def model_info(name: str) -> Entry:
    """The catalogue entry of a native model, or what the other library tells of a "backend:name"."""
    prefix, rest = split_backend(name)
    if prefix is not None:
        from zoo.backends import get_backend

        return get_backend(prefix).info(rest)
    known = registry().models
    if name not in known:
        raise UnknownNameError(
            f"No model is called {name!r}. {nearest(name, known)} "
            f"`zoo list` shows all; other libraries' models are built as 'timm:{name}', 'torchvision:...', 'hf:...'."
        )
    return known[name]


def task_info(name: str) -> TaskEntry:
    """The catalogue entry of a task such as "vision/classification"."""
    check_name("task", name, registry().tasks)
    return registry().tasks[name]


def list_parts(pattern: str = "*", *, kind: str | None = None) -> list[tuple[str, Part]]:
    """The parts of the toolkit, such as losses and optimizers, each with its kind, in the order of the tables.

    pattern: glob over the names.
    kind:    one kind only, such as "loss".
    Raises:  UnknownNameError for a kind that there is not.
    """
    tables = registry().tables
    if kind is not None:
        check_name("kind of part", kind, {table.kind for table in tables})
    return [
        (table.kind, part)
        for table in tables
        if kind in (None, table.kind)
        for part in table.parts.values()
        if fnmatch.fnmatchcase(part.name, pattern)
    ]


def list_models(
    pattern: str = "*",
    *,
    task: str | None = None,
    max_params: int | None = None,
    pretrained: bool = False,
    licence: str | None = None,
    paper: str | None = None,
    backend: Literal["timm", "torchvision", "hf", "torchaudio"] | None = None,
) -> list[str]:
    """Names of the models that fit every condition given, in alphabetical order.

    pattern:    glob over the names, such as "resnet*".
    task:       glob over the tasks, such as "vision/*".
    max_params: most parameters of the default configuration; models whose count is not known do not fit.
    pretrained: only models with weights.
    licence:    part of the licence of one of its weights, such as "apache"; case does not matter.
    paper:      part of the paper's title, authors or id.
    backend:    list another library's models in place of the zoo's own.
    Raises:     UnknownNameError if no task fits, with the nearest ones.
    """
    if task is not None and not fnmatch.filter(registry().tasks, task) and backend is None:
        raise UnknownNameError(f"No task fits {task!r}. {nearest(task, registry().tasks)}")
    if backend is None:
        entries = [entry for name, entry in registry().models.items() if fnmatch.fnmatchcase(name, pattern)]
    else:
        from zoo.backends import get_backend

        check_name("backend", backend, BACKENDS)
        source = get_backend(backend)
        names = source.list_models(pattern, pretrained=pretrained)
        if task is None and max_params is None and licence is None and paper is None:
            return names
        entries = [source.info(name.partition(":")[2]) for name in names]
    return sorted(
        entry.name
        for entry in entries
        if _fits(entry, task=task, max_params=max_params, pretrained=pretrained, licence=licence, paper=paper)
    )


def _fits(
    entry: Entry, *, task: str | None, max_params: int | None, pretrained: bool, licence: str | None, paper: str | None
) -> bool:
    if task is not None and not fnmatch.fnmatchcase(entry.task, task):
        return False
    if max_params is not None and (entry.num_params is None or entry.num_params > max_params):
        return False
    if pretrained and not entry.weights:
        return False
    if licence is not None and not any(licence.lower() in record.licence.lower() for record in entry.weights):
        return False
    words = f"{entry.paper.title} {entry.paper}" if entry.paper else ""
    return paper is None or paper.lower() in words.lower()


def find_weights(entry: Entry, weights: str | bool) -> Weights:
    """The record of `entry` with the tag `weights`; True or "default" is the first one.

    Raises: UnknownNameError if the entry has no weights, or none of that tag.
    """
    if not entry.weights:
        asked = "" if weights is True or weights == "default" else f", and no file {weights!r} exists"
        raise UnknownNameError(
            f"{entry.name} has no published weights in the zoo{asked}. Start from scratch (weights=None; on the "
            "command line --from-scratch), or pass the path of a .safetensors or .pth file."
        )
    if weights is True or weights == "default":
        return entry.weights[0]
    tags = [record.tag for record in entry.weights]
    if weights not in tags:
        raise UnknownNameError(
            f"{entry.name} has no weights {weights!r}, and no such file exists. {nearest(str(weights), tags)}"
        )
    return entry.weights[tags.index(str(weights))]


def create_model(
    name: str, *, weights: "str | PathLike[str] | bool | None" = None, offline: bool | None = None, **arguments: Any
) -> "nn.Module":
    """Builds a model by name and, if asked, loads trained weights into it.

    name:      a native name ("resnet18") or one of another library ("timm:...", "torchvision:...", "hf:...").
    weights:   a tag of `model_info(name).weights`, "default" for the first, the path of a file, or None.
    offline:   True never touches the network; None asks ZOO_OFFLINE and HF_HUB_OFFLINE.
    arguments: what the model's builder takes, such as num_classes or in_channels; checked by name.
    Returns:   the module in evaluation mode if it has trained weights, else in training mode. Its load report is
               logged, and given back by `create_model_with_report`.
    Raises:    UnknownNameError, UnknownArgumentError, WeightsError.
    """
    return create_model_with_report(name, weights=weights, offline=offline, arguments=arguments)[0]


def create_model_with_report(
    name: str,
    *,
    weights: "str | PathLike[str] | bool | None" = None,
    offline: bool | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> "tuple[nn.Module, LoadReport | None]":
    """As `create_model`, with `arguments` as a mapping; gives the load report too, None without weights."""
    arguments = dict(arguments or {})
    prefix, rest = split_backend(name)
    if prefix is not None:
        from zoo.backends import get_backend

        model, report = get_backend(prefix).create(rest, weights=weights, arguments=arguments, offline=offline)
    else:
        entry = model_info(name)
        builder = import_object(entry.builder) if isinstance(entry.builder, str) else entry.builder
        check_arguments(name, builder, arguments)
        model = builder(**{**entry.config, **arguments})
        report = None if weights is None or weights is False else _load(model, entry, weights, offline)
    if report is not None:
        model.eval()
    return model, report


def trained_structure(name: str, weights: "str | PathLike[str] | bool | None") -> dict[str, Any]:
    """Builder arguments that a library sets by itself with trained weights, so that a run can be built without them."""
    prefix, rest = split_backend(name)
    if prefix is None or weights is None or weights is False:
        return {}
    from zoo.backends import get_backend

    return get_backend(prefix).structure(rest, weights=weights)


def _load(
    model: "nn.Module", entry: Entry, weights: "str | PathLike[str] | bool", offline: bool | None
) -> "LoadReport":
    """Loads a local file, or the file of one of the entry's records, into `model`."""
    from pathlib import Path

    from zoo.weights import load_weights, read_state_dict, resolve

    if not isinstance(weights, bool) and Path(weights).is_file():
        record, path = None, Path(weights)
    elif not isinstance(weights, bool) and not isinstance(weights, str):
        raise UnknownNameError(f"There is no file {weights}. Pass the path of a .safetensors or .pth file.")
    else:
        record = find_weights(entry, weights)
        path = resolve(record, offline=offline)
    convert = import_object(record.key_conversion) if record is not None and record.key_conversion else None
    return load_weights(model, read_state_dict(path), key_conversion=convert)


@overload
def register(entry: Entry, /) -> Entry: ...


@overload
def register(
    *,
    name: str,
    task: str,
    summary: str,
    paper: Paper | None = None,
    num_params: int | None = None,
    input_shape: tuple[int, ...] = (),
    config: Mapping[str, Any] | None = None,
    weights: tuple[Weights, ...] = (),
) -> Callable[[BuilderT], BuilderT]: ...


def register(entry: Entry | None = None, /, **fields: Any) -> Any:
    """Adds a model of the user's own to this process's registry: an Entry, or a decorator on its builder.

    Raises: DuplicateNameError if the name is taken.
    """
    if entry is not None:
        registry().add(Catalog(models=(entry,)))
        return entry

    def decorate(builder: Callable[..., Any]) -> Callable[..., Any]:
        options = {key: value for key, value in fields.items() if value is not None}
        registry().add(Catalog(models=(replace(Entry(name="", task="", summary="", builder=builder), **options),)))
        return builder

    return decorate
