"""Checkpoints at awkward moments, and what a resumed run makes of them."""

from pathlib import Path

import pytest

from zoo.training import Callback, Recipe, Stage, Trainer


class Crash(Callback):
    """Fails like a kill after an epoch's last step, before anything of its end is written."""

    def on_validation_end(self, trainer, metrics):
        raise MemoryError("crash")


class Stop(Callback):
    """Asks after the second step for the end of the stage, which is after the epoch."""

    def on_step_end(self, trainer):
        if trainer.position.step == 2:
            trainer.stop_stage("enough")


def make_trainer(model, task, bundle, directory: Path, *, callbacks=(), **options) -> Trainer:
    recipe = Recipe(
        stages=(Stage(epochs=3),), batch_size=16, checkpoint_every_steps=3, log_every_steps=1, accelerator="cpu",
        **options,
    )  # fmt: skip
    return Trainer(
        model=model, task=task, train=bundle.train, validation=bundle.validation, recipe=recipe, directory=directory,
        callbacks=callbacks, progress=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "callbacks", "steps"),
    [({"max_steps": 3}, [], 3), ({}, [Stop()], 5)],
    ids=["killed at the largest number of steps", "killed in an epoch that is to be the last"],
)
def test_an_epoch_that_had_begun_is_judged_after_a_kill(model, task, bundle, tmp_path, options, callbacks, steps):
    """Fails if a stage counts as over while its last epoch is not: its metrics and best weights would be missing."""
    broken = make_trainer(model, task, bundle, tmp_path, callbacks=[*callbacks, Crash()], **options)
    with pytest.raises(MemoryError):
        broken.fit()
    resumed = make_trainer(model, task, bundle, tmp_path, **options)
    history = resumed.fit(resume_from=tmp_path / "checkpoints" / "last.pt")
    assert [record["step"] for record in history] == [steps]
    assert "accuracy" in history[0]
    assert (tmp_path / "model.safetensors").is_file()


def test_a_log_that_was_deleted_begins_anew(model, task, bundle, tmp_path):
    """Fails if the file is brought to its old length with zero bytes, which no reader takes."""
    with pytest.raises(MemoryError):
        make_trainer(model, task, bundle, tmp_path, callbacks=[Crash()]).fit()
    log = tmp_path / "metrics.jsonl"
    log.unlink()
    make_trainer(model, task, bundle, tmp_path).fit(resume_from=tmp_path / "checkpoints" / "last.pt")
    assert log.read_bytes().startswith(b'{"event"')
