"""The examples of reinforcement learning, in their quick form."""

import sys
from pathlib import Path

import pytest

from rl.examples import cartpole, frozen_lake, watch


def test_cartpole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Fails if the runs are not kept, or a picture is not written."""
    monkeypatch.setattr(sys, "argv", ["cartpole", "--quick", "--out", str(tmp_path / "runs")])
    cartpole.main()
    printed = capsys.readouterr().out
    assert "seed 0: mean return of 10 test episodes" in printed
    assert "rl-baselines3-zoo" in printed
    assert (tmp_path / "runs" / "seed-0" / "model.safetensors").is_file()
    assert (tmp_path / "runs" / "learning_curves.png").stat().st_size > 5_000
    assert (tmp_path / "runs" / "episode.gif").read_bytes()[:3] == b"GIF"
    arguments = ["watch", str(tmp_path / "runs" / "seed-0"), "--episode", "2", "--out", str(tmp_path / "third.gif")]
    monkeypatch.setattr(sys, "argv", arguments)
    watch.main()
    assert "test episode 2 paid" in capsys.readouterr().out
    assert (tmp_path / "third.gif").read_bytes()[:3] == b"GIF"
    with pytest.raises(SystemExit):
        watch.main()
    assert "exists" in capsys.readouterr().err


def test_frozen_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Fails if planning, which is exact, does not show its 74.02 %."""
    monkeypatch.setattr(sys, "argv", ["frozen_lake", "--quick", "--out", str(tmp_path / "run")])
    frozen_lake.main()
    printed = capsys.readouterr().out
    assert "74.02% arrive on average, exact over all episodes: value iteration" in printed
    assert "learned, planned" in printed


def test_a_mistake_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["cartpole", "--data", "CartPol-v1"])
    with pytest.raises(SystemExit) as stopped:
        cartpole.main()
    assert stopped.value.code == 2
    assert "CartPole-v1" in capsys.readouterr().err


@pytest.mark.slow
def test_pong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    from rl.examples import pong

    monkeypatch.setattr(sys, "argv", ["pong", "--quick", "--out", str(tmp_path / "run")])
    pong.main()
    assert "mean return" in capsys.readouterr().out
    assert (tmp_path / "run" / "episode.gif").read_bytes()[:3] == b"GIF"
