"""What every name of every catalogue must do, whatever its domain."""

import pytest
import torch
from safetensors.torch import load_model, save_model

import zoo
from zoo.errors import UnknownArgumentError
from zoo.records import Entry
from zoo.registry import registry

ENTRIES = tuple(registry().models.values())
LARGE = 100_000_000  # parameters; larger models are built without memory for their weights
SAVED = 10_000_000  # parameters of the largest models that are written to a file
DOMAINS = ("vision", "nlp", "tabular", "audio", "rl")


def build(entry: Entry, **arguments: object) -> torch.nn.Module:
    return zoo.create_model(entry.name, **arguments)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_stated_number_of_parameters_is_exact(entry: Entry) -> None:
    """Fails if an entry counts another network than it builds."""
    with torch.device("meta" if (entry.num_params or 0) > LARGE else "cpu"):
        model = build(entry)
    assert sum(parameter.numel() for parameter in model.parameters()) == entry.num_params


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_unknown_argument_is_refused(entry: Entry) -> None:
    """Fails if a misspelt argument is swallowed."""
    with pytest.raises(UnknownArgumentError, match="num_clases"):
        build(entry, num_clases=3)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_paper_is_named(entry: Entry) -> None:
    assert entry.paper is not None
    assert entry.paper.id.startswith(("arXiv:", "doi:")), entry.paper
    assert 1950 < entry.paper.year < 2100


@pytest.mark.parametrize(
    "entry", [entry for entry in ENTRIES if (entry.num_params or 0) < SAVED], ids=lambda entry: entry.name
)
def test_saved_weights_are_loaded_exactly(entry: Entry, tmp_path) -> None:
    """Fails if a tensor is not part of the state, is shared in a way that files cannot hold, or changes on the way."""
    torch.manual_seed(0)
    model = build(entry)
    save_model(model, str(tmp_path / "weights.safetensors"))
    torch.manual_seed(1)
    other = build(entry)
    load_model(other, str(tmp_path / "weights.safetensors"), strict=True)
    expected = model.state_dict()
    assert expected.keys() == other.state_dict().keys()
    assert all(torch.equal(value, expected[name]) for name, value in other.state_dict().items())


def test_every_domain_has_models_and_tasks() -> None:
    """Fails if a domain's catalogue is not installed."""
    assert {entry.task.partition("/")[0] for entry in ENTRIES} == set(DOMAINS)
    tasks = registry().tasks
    assert {entry.task for entry in ENTRIES} == set(tasks)
