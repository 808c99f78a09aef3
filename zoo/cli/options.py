"""The command that says what can be set of a model's data, task, network and training, with the defaults."""

import inspect
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import MISSING
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from zoo.cli.app import JSON, app
from zoo.cli.output import show_json
from zoo.cli.runs import FLAGS, HIDDEN
from zoo.records import Entry

WIDTH = 88  # of a meaning, characters
MEANING = re.compile(r"(?P<names>\w+(?:, \w+)*): +(?P<text>\S.*)")
SAME_LINE = re.compile(r"; (\w+): ([^;]*)")
ELSEWHERE = re.compile(r"see `([\w.]+)\.(\w+)`")


@app.command(epilog="Example: zoo options table_mlp")
def options(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Such as table_mlp or timm:resnet50.")],
    as_json: JSON = False,
) -> None:
    """List what --data-set, --model-set, --task-set and --set of `zoo train` take for a model."""
    from zoo.data import load_data
    from zoo.lookup import import_object
    from zoo.registry import model_info, split_backend, task_info
    from zoo.training import fine_tune
    from zoo.training.recipe import Recipe

    entry = model_info(model)
    task = task_info(entry.task)
    kind = import_object(task.builder)
    groups = {
        "--data-set": takes([import_object(task.reader), load_data], without=("path", "task")),
        "--model-set": _of_backend(model) if split_backend(model)[0] else _of_native(entry),
        "--task-set": takes([kind], changed=entry.task_options),
        "--set": takes(
            [fine_tune, Recipe], changed={**kind.recipe, **entry.recipe}, without=(*FLAGS, *HIDDEN, "progress")
        ),
    }
    if as_json:
        show_json(groups)
        return
    for flag, found in groups.items():
        typer.secho(f"{flag} NAME=VALUE", bold=True)
        for name, (default, meaning) in found.items():
            typer.echo(f"  {name} = {default}")
            for line in textwrap.wrap(meaning, WIDTH):
                typer.echo(f"      {line}")
        typer.echo("" if found else "  nothing\n")


def takes(
    functions: Iterable[Any], *, changed: Mapping[str, Any] | None = None, without: Iterable[str] = ()
) -> dict[str, tuple[str, str]]:
    """The keyword arguments of functions or classes by name: default and meaning, as their docstrings give it.

    changed: values that go over the defaults.
    """
    found: dict[str, tuple[str, str]] = {}
    for function in functions:
        said, fields = meanings(function), getattr(function, "__dataclass_fields__", {})
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD or name in without:
                continue
            choices = _choices(parameter.annotation)
            default = (changed or {}).get(name, parameter.default)
            factory = fields[name].default_factory if name in fields else MISSING
            if factory is not MISSING and name not in (changed or {}):
                default = factory()
            text = "(from the data, or needed)" if default is parameter.empty else _text(default)
            found.setdefault(name, (text, said.get(name, "") or choices))
    return found


def _of_native(entry: Entry) -> dict[str, tuple[str, str]]:
    """The arguments of what builds a native model, with the entry's configuration as defaults."""
    from zoo.lookup import import_object

    builder = import_object(entry.builder) if isinstance(entry.builder, str) else entry.builder
    return takes([builder], changed=entry.config)


def _of_backend(model: str) -> dict[str, tuple[str, str]]:
    """The arguments of another library's model, whose own documentation lists them."""
    library = model.partition(":")[0]
    return {"NAME": ("VALUE", f"whatever {library} builds {model} with; one that it does not take is an error.")}


def _choices(annotation: Any) -> str:
    """The values of a Literal in words; nothing for other annotations."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    values = [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
    return f"one of {', '.join(map(str, values))}." if values else ""


def _text(value: Any) -> str:
    """A default as --set takes it."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        value = dict(value)
    return str(list(value)) if isinstance(value, tuple) else str(value)


def meanings(function: Any) -> dict[str, str]:
    """What the docstring of a function or class says of its arguments, by name.

    It holds lines "name: text", "one, two: text" or "one: text; two: text", with what is indented deeper below them;
    where one says "see `module.Thing`", that thing's docstring counts too.
    """
    from zoo.lookup import import_object

    found: dict[str, str] = {}
    names: list[str] = []
    for line in (inspect.getdoc(function) or "").splitlines():
        start = MEANING.fullmatch(line)
        if start:
            names = start["names"].split(", ")
            found |= dict.fromkeys(names, start["text"])
        elif names and line.startswith(" "):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        else:
            names = []
        for module, thing in ELSEWHERE.findall(line):
            found = {**meanings(import_object(f"{module}:{thing}")), **found}
    for text in list(found.values()):
        for name, said in SAME_LINE.findall(text):
            found.setdefault(name, said)
    return {name: SAME_LINE.sub("", text) for name, text in found.items()}
