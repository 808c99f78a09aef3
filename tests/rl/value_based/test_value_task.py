"""The task: losses by hand, judging, predictions, explanations, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rl.environments.episodes import Episodes
from rl.environments.reading import read_environment
from rl.value_based.metrics import EpisodeMean, EpisodeReturns
from rl.value_based.networks import NatureQNetwork, QNetwork, QTable
from rl.value_based.task import ValueBatch, ValueLearning
from zoo.data import Bundle
from zoo.errors import DataError, UnknownNameError
from zoo.records import Entry
from zoo.registry import model_info
from zoo.training import evaluate


def task(environment: str = "CartPole-v1", *, data: dict[str, Any] | None = None, **options: Any) -> ValueLearning:
    return ValueLearning.from_bundle(read_environment(environment, **(data or {})), **options)


class Table(torch.nn.Module):
    """Values of two actions that are the observation's first two components."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.scale * observations[:, :2]


def batch(weights: list[float] | None = None) -> ValueBatch:
    """Values of the actions taken 1 and 5, targets 1.5 and 2: errors 0.5 and -3."""
    return ValueBatch(
        torch.tensor([[1.0, 9.0, 0, 0], [9.0, 5.0, 0, 0]]), torch.tensor([0, 1]), torch.tensor([1.5, 2.0]),
        None if weights is None else torch.tensor(weights), torch.zeros(2),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "weights", "value"),
    [
        ("huber", None, (0.125 + 2.5) / 2),
        ("mse", None, (0.25 + 9) / 2),
        ("huber", [1.0, 0.5], (0.125 + 1.25) / 2),
        ("mse", [0.5, 1.0], (0.125 + 9) / 2),
    ],
)
def test_losses_by_hand(loss: str, weights: list[float] | None, value: float) -> None:
    """Fails if the wrong action is looked at, or weights act on the mean and not on the rows."""
    held = batch(weights)
    losses = task(loss=loss).losses(Table(), held)
    assert losses["loss"].item() == pytest.approx(value)
    assert losses["q_value"].item() == 3.0
    assert held.errors is not None
    assert held.errors.tolist() == [0.5, -3.0]


def test_gradient_stops_at_the_target() -> None:
    """Fails if the target learns too: with the Huber loss the gradient is -error, clipped, over the rows."""
    model = Table()
    task().losses(model, batch())["loss"].backward()
    assert model.scale.grad is not None
    assert model.scale.grad.item() == pytest.approx((-0.5 * 1 + 1.0 * 5) / 2)


def test_metrics_by_hand() -> None:
    """Fails if a batch of few episodes counts as much as one of many, or the threshold itself is no success."""
    mean, success, returns = EpisodeMean("returns"), EpisodeMean("returns", threshold=3.0), EpisodeReturns()
    for values in ([1.0, 2.0, 3.0], [10.0]):
        for metric in (mean, success, returns):
            metric.update(Episodes(np.array(values), np.ones(len(values))), None)
    assert mean.compute() == 4.0
    assert success.compute() == 0.5
    assert returns.compute().tolist() == [1.0, 2.0, 3.0, 10.0]


def test_judging_plays_the_seeds() -> None:
    """Fails if an episode depends on those judged before: twice the same, in batches of any size."""
    learning = task(data={"validation_episodes": 6})
    torch.manual_seed(0)
    model = QNetwork()
    source = read_environment("CartPole-v1", validation_episodes=6).validation
    assert source is not None
    found = [evaluate(model, learning, source.batches(batch_size=size))[0] for size in (6, 4, 6)]
    assert found[0] == found[1] == found[2]
    assert set(found[0]) == {"mean_return", "success", "length"}
    assert found[0]["mean_return"] == found[0]["length"] > 5


def test_prediction_takes_the_largest_value(tmp_path: Path) -> None:
    learning = task()
    inputs = learning.read_inputs(["1,2,0,0", "4,3,0,0"])
    found = learning.predict(Table(), inputs.rows)
    assert [row["action"] for row in found] == [1, 0]
    assert found[0]["label"] == "push right"
    assert found[0]["q_values"] == {"push left": 1.0, "push right": 2.0}
    assert learning.describe(found[0]) == "push right  (values: push left 1, push right 2)"
    picture = learning.picture(Table(), inputs.rows, found)
    assert [axes.get_title() for axes in picture.axes] == ["1, 2, 0, 0: push right", "4, 3, 0, 0: push left"]
    assert learning.predict(Table(), torch.tensor([1.0, 2.0, 0, 0]))[0]["action"] == 1


