"""Names of observations' components and of actions, as the environments' documentation gives them.

Source: https://gymnasium.farama.org, pages "Classic Control", "Box2D" and "Toy Text".
"""

from collections.abc import Mapping
from types import MappingProxyType

COMPONENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "CartPole": ("cart position", "cart velocity", "pole angle", "pole angular velocity"),
        "MountainCar": ("position", "velocity"),
        "Acrobot": ("cos angle 1", "sin angle 1", "cos angle 2", "sin angle 2", "velocity 1", "velocity 2"),
        "LunarLander": ("x", "y", "velocity x", "velocity y", "angle", "angular velocity", "left leg", "right leg"),
    }
)
_DIRECTIONS = ("left", "down", "right", "up")
ACTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "CartPole": ("push left", "push right"),
        "MountainCar": ("push left", "none", "push right"),
        "Acrobot": ("torque -1", "torque 0", "torque +1"),
        "LunarLander": ("none", "left engine", "main engine", "right engine"),
        "FrozenLake": _DIRECTIONS,
        "FrozenLake8x8": _DIRECTIONS,
        "CliffWalking": ("up", "right", "down", "left"),
        "Taxi": ("south", "north", "east", "west", "pick up", "drop off"),
    }
)


def component_names(environment_id: str, count: int) -> tuple[str, ...]:
    """A name for each of `count` components, plain numbers where none are known."""
    known = COMPONENTS.get(_base(environment_id), ())
    return known if len(known) == count else tuple(f"component {index}" for index in range(count))


def action_names(environment_id: str, count: int) -> tuple[str, ...]:
    """A name for each of `count` actions, plain numbers where none are known."""
    known = ACTIONS.get(_base(environment_id), ())
    return known if len(known) == count else tuple(f"action {index}" for index in range(count))


def _base(environment_id: str) -> str:
    """ "CartPole-v1" to "CartPole"."""
    return environment_id.rpartition("-v")[0]
