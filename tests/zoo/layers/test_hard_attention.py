"""Hard attention: what is drawn, and the score-function estimator against the gradient by enumeration."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zoo.layers import make_layer
from zoo.layers.hard_attention import HardAttention, HardReading, ScoreFunctionLoss

SCORES = ("additive", "dot", "general", "concat")


def layer(score: str = "general", seed: int = 0) -> HardAttention:
    torch.manual_seed(seed)
    return HardAttention(score, query_width=3, memory_width=3, hidden=4).double()


def toy(seed: int = 1):
    """A query [1, 1, 3], a memory [1, 4, 3] of which the last place is masked, and losses by place."""
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(1, 1, 3, generator=generator).double().requires_grad_()
    memory = torch.randn(1, 4, 3, generator=generator).double()
    return query, memory, torch.tensor([[True, True, True, False]]), torch.tensor([2.0, -1.0, 5.0, 1e3]).double()


def exact_probs(found: HardAttention, query, memory, mask):
    energies = found.energies(query, found.keys(memory))[0, 0]
    return energies.masked_fill(~mask[0], -torch.inf).softmax(0)


def exact_gradient(found: HardAttention, query, memory, mask, costs, entropy_weight=0.0):
    """Of the expected loss, less the weighted entropy, by enumeration of the places."""
    probs = exact_probs(found, query, memory, mask)[:3]
    expected = (probs * costs[:3]).sum() + entropy_weight * (probs * probs.log()).sum()
    return torch.autograd.grad(expected, [query, *found.parameters()])


@pytest.mark.parametrize("score", SCORES)
def test_places_are_drawn_by_their_probability(score):
    """Fails if the draw is of other weights than the reported ones, or masked places are drawn."""
    found = layer(score)
    query, memory, mask, _ = toy()
    rows = 20_000
    generator = torch.Generator().manual_seed(0)
    reading = found(query.expand(rows, -1, -1), memory.expand(rows, -1, -1), mask=mask, generator=generator)
    probs = exact_probs(found, query, memory, mask)
    shares = torch.bincount(reading.place[:, 0], minlength=4) / rows
    torch.testing.assert_close(shares.double(), probs, atol=4 * (0.25 / rows) ** 0.5, rtol=0)
    torch.testing.assert_close(reading.log_prob[:, 0].exp(), probs[reading.place[:, 0]])
    assert torch.equal(reading.context[:, 0], memory[0, reading.place[:, 0]])
    entropy = -(probs[:3] * probs[:3].log()).sum()
    torch.testing.assert_close(reading.entropy[:, 0], entropy.expand(rows))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("baseline", [0.0, 3.0])
def test_mean_of_the_estimator_is_the_gradient_by_enumeration(score, baseline):
    """The mean over all places by their probability is exact: fails for a wrong sign, a gradient through the loss'
    weight, or a baseline that moves the mean."""
    found = layer(score)
    query, memory, mask, costs = toy()
    expected = exact_gradient(found, query, memory, mask, costs, entropy_weight=0.7)
    loss = ScoreFunctionLoss(entropy_weight=0.7)
    inputs = [query, *found.parameters()]
    mean = [torch.zeros_like(one) for one in inputs]
    log_probs = exact_probs(found, query, memory, mask).log()
    for place, prob in enumerate(log_probs[:3].detach().exp()):
        probs = exact_probs(found, query, memory, mask)
        entropy = -(probs[:3] * probs[:3].log()).sum()
        reading = HardReading(memory, torch.tensor([[place]]), probs[place].log()[None, None], entropy[None, None])
        loss.baseline.fill_(baseline)
        gradient = torch.autograd.grad(loss(costs[place][None], reading), inputs)
        mean = [total + prob * part for total, part in zip(mean, gradient, strict=True)]
    torch.testing.assert_close(mean, list(expected))


def test_mean_over_samples_of_the_layer_is_the_gradient_by_enumeration():
    """Layer and loss together, many rows, within four standard errors. The loss depends on the query's layer through
    the choice alone."""
    found = layer()
    query, memory, mask, costs = toy()
    expected = exact_gradient(found, query, memory, mask, costs)[1]  # of found.query.weight
    estimates = []
    generator = torch.Generator().manual_seed(5)
    loss = ScoreFunctionLoss().eval()
    loss.baseline.fill_(2.0)
    for _ in range(64):
        reading = found(query.expand(500, -1, -1), memory.expand(500, -1, -1), mask=mask, generator=generator)
        value = loss(costs[reading.place[:, 0]], reading)
        estimates.append(torch.autograd.grad(value, found.query.weight)[0])
    stacked = torch.stack(estimates)
    error = stacked.std(0) / len(estimates) ** 0.5
    assert ((stacked.mean(0) - expected).abs() < 4 * error + 1e-9).all()
    assert (expected.abs() > 8 * error).any()  # the test would see a gradient of 0


def test_a_baseline_near_the_mean_makes_the_estimate_quieter():
    found = layer()
    query, memory, mask, costs = toy()
    spread = {}
    for baseline in (0.0, 1002.0):
        loss = ScoreFunctionLoss().eval()
        loss.baseline.fill_(baseline)
        gradients = []
        for seed in range(40):
            generator = torch.Generator().manual_seed(seed)
            reading = found(query.expand(20, -1, -1), memory.expand(20, -1, -1), mask=mask, generator=generator)
            value = loss(costs[reading.place[:, 0]] + 1000, reading)
            gradients.append(torch.autograd.grad(value, found.query.weight)[0])
        spread[baseline] = torch.stack(gradients).std(0).max().item()
    assert spread[1002.0] < spread[0.0] / 50


def test_the_baseline_is_the_moving_average_of_the_batches_before():
    """b_k = 0.9 b_{k-1} + 0.1 mean: fails if the present batch is in its own baseline, or evaluation moves it."""
    loss = ScoreFunctionLoss(decay=0.9)
    log_prob = torch.zeros(2, 1, requires_grad=True)
    reading = HardReading(torch.zeros(2, 1, 1), torch.zeros(2, 1, dtype=torch.long), log_prob, torch.zeros(2, 1))
    value = loss(torch.tensor([1.0, 3.0]), reading)
    assert value.item() == 2.0
    value.backward()
    assert log_prob.grad[:, 0].tolist() == [0.5, 1.5]
    assert loss.baseline.item() == pytest.approx(0.2)
    loss(torch.tensor([1.0, 3.0]), reading)
    assert loss.baseline.item() == pytest.approx(0.38)
    loss.eval()(torch.tensor([1.0, 3.0]), reading)
    assert loss.state_dict()["baseline"].item() == pytest.approx(0.38)


def test_choices_of_a_row_share_its_loss():
    """Two queries of a row: both log-probabilities get the row's cost."""
    log_prob = torch.zeros(1, 2, requires_grad=True)
    reading = HardReading(torch.zeros(1, 2, 1), torch.zeros(1, 2, dtype=torch.long), log_prob, torch.zeros(1, 2))
    ScoreFunctionLoss(weight=2.0)(torch.tensor([3.0]), reading).backward()
    assert log_prob.grad.tolist() == [[6.0, 6.0]]