def test_explanation_of_components() -> None:
    """Fails if another action is explained: integrated gradients of a linear value are its terms."""
    learning = task()
    rows = torch.tensor([[1.0, 2.0, 0, 0], [4.0, 3.0, 0, 0]])
    found = learning.explain(Table(), rows)
    assert found.heat.tolist() == [pytest.approx([0, 2, 0, 0]), pytest.approx([4, 0, 0, 0])]
    assert found.title(0) == "push right, value 2"
    named = learning.explain(Table(), rows, target="push left")
    assert named.heat[0].tolist() == pytest.approx([1, 0, 0, 0])
    assert named.title(0) == "push left, value 1"
    assert "cart velocity = 2" in [text.get_text() for text in found.figure().axes[0].get_yticklabels()]
    with pytest.raises(UnknownNameError, match="push left"):
        learning.explain(Table(), rows, target="push")


def test_explanation_of_frames() -> None:
    """Fails if frames of bytes cannot be explained, or the heat does not lie over the newest frame."""
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    learning = task("ALE/Pong-v5", data={"input_shape": (4, 84, 84)})
    assert learning.explanation == "grad_cam"
    torch.manual_seed(0)
    frames = torch.randint(256, (1, 4, 84, 84), dtype=torch.uint8)
    found = learning.explain(NatureQNetwork(), frames, method=learning.explanation)
    assert found.heat.shape == (1, 84, 84)
    assert torch.equal(found.inputs, frames[:, -1:].float())
    assert "value" in found.title(0)
    found.figure()
    assert learning.model_arguments(model_info("dqn_nature")) == {
        "in_channels": 4, "size": [84, 84], "num_actions": 6,
    }  # fmt: skip


def test_schema_rebuilds_the_task() -> None:
    import json

    learning = task("FrozenLake-v1", algorithm="q_learning", gamma=0.9)
    again = ValueLearning(**json.loads(json.dumps(learning.schema())))
    assert again.schema() == learning.schema()
    assert again.trainer == "rl.value_based.q_learning:QLearning"
    assert again.spec == learning.spec


def test_models_fit_the_environment() -> None:
    """Fails if a network is built for another environment, or a misfit shows only in training."""
    assert task("Acrobot-v1").model_arguments(model_info("dqn")) == {"num_features": 6, "num_actions": 3}
    assert task("FrozenLake-v1", algorithm="q_learning").model_arguments(model_info("q_learning")) == {
        "num_states": 16, "num_actions": 4,
    }  # fmt: skip
    with pytest.raises(DataError, match="one_hot"):
        task("FrozenLake-v1").model_arguments(model_info("dqn"))
    with pytest.raises(DataError, match="numbered states"):
        task(algorithm="q_learning").model_arguments(model_info("q_learning"))
    with pytest.raises(DataError, match="frames"):
        task().model_arguments(model_info("dqn_nature"))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"gamma": 1.5}, ValueError, "gamma"),
        ({"n_step": 0}, ValueError, "n_step"),
        ({"tau": 0.0}, ValueError, "tau"),
        ({"learning_starts": -1}, ValueError, "learning_starts"),
        ({"loss": "l1"}, UnknownNameError, "loss"),
        ({"replay": "prioritised"}, UnknownNameError, "prioritized"),
        ({"algorithm": "q_learning", "double": True}, ValueError, "double is for networks"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        task(**options)


def test_other_data_are_refused() -> None:
    images = Bundle.from_arrays(np.zeros((4, 2), np.float32), [0, 1, 0, 1], validation=0.0)
    with pytest.raises(DataError, match="environment"):
        ValueLearning.from_bundle(images)
    with pytest.raises(DataError, match="FrozenLake"):
        task().check_bundle(read_environment("FrozenLake-v1"))
    task().check_bundle(read_environment("CartPole-v1", test_episodes=3))
    with pytest.raises(DataError, match=r"\[4\]"):
        task().predict(Table(), torch.zeros(2, 3))
    with pytest.raises(DataError, match="table"):
        task("FrozenLake-v1", algorithm="q_learning").explain(QTable(), torch.tensor([1]))


def test_baselines_play_the_same_episodes() -> None:
    """Fails if planning is no better than chance: over dry ice it always arrives."""
    bundle = read_environment("FrozenLake-v1", options={"is_slippery": False}, test_episodes=30)
    learning = ValueLearning.from_bundle(bundle, algorithm="q_learning")
    found = {name: judge(bundle, "test") for name, judge in learning.baselines().items()}
    assert found["value iteration"] == {"mean_return": 1.0, "success": 1.0, "length": 6.0}
    assert found["random actions"]["success"] < 0.3
    assert set(task().baselines()) == {"random actions"}


def entries() -> list[Entry]:
    from rl.value_based.catalog import MODELS

    return list(MODELS)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_entries_train_as_they_say(entry: Entry) -> None:
    """Fails if an entry's options or its count of parameters are wrong."""
    from zoo.registry import create_model

    environment = "FrozenLake-v1" if entry.name == "q_learning" else "CartPole-v1"
    ValueLearning.from_bundle(read_environment(environment), **entry.task_options)
    model = create_model(entry.name)
    assert sum(parameter.numel() for parameter in model.parameters()) == entry.num_params
