"""The tables of parts: complete, resolvable, light to read."""

import inspect
import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import zoo
from zoo.cli import app
from zoo.errors import UnknownArgumentError, UnknownNameError
from zoo.parts import Part, PartTable
from zoo.registry import registry

EVERY = [(table, name) for table in registry().tables for name in table]


@pytest.mark.parametrize(("table", "name"), EVERY, ids=[f"{table.kind}-{name}" for table, name in EVERY])
def test_part_is_complete_and_takes_no_unknown_option(table: PartTable, name: str) -> None:
    """Fails if a part does not resolve, has no source, or swallows a misspelt option."""
    part = table.parts[name]
    assert callable(table[name])
    assert part.source
    assert part.summary
    assert not part.summary.endswith(".")
    parameters = inspect.signature(table[name]).parameters.values()
    assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    with pytest.raises(UnknownArgumentError, match="no_such_option"):
        table.check(name, {"no_such_option": 1})


def test_unknown_name_gets_the_nearest() -> None:
    table = PartTable("loss", Part("mse", "zoo.losses:mse", "own", "squares"), given=2)
    with pytest.raises(UnknownNameError, match=r"No loss is called 'mes'\. Did you mean 'mse'"):
        table.make("mes")


def test_what_is_given_by_place_is_no_option() -> None:
    """Fails if the prediction could be passed as an option, which would then be bound twice."""
    table = PartTable("loss", Part("mse", "zoo.losses:mse", "own", "squares"), given=2)
    with pytest.raises(UnknownArgumentError, match="prediction"):
        table.check("mse", {"prediction": None})


def test_two_parts_of_one_name_are_refused() -> None:
    part = Part("mse", "zoo.losses:mse", "own", "squares")
    with pytest.raises(ValueError, match="share a name"):
        PartTable("loss", part, part)


def test_list_parts_by_kind_and_pattern() -> None:
    assert {kind for kind, _ in zoo.list_parts()} == {table.kind for table in registry().tables if len(table)}
    assert [part.name for _, part in zoo.list_parts("adam*", kind="optimizer")][:2] == ["adam", "adamw"]
    with pytest.raises(UnknownNameError, match="Did you mean 'loss'"):
        zoo.list_parts(kind="losses")


def test_command_lists_parts() -> None:
    done = CliRunner().invoke(app, ["list-parts", "mse", "--kind", "loss", "--json"])
    (row,) = json.loads(done.stdout)
    assert (row["kind"], row["name"]) == ("loss", "mse")
    done = CliRunner().invoke(app, ["list-parts", "cross_entropy"])
    assert "one of C classes" in done.stdout


def test_listing_loads_nothing_heavy() -> None:
    """Fails if a table imports what it lists."""
    code = "import sys, zoo; zoo.list_parts(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr
