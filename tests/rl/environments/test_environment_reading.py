"""Environments by name: records, bundles, errors."""

import json
import sys
from dataclasses import asdict

import gymnasium
import numpy as np
import pytest

from rl.environments.episodes import seeds_of
from rl.environments.making import describe_environment, make_environment
from rl.environments.reading import Experience, read_environment
from rl.environments.spec import spec_from
from zoo.errors import DataError, UnknownNameError


def test_record_of_cartpole() -> None:
    """Fails if the threshold or the limit of the environment is lost."""
    spec = describe_environment("CartPole-v1")
    assert (spec.observation_shape, spec.observation_dtype, spec.num_states) == ((4,), "float32", None)
    assert (spec.num_actions, spec.reward_threshold, spec.max_episode_steps) == (2, 475.0, 500)
    assert spec.component_names[2] == "pole angle"
    assert spec.action_names == ("push left", "push right")


def test_record_survives_json() -> None:
    spec = describe_environment("FrozenLake-v1", options={"map_name": "8x8"}, wrappers=["one_hot"])
    assert spec_from(json.loads(json.dumps(asdict(spec)))) == spec


def test_options_reach_the_environment() -> None:
    """Fails if options are kept in the record only."""
    assert describe_environment("FrozenLake-v1", options={"map_name": "8x8"}).num_states == 64


def test_one_hot_states() -> None:
    """Fails if the vector's place is not the state's number."""
    spec = describe_environment("FrozenLake-v1", wrappers=["one_hot"])
    environment = make_environment(spec)
    observation, _ = environment.reset(seed=0)
    assert observation.tolist() == [1.0] + [0.0] * 15
    assert spec.observation_shape == (16,)
    assert spec.num_states is None
    with pytest.raises(DataError, match="numbered states"):
        describe_environment("CartPole-v1", wrappers=["one_hot"])


def test_bundle_is_read_again_from_its_origin() -> None:
    """Fails if an option is missing in the origin: a resumed run would learn elsewhere."""
    options = {"map_name": "8x8"}
    bundle = read_environment(
        "FrozenLake-v1", options=options, max_episode_steps=17, num_envs=2, steps_per_epoch=30, validation_episodes=3,
        test_episodes=4, seed=5,
    )  # fmt: skip
    again = read_environment(**json.loads(json.dumps(bundle.origin)))
    assert again.fingerprint == bundle.fingerprint
    assert again.train == bundle.train
    assert isinstance(again.train, Experience)
    assert again.train.spec.max_episode_steps == 17
    assert len(again.train) == 30
    other = read_environment("FrozenLake-v1", options=options, max_episode_steps=18, num_envs=2, steps_per_epoch=30)
    assert other.fingerprint != bundle.fingerprint


def test_parts_share_no_seed() -> None:
    """Fails if a policy is chosen by the episodes that it is tested on."""
    parts = {
        (name, seed): set(seeds_of(name, count=1000, seed=seed).tolist())
        for name in ("train", "validation", "test")
        for seed in (0, 1)
    }
    assert len(set().union(*parts.values())) == 6000
    bundle = read_environment("CartPole-v1", validation_episodes=3, test_episodes=5)
    assert bundle.validation is not None
    assert bundle.test is not None
    assert [len(bundle.validation), len(bundle.test)] == [3, 5]


def test_updates_of_an_epoch() -> None:
    """Fails if schedules get a wrong length: 1000 steps at 128 updates every 256 steps are 500."""
    source = read_environment("CartPole-v1").train
    assert isinstance(source, Experience)
    assert source.updated_every(2.0).num_batches(batch_size=64) == 500


def test_parts_may_be_left_out() -> None:
    bundle = read_environment("CartPole-v1", validation_episodes=0, test_episodes=0)
    assert bundle.validation is None
    assert bundle.test is None


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("CartPol-v1", {}, "CartPole-v1"),
        ("Pendulum-v1", {}, "numbered"),
        ("CartPole-v1", {"options": {"gravity": 3}}, "gravity"),
        ("Blackjack-v1", {}, "numbered from 0"),
        ("missing_package:Maze-v0", {}, "missing_package"),
        ("/some/folder", {}, "Malformed"),
        ("CartPole-v1", {"num_envs": 0}, "num_envs"),
        ("CartPole-v1", {"steps_per_epoch": -5}, "steps_per_epoch"),
    ],
)
def test_mistakes_are_named(name: str, options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_environment(name, **options)


def test_without_gymnasium_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if gymnasium is imported before it is looked for."""
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(DataError, match="pip install 'gymnasium"):
        read_environment("CartPole-v1")


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_vectors_of_other_types_become_float32(dtype: type) -> None:
    """Fails if a network is fed numbers of a type that its weights do not have."""

    class Counter(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(0, 9, (2,), dtype)
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
            return np.zeros(2, dtype), {}

        def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
            return np.full(2, 3, dtype), 0.0, False, False, {}

    gymnasium.register("Counter-v0", entry_point=Counter, max_episode_steps=3)
    try:
        spec = describe_environment("Counter-v0")
        environment = make_environment(spec)
        assert spec.observation_dtype == "float32"
        assert environment.reset()[0].dtype == np.float32
        assert environment.step(1)[0].tolist() == [3.0, 3.0]
    finally:
        del gymnasium.registry["Counter-v0"]


def test_unknown_wrapper_is_named() -> None:
    with pytest.raises(UnknownNameError, match="one_hot"):
        read_environment("CartPole-v1", wrappers=["onehot"])


def test_experience_is_no_table() -> None:
    source = read_environment("CartPole-v1").train
    with pytest.raises(DataError, match="acting"):
        source.batches(batch_size=2)
    with pytest.raises(DataError, match="targets"):
        source.targets()
    assert len(source.unaugmented()) == 20
