"""Names to entries: filters, look-ups, registration, catalogues of other packages, and building by name."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import zoo
from zoo.errors import DuplicateNameError, UnknownArgumentError, UnknownNameError, WeightsError
from zoo.records import Catalog, Entry, Paper, TaskEntry, Weights
from zoo.registry import (
    Registry,
    check_arguments,
    create_model_with_report,
    find_weights,
    import_object,
    registry,
    split_backend,
    task_info,
)
from zoo.weights.cache import hash_file

PAPER = Paper(title="On a model", authors="Doe and Roe", year=2020, id="arXiv:2001.00001")


def linear(*, width: int = 3, bias: bool = True, rate: float = 0.0, name: str | None = None) -> nn.Module:
    """A builder to register."""
    return nn.Linear(2, width, bias=bias)


def entry(name: str, **fields: object) -> Entry:
    """An entry with `linear` as its builder."""
    common = {"task": "vision/classification", "builder": linear, "summary": "A line", "num_params": 9}
    return Entry(name=name, **{**common, **fields})  # type: ignore[arg-type]


def record(tag: str, path: Path | None = None, *, licence: str = "MIT") -> Weights:
    digest = hash_file(path) if path is not None and path.is_file() else "0" * 64
    return Weights(tag=tag, source=f"file:{path}", sha256=digest, licence=licence)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The process's registry; what a test adds to it is gone afterwards."""
    found = registry()
    for name in ("models", "tasks", "demos"):
        monkeypatch.setattr(found, name, dict(getattr(found, name)))
    return found


# -- Filters


@pytest.fixture
def few(known: Registry) -> Registry:
    """A registry with four models alone."""
    known.models.clear()
    known.add(
        Catalog(
            models=(
                entry("net10", num_params=10, paper=PAPER),
                entry("net20", num_params=20, weights=(record("a", licence="Apache-2.0"), record("b"))),
                entry("net30", num_params=None, weights=(record("a", licence="CC-BY-NC-4.0"),)),
                entry("Other", num_params=10, task="text/tagging"),
            )
        )
    )
    return known


@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        ({}, ["Other", "net10", "net20", "net30"]),
        ({"pattern": "net*"}, ["net10", "net20", "net30"]),
        ({"pattern": "net?0"}, ["net10", "net20", "net30"]),
        ({"pattern": "net"}, []),
        ({"pattern": "other"}, []),
        ({"task": "vision/*"}, ["net10", "net20", "net30"]),
        ({"task": "vision/classification", "pattern": "*1*"}, ["net10"]),
        ({"max_params": 10}, ["Other", "net10"]),
        ({"max_params": 9}, []),
        ({"pretrained": True}, ["net20", "net30"]),
        ({"licence": "apache"}, ["net20"]),
        ({"licence": "mit"}, ["net20"]),
        ({"licence": "cc-by", "max_params": 100}, []),
        ({"paper": "ON A MODEL"}, ["net10"]),
        ({"paper": "roe"}, ["net10"]),
        ({"paper": "2001.00001"}, ["net10"]),
        ({"paper": "something else"}, []),
    ],
)
def test_filters(few: Registry, conditions: dict[str, object], names: list[str]) -> None:
    """Fails if a condition is ignored, or a model whose size is not known passes as small."""
    assert zoo.list_models(**conditions) == names  # type: ignore[arg-type]


def test_filters_of_a_backend() -> None:
    """Fails if a filter is dropped for other libraries' models."""
    names = zoo.list_models("resnet1*", backend="torchvision")
    assert "torchvision:resnet18" in names
    assert zoo.list_models("resnet1*", backend="torchvision", task="vision/classification") == names
    assert zoo.list_models("resnet1*", backend="torchvision", paper="no such paper") == []


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"No task fits 'vision/classificaton'. Did you mean 'vision/classif"):
        zoo.list_models(task="vision/classificaton")
    with pytest.raises(UnknownNameError, match="Did you mean 'vision/classification'"):
        task_info("vision/clasification")
    with pytest.raises(UnknownNameError, match=r"Did you mean 'resnet50'.*`zoo list` shows all"):
        zoo.model_info("resnet5O")
    with pytest.raises(UnknownNameError, match=r"No model is called 'resnet19'. Did you mean 'resnet1"):
        zoo.create_model("resnet19")
    with pytest.raises(UnknownNameError, match=r"No backend is called 'tim'. Did you mean 'timm'"):
        zoo.create_model("tim:resnet18")
    with pytest.raises(UnknownNameError, match=r"No backend is called 'torch'. Did you mean .*'torchvision'"):
        zoo.list_models(backend="torch")  # type: ignore[arg-type]


def test_backend_prefixes_are_split() -> None:
    assert split_backend("resnet18") == (None, "resnet18")
    assert split_backend("hf:owner/name:x") == ("hf", "owner/name:x")


