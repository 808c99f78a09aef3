"""Networks and tables of action values, and acting by them."""

import numpy as np
import pytest
import torch
from torch import nn

from rl.value_based.acting import best_actions, epsilon_greedy, q_function
from rl.value_based.networks import DuelingHead, NatureQNetwork, QNetwork, QTable


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_nature_network_has_the_size_of_the_paper() -> None:
    """Fails if a layer differs: 8,224 + 32,832 + 36,928 + 1,606,144 + 3,078 for 6 actions."""
    model = NatureQNetwork()
    assert size(model) == 1_687_206
    assert model(torch.zeros(2, 4, 84, 84, dtype=torch.uint8)).shape == (2, 6)
    assert model.body(torch.zeros(1, 4, 84, 84)).shape == (1, 64, 7, 7)


def test_nature_network_scales_frames() -> None:
    """Fails if bytes and floats of the same frame give other values, or frames are not divided by 255."""
    torch.manual_seed(0)
    model = NatureQNetwork(size=(36, 40), in_channels=2)
    frames = torch.randint(256, (3, 2, 36, 40), dtype=torch.uint8)
    assert torch.equal(model(frames), model(frames.float()))
    first = model.body[0]
    assert torch.allclose(model.body(frames / 255), model.body[1:](first(frames.float() / 255)))
    assert not torch.allclose(model(frames), model.head(model.body(frames.float()).flatten(1)))


@pytest.mark.parametrize(("dueling", "count"), [(False, 67_586), (True, 133_635)])
def test_network_size(dueling: bool, count: int) -> None:
    assert size(QNetwork(dueling=dueling)) == count


def test_dueling_head_by_hand() -> None:
    """Fails if the mean is over rows, or left out: value 10, advantages 1, 2, 6 with mean 3 give 8, 9, 13."""
    head = DuelingHead(1, 1, 3)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.zero_()
        head.value[2].bias.fill_(10.0)
        head.advantage[2].bias.copy_(torch.tensor([1.0, 2.0, 6.0]))
    assert head(torch.zeros(2, 1)).tolist() == [[8.0, 9.0, 13.0]] * 2


def test_advantages_do_not_move_the_mean() -> None:
    """Fails for equation 8 (the maximum) in place of equation 9: the mean over actions is the state's value."""
    torch.manual_seed(0)
    head = DuelingHead(5, 7, 4)
    features = torch.randn(6, 5)
    assert torch.allclose(head(features).mean(1, keepdim=True), head.value(features), atol=1e-6)


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="widths"):
        QNetwork(widths=())
    with pytest.raises(ValueError, match="36"):
        NatureQNetwork(size=(20, 84))
    with pytest.raises(ValueError, match="num_actions"):
        QNetwork(num_actions=0)


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("widths", [(8,), (8, 16), (8, 16, 4)])
def test_numpy_gives_the_networks_values(dueling: bool, widths: tuple[int, ...]) -> None:
    """Fails if a layer or a ReLU is missing in the quick path, or it keeps old weights."""
    torch.manual_seed(0)
    model = QNetwork(num_features=3, num_actions=5, widths=widths, dueling=dueling)
    values = q_function(model)
    seen = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    before = seen.copy()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, fused=True)
    for _ in range(2):
        with torch.no_grad():
            np.testing.assert_allclose(values(seen), model(torch.from_numpy(seen)).numpy(), atol=1e-5)
        model(torch.from_numpy(seen)).square().mean().backward()
        optimizer.step()
    assert (seen == before).all()


def test_other_networks_act_through_torch() -> None:
    """Fails if a subclass, whose forward may differ, takes the quick path of its base."""

    class Doubled(QNetwork):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(features)

    model = Doubled(num_features=3)
    seen = np.ones((1, 3), np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(q_function(model)(seen), model(torch.from_numpy(seen)).numpy(), atol=1e-6)
    table = QTable(num_states=3, num_actions=2)
    with torch.no_grad():
        table.values[1] = torch.tensor([4.0, 5.0])
    assert q_function(table)(np.array([1, 0])).tolist() == [[4.0, 5.0], [0.0, 0.0]]
    assert table(torch.tensor([1])).tolist() == [[4.0, 5.0]]


def test_epsilon_greedy_chances() -> None:
    """Fails if epsilon is the chance of the best action, or a random action is never the best one."""
    generator = np.random.default_rng(0)
    seen = np.zeros((30_000, 1))

    def act(epsilon: float) -> np.ndarray:
        return epsilon_greedy(
            lambda rows: np.ones(len(rows), np.int64), seen, epsilon=epsilon, num_actions=3, generator=generator
        )

    assert np.bincount(act(0.3)) / 30_000 == pytest.approx([0.1, 0.8, 0.1], abs=0.01)
    assert (act(0.0) == 1).all()
    assert np.bincount(act(1.0)) / 30_000 == pytest.approx([1 / 3] * 3, abs=0.01)


def test_equal_values_are_drawn_among() -> None:
    """Fails if the first of equal actions is always taken: an empty table would never look round."""
    values = np.tile(np.array([2.0, -1.0, 2.0]), (20_000, 1))
    counts = np.bincount(best_actions(values, np.random.default_rng(0)), minlength=3) / 20_000
    assert counts == pytest.approx([0.5, 0.0, 0.5], abs=0.02)