def test_what_reads_the_context_gets_its_own_gradient_alone():
    """Fails if the loss that weighs the choices is not detached: the reader's gradient would be scaled by them."""
    reader = torch.tensor(3.0, requires_grad=True)
    reading = HardReading(
        torch.zeros(2, 1, 1), torch.zeros(2, 1, dtype=torch.long), torch.full((2, 1), -5.0), torch.zeros(2, 1)
    )
    ScoreFunctionLoss()(reader * torch.tensor([1.0, 2.0]), reading).backward()
    assert reader.grad.item() == 1.5


def test_evaluation_reads_the_most_probable_place():
    found = layer().eval()
    query, memory, mask, _ = toy()
    state = torch.get_rng_state()
    reading = found(query, memory, mask=mask)
    assert torch.equal(torch.get_rng_state(), state)
    assert reading.place.item() == exact_probs(found, query, memory, mask).argmax()


@pytest.mark.parametrize("training", [True, False])
def test_a_row_with_nothing_to_read(training):
    """Fails if it draws a masked place, or its logarithm of 0 spoils the gradient."""
    found = layer("additive").train(training)
    memory = torch.randn(2, 3, 3).double().requires_grad_()
    reading = found(torch.randn(2, 2, 3).double(), memory, mask=torch.tensor([[True, False, False], [False] * 3]))
    assert reading.place.tolist() == [[0, 0], [-1, -1]]
    assert not reading.context[1].any()
    assert not reading.log_prob[1].any()
    assert not reading.entropy[1].any()
    ScoreFunctionLoss(entropy_weight=1.0)(reading.context.square().sum((1, 2)), reading).backward()
    assert all(parameter.grad.isfinite().all() for parameter in found.parameters())
    assert not memory.grad[1].any()
    with pytest.raises(ValueError, match="no place"):
        found(torch.randn(2, 2, 3).double(), memory[:, :0])


