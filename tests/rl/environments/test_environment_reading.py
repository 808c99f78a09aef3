"""Environments by name: records, bundles, errors."""

import json
from dataclasses import asdict

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
        ("Blackjack-v1", {}, "Box or Discrete"),
        ("CartPole-v1", {"num_envs": 0}, "num_envs"),
        ("CartPole-v1", {"steps_per_epoch": -5}, "steps_per_epoch"),
    ],
)
def test_mistakes_are_named(name: str, options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_environment(name, **options)


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