def test_look_ups_write_nothing() -> None:
    """Fails if a look-up adds what it was asked for, as a dict with defaults does."""
    before = deepcopy((registry().models, registry().tasks, registry().demos))
    zoo.list_models("res*", task="vision/*", max_params=10**9)
    zoo.model_info("resnet18")
    zoo.model_info("torchvision:resnet18")
    task_info("vision/classification")
    for name in ("nothing", "timm:nothing"):
        with pytest.raises(UnknownNameError):
            zoo.model_info(name)
    assert (registry().models, registry().tasks, registry().demos) == before
    assert registry() is registry()


# -- Registration


def test_register_an_entry(known: Registry) -> None:
    assert zoo.register(entry("mine", config={"width": 5})).name == "mine"
    assert "mine" in zoo.list_models()
    assert zoo.create_model("mine").weight.shape == (5, 2)
    assert zoo.create_model("mine", width=4).weight.shape == (4, 2)


def test_register_as_a_decorator(known: Registry) -> None:
    """Fails if the decorator gives something else than the builder back, or loses a field."""

    @zoo.register(name="mine", task="vision/classification", summary="Mine", paper=PAPER, num_params=9)
    def build(*, width: int = 3) -> nn.Module:
        return nn.Linear(2, width)

    assert isinstance(build(width=2), nn.Linear)
    assert zoo.model_info("mine") == entry("mine", builder=build, summary="Mine", paper=PAPER)
    assert zoo.create_model("mine").training
    with pytest.raises(TypeError, match="sumary"):
        zoo.register(name="other", task="a/b", sumary="typo")(build)  # type: ignore[call-overload]


def test_registration_does_not_outlive_these_tests() -> None:
    """Fails if the fixture `known` leaks, which would let tests depend on their order."""
    assert "mine" not in registry().models


@pytest.mark.parametrize(
    "catalog",
    [
        Catalog(models=(entry("new"), entry("resnet18"))),
        Catalog(models=(entry("new"), entry("new"))),
        Catalog(
            models=(entry("new"),),
            tasks=(TaskEntry(name="vision/classification", builder="a:b", reader="a:b", summary=""),),
        ),
        Catalog(models=(entry("new"),), demos={"vision": "a:b"}),
    ],
    ids=["model", "twice", "task", "demo"],
)
def test_a_duplicate_raises_and_adds_nothing(known: Registry, catalog: Catalog) -> None:
    """Fails if the part of a catalogue before the duplicate stays, or a demo is replaced silently."""
    before = deepcopy(known)
    with pytest.raises(DuplicateNameError, match="is taken already"):
        known.add(catalog)
    assert known == before


# -- Catalogues of other packages

THIRD_PARTY = """
from zoo.records import Catalog, Entry
CATALOG = Catalog(models=(Entry(name="third", task="third/task", builder="third_party:build", summary="Theirs"),))
def build(*, width: int = 2):
    from torch import nn
    return nn.Linear(1, width)
"""


def install(folder: Path, source: str, value: str = "third_party:CATALOG") -> None:
    """Makes `folder` look as if a package with one catalogue had been installed into it."""
    (folder / "third_party.py").write_text(source)
    metadata = folder / "third_party-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text(f"[zoo.catalogs]\ntheirs = {value}\n")