def test_extreme_energies_in_bfloat16_stay_finite():
    found = HardAttention("dot", query_width=2, memory_width=2, hidden=0).bfloat16()
    memory = torch.tensor([[[1e3, 0.0], [-1e3, 0.0]]]).bfloat16().requires_grad_()
    reading = found(memory.detach()[:, :1], memory)
    assert reading.place.item() == 0
    assert reading.context.dtype == torch.bfloat16
    assert reading.log_prob.dtype == torch.float32
    (reading.log_prob + reading.entropy).sum().backward()
    assert memory.grad.isfinite().all()


def test_it_learns_where_to_look():
    """A memory of 6 places, one of which has the mark; its second number is the class. Chance is one half."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = nn.ModuleDict(
        {"attention": HardAttention("general", query_width=1, memory_width=2, hidden=0), "head": nn.Linear(2, 2)}
    )
    loss = ScoreFunctionLoss(entropy_weight=0.01)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)

    def batch(rows):
        labels = torch.randint(2, (rows,), generator=generator)
        values = torch.randint(2, (rows, 6), generator=generator)
        marks = torch.randint(6, (rows,), generator=generator)
        values[torch.arange(rows), marks] = labels
        return torch.stack([F.one_hot(marks, 6), 2 * values - 1], dim=2).float(), labels

    for _ in range(300):
        memory, labels = batch(128)
        reading = model["attention"](torch.ones(128, 1, 1), memory, generator=generator)
        costs = F.cross_entropy(model["head"](reading.context[:, 0]), labels, reduction="none")
        optimizer.zero_grad()
        loss(costs, reading).backward()
        optimizer.step()
    memory, labels = batch(1000)
    reading = model["attention"].eval()(torch.ones(1000, 1, 1), memory)
    assert (memory[torch.arange(1000), reading.place[:, 0], 0] == 1).float().mean() > 0.95
    assert (model["head"](reading.context[:, 0]).argmax(1) == labels).float().mean() > 0.95


def test_bad_values_are_named():
    reading = layer()(*toy()[:2])
    with pytest.raises(ValueError, match="reduction='none'"):
        ScoreFunctionLoss()(torch.tensor(1.0), reading)
    with pytest.raises(ValueError, match="decay"):
        ScoreFunctionLoss(decay=1.0)
    with pytest.raises(ValueError, match="entropy_weight"):
        ScoreFunctionLoss(entropy_weight=-1.0)
    options = {"query_width": 3, "memory_width": 3, "hidden": 4}
    assert isinstance(make_layer("hard_attention", score="additive", **options), HardAttention)
