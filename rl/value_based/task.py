"""Learning the values of actions, and acting by the largest: what is learned, how it is judged and explained.

Shapes: B rows, * of one observation, A actions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rl.arithmetic import one_thread
from rl.environments.episodes import Episodes, play_episodes
from rl.environments.making import make_environment
from rl.environments.reading import TASK, as_seeds
from rl.environments.spec import EnvironmentSpec, spec_from
from rl.value_based.acting import q_function
from rl.value_based.metrics import EpisodeMean, EpisodeReturns
from zoo.data import Bundle
from zoo.errors import DataError, check_name
from zoo.records import Entry
from zoo.training import Batch, Inputs, Item, Losses, Prediction, Task, evaluation_mode

if TYPE_CHECKING:
    from gymnasium import Env
    from matplotlib.figure import Figure

    from zoo.explanation import Explanation
    from zoo.metrics import Metric

Algorithm = Literal["dqn", "q_learning"]
Loss = Literal["huber", "mse"]
Replay = Literal["uniform", "prioritized"]
TRAINERS: Mapping[str, str] = MappingProxyType(
    {"dqn": "rl.value_based.dqn:DQN", "q_learning": "rl.value_based.q_learning:QLearning"}
)
LOSSES: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {"huber": nn.functional.smooth_l1_loss, "mse": nn.functional.mse_loss}
)
MOST_COMPONENTS = 4  # of an observation that fit into the title of a panel
# -- Options that a table takes too.
SHARED = (
    "gamma", "initial_epsilon", "final_epsilon", "exploration_fraction", "exploration_steps", "evaluation_epsilon",
)  # fmt: skip


class ValueBatch(NamedTuple):
    """What a network learns from in one step.

    targets: [B] what the values of the actions taken should be.
    weights: [B] by which the losses count, or None.
    errors:  [B] an output: `ValueLearning.losses` writes the targets less the values into it; None if nobody asks.
    """

    observations: Tensor
    actions: Tensor
    targets: Tensor
    weights: Tensor | None = None
    errors: Tensor | None = None


@dataclass(kw_only=True, eq=False)
class ValueLearning(Task):
    """Trains and judges agents that learn action values. The options, `algorithm` apart, are slots that all combine.

    environment:          its record.
    algorithm:            "dqn", for networks; "q_learning", for tables, which takes of the others only the discount,
                          exploration and `evaluation_epsilon`.
    gamma:                discount per step, 0..1.
    loss:                 of the temporal-difference error; "huber" is quadratic up to 1 and linear from there.
    double:               the online network chooses the next action that the target network values (double DQN).
    replay:               how the memory is drawn from; priority_alpha and priority_beta: see `PrioritizedReplay`.
    n_step:               steps of a return before the network's value is taken.
    buffer_size:          slots of the memory; learning_starts: environment steps of random play before learning.
    train_every:          environment steps from one turn of learning to the next; updates_per_train: optimizer steps
                          in each.
    target_update_every:  environment steps between changes of the target network; tau: how far it then moves to the
                          online one, 1 for all the way.
    initial_epsilon, final_epsilon: chance of a random action, falling in a line over `exploration_steps` environment
                          steps, or where that is None over the fraction `exploration_fraction` of the run.
    evaluation_epsilon:   the same in judged episodes.
    clip_rewards:         learn from the sign of rewards alone, so that one set of rates suits all Atari games.
    """

    environment: EnvironmentSpec | Mapping[str, Any]
    algorithm: Algorithm = "dqn"
    gamma: float = 0.99
    loss: Loss = "huber"
    double: bool = False
    replay: Replay = "uniform"
    priority_alpha: float = 0.6
    priority_beta: float = 0.4
    n_step: int = 1
    buffer_size: int = 100_000
    learning_starts: int = 1_000
    train_every: int = 256
    updates_per_train: int = 128
    target_update_every: int = 10
    tau: float = 1.0
    initial_epsilon: float = 1.0
    final_epsilon: float = 0.04
    exploration_fraction: float = 0.16
    exploration_steps: int | None = None
    evaluation_epsilon: float = 0.0
    clip_rewards: bool = False

    name = TASK
    monitor = "mean_return"
    mode: ClassVar[Literal["min", "max"]] = "max"  # type: ignore[misc]
    suffixes = frozenset({".npy", ".csv"})
    # rl-baselines3-zoo's settings of DQN for CartPole-v1, as are the defaults above.
    recipe: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {
            "epochs": 50, "lr": 2.3e-3, "schedule": "constant", "optimizer": "adam", "weight_decay": 0.0,
            "batch_size": 64, "clip_norm": 10.0, "checkpoint_seconds": 30.0, "log_every_steps": 128,
        }
    )  # fmt: skip
    explanation: ClassVar[str] = "integrated_gradients"

    def __post_init__(self) -> None:
        self.spec = spec_from(self.environment)
        self.environment = self.spec
        check_name("algorithm", self.algorithm, TRAINERS)
        check_name("loss", self.loss, LOSSES)
        check_name("replay", self.replay, ("uniform", "prioritized"))
        self._check_numbers()
        if self.algorithm == "q_learning":
            self._check_table_options()
        self.trainer = TRAINERS[self.algorithm]
        if self.spec.is_image:
            self.explanation = "grad_cam"  # type: ignore[misc]  # the class says what suits vectors
        self._players: list[Env] = []

    def _check_numbers(self) -> None:
        """Raises ValueError for numbers out of range."""
        within = ("gamma", "priority_alpha", "priority_beta", "initial_epsilon", "final_epsilon")
        for name in (*within, "exploration_fraction", "evaluation_epsilon", "tau"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be in 0..1.")
        for name in ("n_step", "buffer_size", "train_every", "updates_per_train", "target_update_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is needed.")
        if self.learning_starts < 0 or (self.exploration_steps or 0) < 0 or self.tau == 0:
            raise ValueError("learning_starts and exploration_steps must not be negative, and tau must be above 0.")

    def _check_table_options(self) -> None:
        """Raises ValueError for options that tables have no use for."""
        defaults = {name: field.default for name, field in type(self).__dataclass_fields__.items()}
        for name, value in defaults.items():
            if name not in ("environment", "algorithm", *SHARED) and getattr(self, name) != value:
                raise ValueError(f"{name} is for networks; Q-learning in a table takes {', '.join(SHARED)}.")

    @classmethod
    def from_bundle(cls, bundle: Bundle, **options: Any) -> "ValueLearning":
        """The task for the environment of a bundle."""
        if not isinstance(bundle.preprocessing, EnvironmentSpec):
            raise DataError(f"The task {TASK} needs an environment, such as CartPole-v1; these data are {bundle.task}.")
        return cls(environment=bundle.preprocessing, **options)

    def schema(self) -> dict[str, Any]:
        return asdict(self)

    def model_arguments(self, entry: Entry) -> dict[str, Any]:
        spec, shape = self.spec, self.spec.observation_shape
        if self.algorithm == "q_learning":
            if spec.num_states is None:
                raise DataError(f"{entry.name} needs numbered states; {spec.id} gives {list(shape)}: try dqn.")
            return {"num_states": spec.num_states, "num_actions": spec.num_actions}
        if spec.num_states is not None:
            raise DataError(
                f"{entry.name} takes vectors, and the states of {spec.id} are numbered: train q_learning, or turn them "
                "into vectors by the data option wrappers=one_hot."
            )
        if len(entry.input_shape) != len(shape):
            wanted = "stacked frames" if len(entry.input_shape) == 3 else "flat observations"
            raise DataError(f"{entry.name} takes {wanted}; observations of {spec.id} have the shape {list(shape)}.")
        if spec.is_image:
            return {"in_channels": shape[0], "size": list(shape[1:]), "num_actions": spec.num_actions}
        return {"num_features": shape[0], "num_actions": spec.num_actions}

    # Learning and judging

    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        """`batch` is a `ValueBatch`."""
        observations, actions, targets, weights, errors = batch
        values = model(observations).gather(1, actions[:, None])[:, 0]  # [B]
        if errors is not None:
            errors.copy_((targets - values).detach())
        if weights is None:
            loss = LOSSES[self.loss](values, targets)
        else:
            loss = (weights * LOSSES[self.loss](values, targets, reduction="none")).mean()
        return {"loss": loss, "q_value": values.detach().mean()}

    def metrics(self) -> dict[str, "Metric"]:
        metrics: dict[str, Any] = {"mean_return": EpisodeMean("returns")}
        if self.spec.reward_threshold is not None:
            metrics["success"] = EpisodeMean("returns", threshold=self.spec.reward_threshold)
        metrics["length"] = EpisodeMean("lengths", higher_is_better=None)
        return {**metrics, "returns": EpisodeReturns()}

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Episodes, np.ndarray]:
        """The episodes of a batch of seeds, played by the largest values."""
        seeds = as_seeds(batch)
        with one_thread(model):
            return self.play(self.policy(model), seeds), seeds

    def policy(self, model: nn.Module) -> Callable[[np.ndarray], np.ndarray]:
        """Observations [B, *] to the actions [B] of the largest values."""
        q_values = q_function(model)
        return lambda observations: q_values(observations).argmax(1)

    def play(self, policy: Callable[[np.ndarray], np.ndarray], seeds: Sequence[int] | np.ndarray) -> Episodes:
        """The episodes of `seeds`, played by a policy; the environments are kept for the next time."""
        while len(self._players) < len(seeds):
            self._players.append(make_environment(self.spec))
        return play_episodes(
            policy, self._players[: len(seeds)], list(seeds), num_actions=self.spec.num_actions,
            step_limit=self.spec.step_limit, epsilon=self.evaluation_epsilon,
        )  # fmt: skip

    def figures(self, metrics: Mapping[str, "Metric"]) -> dict[str, "Figure"]:
        from rl.value_based.pictures import returns_figure

        returns = metrics["returns"].compute()
        assert isinstance(returns, Tensor)
        return {"returns": returns_figure(returns.numpy(), threshold=self.spec.reward_threshold)}

    def record(self, model: nn.Module, path: str | PathLike[str], *, seed: int = 0, max_frames: int = 500) -> float:
        """Writes an episode of the policy as a GIF, and returns what it paid."""
        from rl.environments.recording import record_episode, save_gif

        with evaluation_mode(model):
            frames, total, fps = record_episode(self.policy(model), self.spec, seed=seed, max_frames=max_frames)
        save_gif(frames, path, fps=fps)
        return total

    # Single observations

    def read_inputs(self, items: Sequence[Item]) -> Inputs:
        """Observations as text, "0.1,0.2,0,0", or from .npy and .csv files, a row each."""
        from rl.environments.observations import read_observations

        return read_observations(items, self.spec)

    @torch.no_grad()
    def predict(self, model: nn.Module, inputs: Any) -> list[Prediction]:
        """For each observation of `inputs` [B, *] the action taken, by number and by name, and the values of all."""
        batch = self._batch(inputs, model)
        with evaluation_mode(model):
            values = model(batch).float().cpu()  # [B, A]
        names = self.spec.action_names
        return [
            {
                "action": int(row.argmax()),
                "label": names[int(row.argmax())],
                "q_values": dict(zip(names, row.tolist(), strict=True)),
            }
            for row in values
        ]

    def describe(self, prediction: Prediction) -> str:
        values = ", ".join(f"{name} {value:.4g}" for name, value in prediction["q_values"].items())
        return f"{prediction['label']}  (values: {values})"

    def picture(self, model: nn.Module, inputs: Any, predictions: Sequence[Prediction]) -> "Figure":
        from rl.value_based.pictures import values_figure

        batch = self._batch(inputs, model)
        if self.spec.num_states is not None:
            places = [f"state {state}" for state in batch.tolist()]
        elif self.spec.is_image or batch.shape[1] > MOST_COMPONENTS:
            places = [f"observation {number}" for number in range(1, len(batch) + 1)]
        else:
            places = [", ".join(f"{value:.3g}" for value in row) for row in batch.tolist()]
        return values_figure([prediction["q_values"] for prediction in predictions], places)

    def explain(
        self,
        model: nn.Module,
        inputs: Any,
        *,
        method: str = "integrated_gradients",
        target: Any = None,
        layer: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> "Explanation":
        """Heat over the components or the pixels of observations, for the value of an action: by number or name."""
        from zoo.explanation import ColumnView, explain

        spec = self.spec
        if spec.num_states is not None:
            raise DataError("A table holds a value for each state by itself: there is no part of a state to look at.")
        if isinstance(target, str):
            check_name("action", target, spec.action_names)
            target = spec.action_names.index(target)
        batch = self._batch(inputs, model).float()
        texts = [[f"{value:.3g}" for value in row] for row in batch.flatten(1).tolist()] if not spec.is_image else []
        view = None if spec.is_image else ColumnView(names=spec.component_names, values=texts)
        found = explain(model, batch, method=method, target=target, layer=layer, options=options, view=view)
        assert found.logits is not None, "values of actions are what is explained"
        assert found.target is not None, "no function of them is"
        chosen = found.logits.gather(1, found.target[:, None])[:, 0].tolist()
        titles = [
            f"{spec.action_names[action]}, value {value:.4g}"
            for action, value in zip(found.target.tolist(), chosen, strict=True)
        ]
        shown = found.inputs[:, -1:] if spec.is_image else found.inputs  # the newest frame
        return replace(found, inputs=shown, target=None, labels=titles)

    def _batch(self, inputs: Any, model: nn.Module) -> Tensor:
        """Observations, or a single one, as a batch on the model's device.

        Raises: DataError if they are not of this environment.
        """
        batch = torch.as_tensor(inputs)
        shape = self.spec.observation_shape
        if batch.ndim == len(shape):
            batch = batch[None]
        if tuple(batch.shape[1:]) != tuple(shape) or batch.ndim != len(shape) + 1:
            raise DataError(f"Observations of {self.spec.id} are {list(shape)}; got {list(batch.shape)}.")
        batch = batch.float() if batch.dtype == torch.float64 else batch
        return batch.to(next(model.parameters()).device)

    # Other environments, and what to compare with

    def check_bundle(self, bundle: Bundle) -> None:
        """Raises DataError unless the bundle is of the very environment that the agent learned in."""
        spec = bundle.preprocessing
        if spec != self.spec:
            other = spec.id if isinstance(spec, EnvironmentSpec) else bundle.task
            raise DataError(
                f"The agent is judged in {self.spec.id} as it learned in it; {other}, or the same with other options, "
                "needs a task of its own: zoo.evaluate(model, ValueLearning.from_bundle(bundle), batches)."
            )

    def baselines(self) -> Mapping[str, Callable[[Bundle, str], dict[str, float]]]:
        found = {"random actions": self._judge_random}
        if self.spec.num_states is not None:
            found["value iteration"] = self._judge_planned
        return found

    def _judge_random(self, bundle: Bundle, split: str) -> dict[str, float]:
        generator = np.random.default_rng(0)
        count = self.spec.num_actions
        return self._judged(lambda observations: generator.integers(count, size=len(observations)), bundle, split)

    def _judge_planned(self, bundle: Bundle, split: str) -> dict[str, float]:
        from rl.value_based.value_iteration import greedy_policy, transition_model, value_iteration

        transitions = transition_model(make_environment(self.spec))
        best = greedy_policy(transitions, value_iteration(transitions, gamma=self.gamma), gamma=self.gamma)
        return self._judged(lambda states: best[states], bundle, split)

    def _judged(self, policy: Callable[[np.ndarray], np.ndarray], bundle: Bundle, split: str) -> dict[str, float]:
        """The metrics of a policy on a part of a bundle."""
        metrics: dict[str, Any] = self.metrics()
        metrics.pop("returns")
        for batch in bundle.parts[split].unaugmented().batches(batch_size=100):
            seeds = as_seeds(batch)
            episodes = self.play(policy, seeds)
            for metric in metrics.values():
                metric.update(episodes, seeds)
        return {name: float(metric.compute()) for name, metric in metrics.items()}