def run(code: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Runs `code` in a process that sees what is installed in `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)


def test_an_installed_catalogue_is_found(tmp_path: Path) -> None:
    """Fails if third parties' models cannot be listed and built like the zoo's own."""
    install(tmp_path, THIRD_PARTY)
    done = run(
        "import sys, zoo\n"
        "print(zoo.list_models('th*'), 'resnet18' in zoo.list_models(), 'torch' in sys.modules)\n"
        "print(zoo.create_model('third', width=3))",
        tmp_path,
    )
    assert done.stdout.splitlines() == [
        "['third'] True False",
        "Linear(in_features=1, out_features=3, bias=True)",
    ], done.stderr


@pytest.mark.parametrize(
    ("source", "value", "words"),
    [
        ("import nothing_of_the_kind", "third_party:CATALOG", "ModuleNotFoundError: No module named 'nothing_of_the"),
        (THIRD_PARTY, "third_party:CATALOGUE", "AttributeError"),
        ("CATALOG = []", "third_party:CATALOG", "expected a zoo.records.Catalog, got list"),
        (THIRD_PARTY.replace('name="third"', 'name="resnet18"'), "third_party:CATALOG", "'resnet18' is taken already"),
    ],
    ids=["import", "name", "type", "duplicate"],
)
def test_a_broken_catalogue_is_named(tmp_path: Path, source: str, value: str, words: str) -> None:
    """Fails if the user cannot tell from the error which package to repair or uninstall."""
    install(tmp_path, source, value)
    done = run("from zoo.cli import main\nimport sys\nsys.argv = ['zoo', 'list']\nmain()", tmp_path)
    assert done.returncode == 2
    assert f"zoo: The catalogue 'theirs' of the package third-party 1.2 ({value}) cannot be used: " in done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


# -- Arguments


def test_unknown_arguments_get_the_nearest(known: Registry) -> None:
    zoo.register(entry("mine"))
    with pytest.raises(UnknownArgumentError, match=r"mine takes no argument 'widht'. Did you mean 'width'\? Valid: "):
        zoo.create_model("mine", widht=3)
    with pytest.raises(UnknownArgumentError, match=r"takes no argument 'num_clases'. Did you mean 'num_classes'"):
        zoo.create_model("resnet18", num_clases=3)
    with pytest.raises(UnknownArgumentError) as raised:
        zoo.create_model("mine", zzz=3)
    assert str(raised.value).count("width") == 1  # all names once, not in two lists


@pytest.mark.parametrize("value", [{"width": "big"}, {"width": 1.5}, {"width": None}, {"width": True}, {"bias": 1}])
def test_plain_values_of_the_wrong_type_are_refused(value: dict[str, object]) -> None:
    """Fails if text from the command line reaches a place where a number is needed."""
    (name,) = value
    with pytest.raises(ValueError, match=rf"mine: {name} must be (int|bool), got "):
        check_arguments("mine", linear, value)


def test_a_text_is_no_list_of_its_letters() -> None:
    """Fails if classes=cat,dog of the command line makes seven classes of a letter each."""

    def read(*, classes: Sequence[str] | None, crop: int | tuple[int, int], column: str | Sequence[str]) -> None: ...

    with pytest.raises(ValueError, match=r'it: classes must be a list, such as \["cat", "dog"\], got \'cat, dog\''):
        check_arguments("it", read, {"classes": "cat, dog"})
    with pytest.raises(ValueError, match="it: crop must be a list"):
        check_arguments("it", read, {"crop": "64"})
    check_arguments("it", read, {"classes": ["cat"], "crop": 3, "column": "text"})


def test_values_that_fit_or_cannot_be_judged_pass() -> None:
    """Fails if an integer is refused as a float, or a type that is not plain is judged."""

    def build(*, size: dict[str, int], rate: float, label: str | None, loose=None, **more: int) -> None: ...  # type: ignore[no-untyped-def]

    check_arguments("it", build, {"size": "text", "rate": 1, "label": None, "loose": "x", "other": "y"})
    check_arguments("it", linear, {"width": torch.tensor(3), "rate": 1, "name": "a"})


def test_references() -> None:
    assert import_object("zoo.records:Entry") is Entry
    with pytest.raises(ValueError, match=r"'package.module:name', got 'zoo.records.Entry'"):
        import_object("zoo.records.Entry")


# -- Weights


@pytest.fixture
def saved(known: Registry, tmp_path: Path) -> Path:
    """A file for the model "mine", whose entry has it with the tags "first" and, damaged, "second"."""
    path = tmp_path / "mine.safetensors"
    save_file({"weight": torch.full((3, 2), 7.0), "bias": torch.zeros(3)}, path)
    zoo.register(entry("mine", weights=(record("first", path), record("second", tmp_path / "absent.safetensors"))))
    zoo.register(entry("bare"))
    return path


@pytest.mark.parametrize("choose", [lambda path: "first", lambda path: "default", lambda path: True, str, Path])
def test_weights_by_tag_default_and_path(saved: Path, choose: Callable[[Path], str | Path | bool]) -> None:
    """Fails if one way of naming weights loads nothing, or leaves a trained model in training mode."""
    model, report = create_model_with_report("mine", weights=choose(saved))
    assert torch.equal(model.get_parameter("weight"), torch.full((3, 2), 7.0))
    assert not model.training
    assert report is not None


@pytest.mark.parametrize("weights", [None, False])
def test_no_weights(saved: Path, weights: bool | None) -> None:
    model, report = create_model_with_report("mine", weights=weights)
    assert model.training
    assert report is None


def test_weights_that_are_not_there(saved: Path) -> None:
    with pytest.raises(
        UnknownNameError, match=r"mine has no weights 'frist', and no such file exists. Did you mean 'f"
    ):
        zoo.create_model("mine", weights="frist")
    with pytest.raises(UnknownNameError, match=r"There is no file .*gone\.pth"):
        zoo.create_model("mine", weights=saved.with_name("gone.pth"))
    with pytest.raises(UnknownNameError, match=r"no published weights.*no file 'gone.pth' exists.*--from-scratch"):
        zoo.create_model("bare", weights="gone.pth")
    with pytest.raises(UnknownNameError, match=r"bare has no published weights in the zoo\. Start from scratch"):
        zoo.create_model("bare", weights=True)
    with pytest.raises(WeightsError, match=r"absent\.safetensors"):
        zoo.create_model("mine", weights="second")
    assert zoo.create_model("bare", weights=saved).get_parameter("weight").sum() == 42


def test_find_weights_takes_the_first_by_default() -> None:
    both = entry("both", weights=(record("a"), record("b")))
    assert [find_weights(both, which).tag for which in (True, "default", "a", "b")] == ["a", "a", "a", "b"]
    with pytest.raises(UnknownNameError):
        find_weights(replace(both, weights=()), "a")
