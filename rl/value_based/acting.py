"""Which action a network takes, for one observation or many.

Shapes: B observations, * of one observation, A actions.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from rl.environments.episodes import Policy
from rl.value_based.networks import DuelingHead, QNetwork, QTable

QValues = Callable[[np.ndarray], np.ndarray]


def q_function(model: nn.Module) -> QValues:
    """Observations [B, *] to values [B, A], in NumPy where that is exact and quicker.

    A small network costs torch ten times its arithmetic for one observation; NumPy reads the same memory, so that it
    always sees the weights as they are now. Ask again once a model was moved to another device.
    """
    on_cpu = all(parameter.device.type == "cpu" for parameter in model.parameters())
    plain = all(parameter.dtype == torch.float32 for parameter in model.parameters())
    if type(model) is QTable and on_cpu:
        table = model.values.detach().numpy()
        return lambda states: table[states]
    if type(model) is QNetwork and on_cpu and plain:
        return _numpy_q_function(model)
    return _torch_q_function(model)


def _torch_q_function(model: nn.Module) -> QValues:
    device = next(model.parameters()).device

    def q_values(observations: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            values: np.ndarray = model(torch.from_numpy(observations).to(device)).float().cpu().numpy()
        return values

    return q_values


def _numpy_q_function(model: QNetwork) -> QValues:
    body = _layers(model.body)
    head = model.head
    if isinstance(head, DuelingHead):
        value, advantage = _layers(head.value), _layers(head.advantage)

        def dueling(observations: np.ndarray) -> np.ndarray:
            hidden = _through(body, observations, last_relu=True)
            advantages = _through(advantage, hidden, last_relu=False)
            return _through(value, hidden, last_relu=False) + advantages - advantages.mean(1, keepdims=True)

        return dueling
    layers = body + _layers(head)
    return lambda observations: _through(layers, observations, last_relu=False)


def _layers(part: nn.Module) -> list[tuple[np.ndarray, np.ndarray]]:
    """Transposed weights and biases of the linear layers, in the memory of the parameters."""
    linear = [layer for layer in part.children() if isinstance(layer, nn.Linear)]
    return [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in linear]


def _through(layers: list[tuple[np.ndarray, np.ndarray]], x: np.ndarray, *, last_relu: bool) -> np.ndarray:
    last = len(layers) - 1
    for index, (weight, bias) in enumerate(layers):
        x = x @ weight
        x += bias
        if index < last or last_relu:
            np.maximum(x, 0, out=x)
    return x


def best_actions(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Values [B, A] to the actions [B] of the largest ones, of equal ones any with the same chance."""
    draws = np.where(values == values.max(1, keepdims=True), generator.random(values.shape), -1.0)
    actions: np.ndarray = draws.argmax(1)
    return actions


def epsilon_greedy(
    policy: Policy, observations: np.ndarray, *, epsilon: float, num_actions: int, generator: np.random.Generator
) -> np.ndarray:
    """Actions [B]: of each row a random one with the chance `epsilon`, else the policy's.

    The policy is only asked if a row needs it.
    """
    count = len(observations)
    if epsilon >= 1:
        return generator.integers(num_actions, size=count)
    explore = generator.random(count) < epsilon
    if explore.all():
        return generator.integers(num_actions, size=count)
    actions = policy(observations)
    if explore.any():
        actions[explore] = generator.integers(num_actions, size=int(explore.sum()))
    return actions
