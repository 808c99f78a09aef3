"""`zoo options`: what can be set is what is taken, with the default that holds and the meaning that the code states."""

import json

import pytest
from typer.testing import CliRunner

from zoo.cli import app
from zoo.cli.options import meanings, takes
from zoo.registry import registry

# -- Explained in the line of another option, or by it.
NAMED_WITH_OTHERS = {
    "continuous",
    "dates",
    "ignore",
    "folds",
    "target_path",
    "target_tokenizer",
    "target_tokenizer_options",
}
ONE_OF_EACH_TASK = {entry.task: name for name, entry in registry().models.items()}


def shown(model: str) -> dict[str, dict[str, list[str]]]:
    result = CliRunner().invoke(app, ["options", model, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("model", ONE_OF_EACH_TASK.values(), ids=ONE_OF_EACH_TASK)
def test_most_options_of_every_task_have_a_meaning(model):
    """Fails if a reader's docstring is not of the form that is read, or stands elsewhere."""
    groups = shown(model)
    assert list(groups) == ["--data-set", "--model-set", "--task-set", "--set"]
    data = groups["--data-set"]
    assert "seed" in data
    assert "path" not in data
    unsaid = {name for name, (_, meaning) in data.items() if not meaning}
    assert (
        unsaid
        <= {"seed", "test", "num_workers", "input_shape"}
        | {name for name in data if name.endswith("_column")}
        | NAMED_WITH_OTHERS
    )


def test_defaults_are_those_of_the_entry():
    """Fails if the builder's own default is shown where the entry or the task has another."""
    groups = shown("transformer_multi30k")
    assert groups["--model-set"]["width"][0] == "256"
    assert groups["--set"]["schedule"][0] == "inverse_square_root"
    assert groups["--set"]["optimizer_options"][0].startswith("{'betas'")
    assert shown("resnet18")["--set"]["optimizer_options"][0] == "{}"


def test_people_get_lines():
    """Fails if the meaning is cut off, or an option that has a flag of its own is listed twice."""
    text = CliRunner().invoke(app, ["options", "table_mlp"]).stdout
    assert "  target = none\n      column to predict" in text
    assert "\n  epochs = " not in text


def documented(first, second=1, third=2, fourth=3):
    """Adds.

    first:  a number
            of two lines.
    second, third: numbers; fourth: another.
    Returns: the sum.
    """


def test_docstrings_are_read():
    """Fails if lines are lost, or the same words do not go to all names."""
    found = meanings(documented)
    assert found["first"] == "a number of two lines."
    assert found["second"] == found["third"] == "numbers"
    assert found["fourth"] == "another."
    assert takes([documented], changed={"second": 5}) == {
        "first": ("(from the data, or needed)", "a number of two lines."),
        "second": ("5", "numbers"),
        "third": ("2", "numbers"),
        "fourth": ("3", "another."),
    }


def test_unknown_model_names_the_nearest():
    result = CliRunner().invoke(app, ["options", "resnet81"])
    assert result.exit_code == 2
    assert "resnet" in result.stderr


@pytest.mark.parametrize("model", ["timm:resnet18", "torchvision:ssd300_vgg16"])
def test_other_libraries_models_have_options_too(model):
    """Fails if the builder is looked for where the library does not keep it."""
    pytest.importorskip("timm")
    groups = shown(model)
    assert "seed" in groups["--data-set"]
    assert list(groups["--model-set"]) == ["NAME"]
