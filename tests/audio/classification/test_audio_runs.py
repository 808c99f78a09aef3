"""Runs on sounds: training, the command line, resuming bit for bit, the catalogue."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import zoo
from audio.catalog import CATALOG
from zoo.cli import app
from zoo.training import Callback, Trainer, load_run

PATTERN = "{label}_{speaker}_{index}.wav"


def cli(*arguments: object) -> str:
    """What a command prints, run in this process."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="zoo")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("entry", CATALOG.models, ids=lambda entry: entry.name)
def test_every_model_trains_from_its_entry(entry, noises):
    """Fails if an entry's count, input or builder is wrong; large ones are checked by their own tests."""
    if entry.num_params > 6_000_000 and entry.name != "logmel_backbone":
        pytest.skip("80 million parameters: counted in its own test")
    from audio.data.clips import pad_clips

    model = zoo.create_model(entry.name).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == entry.num_params
    with torch.no_grad():
        assert model(pad_clips(noises)).ndim == 2


def test_catalogue_is_plain_data():
    """Fails if importing it imports torch."""
    code = "import sys, audio.catalog; print(*sorted({'torch', 'numpy', 'soundfile', 'torchaudio'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not done.stdout.strip()


def test_from_a_folder_of_tones_to_a_picture(tones, tmp_path):
    """Fails if a command breaks for sounds, or the model does not learn three tones."""
    run = tmp_path / "run"
    small = {
        "widths": "[8,16]",
        "num_mels": 32,
        "dropout": 0.0,
        "head_dropout": 0.0,
        "frequency_masks": 0,
        "time_masks": 0,
    }
    cli("train", "logmel_cnn", "--data", tones, "--epochs", 20, "--lr", 0.004, "--batch-size", 8,
        *(word for name, value in small.items() for word in ("--model-set", f"{name}={value}")),
        "--data-set", "validation=0.25", "--data-set", "augment=none", "--out", run)  # fmt: skip
    values = json.loads(cli("evaluate", run, "--json"))
    assert values["accuracy"] >= 5 / 6
    assert json.loads(cli("evaluate", run, "--data", tones, "--json"))["accuracy"] >= 5 / 6
    found = json.loads(cli("predict", run, tones / "low", "--json", "--out", tmp_path / "heard.png"))
    assert len(found) == 8
    assert sum(row["label"] == "low" for row in found) >= 6
    assert (tmp_path / "heard.png").stat().st_size > 10_000
    cli("explain", run, tones / "high" / "00.wav", tones / "low" / "00.wav", "--out", tmp_path / "why.png")
    assert (tmp_path / "why.png").stat().st_size > 10_000
    assert (run / "confusion_validation.png").is_file()


def test_m5_reads_at_its_own_rate_and_explains_the_waveform(tmp_path, tone_folder):
    """Fails if the entry's rate does not reach the reader."""
    folder = tone_folder(tmp_path / "tones", rate=16_000, number=4)
    run = zoo.train(
        "m5", folder, epochs=1, progress=False, out=tmp_path / "run", data_options={"validation": 0.5},
        model_options={"stem_width": 8, "widths": [8, 8], "depths": [1, 1]},
    )  # fmt: skip
    assert run.task.preprocessing.sample_rate_hz == 8000
    assert run.recipe.optimizer == "adam"
    assert run.explain(folder / "low" / "00.wav", method="integrated_gradients").heat.shape == (1, 1600)
    assert run.explain(folder / "low" / "00.wav").heat.shape == (1, 1600)


def test_fine_tuning_starts_from_the_body(tones, tmp_path):
    """Fails if fine_tune does not hand the body's weights on, or a finished run needs them to be opened."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "body.safetensors")
    options = {"backbone": "timm:test_resnet", "backbone_weights": str(tmp_path / "body.safetensors"), "num_mels": 32}
    run = zoo.fine_tune(
        "logmel_backbone", tones, epochs=1, strategy="head", progress=False, out=tmp_path / "run",
        model_options=options, data_options={"seconds": 0.3},
    )  # fmt: skip
    body = load_file(tmp_path / "body.safetensors")["layer4.0.conv1.weight"]
    assert torch.equal(run.model.backbone.state_dict()["layer4.0.conv1.weight"], body)
    (tmp_path / "body.safetensors").unlink()
    opened = load_run(tmp_path / "run")
    assert opened.predict(tones / "low" / "00.wav")[0]["label"] in ("high", "low", "middle")
    assert opened.explain(tones / "low" / "00.wav").heat.shape == (1, 32, 31)


class Stop(Callback):
    """Interrupts a run as Ctrl-C does."""

    def on_step_end(self, trainer: Trainer) -> None:
        if trainer.position.step == 5:
            raise KeyboardInterrupt


def test_a_stopped_run_goes_on_bit_for_bit(spoken, tmp_path):
    """Fails if augmentation, dropout, SpecAugment, batch norm or the order of batches is not restored."""

    def job(out: Path, *callbacks: Callback) -> None:
        zoo.train(
            "logmel_cnn", spoken, epochs=3, batch_size=8, out=out, progress=False, accelerator="cpu",
            checkpoint_every_steps=2, ema=0.9, callbacks=callbacks, model_options={"widths": [4, 8], "num_mels": 16},
            data_options={"pattern": PATTERN, "leave_out": "ben", "in_memory": False},
        )  # fmt: skip

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    job(whole)
    with pytest.raises(KeyboardInterrupt):
        job(broken, Stop())
    assert not (broken / "results.json").exists()
    torch.randn(7)  # whatever else happens in between
    load_run(broken).resume(progress=False)
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, broken))
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name
    assert json.loads((whole / "results.json").read_text()) == json.loads((broken / "results.json").read_text())
