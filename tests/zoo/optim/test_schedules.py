"""Schedules against torch.optim.lr_scheduler, step by step."""

import io
import json
import math
import pickle

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from zoo.errors import UnknownArgumentError, UnknownNameError
from zoo.optim import SCHEDULES, apply_schedule, make_optimizer, make_schedule
from zoo.optim.pictures import schedule_figure

TOTAL = 40
OPTIONS = {"step": {"step_size": 7}, "cosine_restarts": {"first_cycle": 7}, "cyclic": {"rise_steps": 5}}


def build(name, **options):
    return make_schedule(name, total_steps=TOTAL, **{**OPTIONS.get(name, {}), **options})


def torch_curve(make_scheduler, *, lr=0.2, steps=TOTAL):
    """Rates and momenta that torch's scheduler gives at each step."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)
    scheduler = make_scheduler(optimizer)
    curve = []
    for _ in range(steps):
        curve.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        scheduler.step()
    return curve


def own_curve(schedule, *, lr=0.2, steps=TOTAL):
    optimizer = make_optimizer("momentum", [nn.Parameter(torch.zeros(1))], lr=lr)
    curve = []
    for step in range(steps):
        apply_schedule(optimizer, schedule, step)
        curve.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
    return curve


def assert_curves_match(own, reference):
    for step, (left, right) in enumerate(zip(own, reference, strict=True)):
        assert left == pytest.approx(right, rel=1e-9, abs=1e-12), f"step {step}"


CASES = {
    "constant": ({}, lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
    "step": ({"step_size": 7, "gamma": 0.3}, lambda o: lr_scheduler.StepLR(o, step_size=7, gamma=0.3)),
    "exponential": ({"gamma": 0.9}, lambda o: lr_scheduler.ExponentialLR(o, gamma=0.9)),
    "cosine": ({"final_factor": 0.1}, lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=TOTAL, eta_min=0.02)),
    "polynomial": ({"power": 0.7}, lambda o: lr_scheduler.PolynomialLR(o, total_iters=TOTAL, power=0.7)),
    "linear": (
        {"final_factor": 0.1},
        lambda o: lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=0.1, total_iters=TOTAL),
    ),
    "cosine_restarts": (
        {"first_cycle": 5, "cycle_factor": 2, "final_factor": 0.1},
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=5, T_mult=2, eta_min=0.02),
    ),
    "cyclic": (
        {"rise_steps": 5, "fall_steps": 3, "low_factor": 0.4},
        lambda o: lr_scheduler.CyclicLR(o, 0.08, 0.2, step_size_up=5, step_size_down=3, cycle_momentum=False),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_curves_are_torchs(name):
    """Fails if a curve is a step early or late."""
    options, reference = CASES[name]
    assert_curves_match(own_curve(make_schedule(name, total_steps=TOTAL, **options)), torch_curve(reference))


def test_milestones_are_torchs():
    """Fails if the rate drops after the milestone rather than at it."""
    own = own_curve(make_schedule("step", total_steps=TOTAL, milestones=(5, 6, 30), gamma=0.5))
    assert_curves_match(own, torch_curve(lambda o: lr_scheduler.MultiStepLR(o, [5, 6, 30], gamma=0.5)))


@pytest.mark.parametrize("total_steps", [10, 37, 40])
@pytest.mark.parametrize("anneal", ["cos", "linear"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pct_start": 0.55, "div_factor": 7.0, "final_div_factor": 50.0, "base_momentum": 0.7, "max_momentum": 0.99},
        {"cycle_momentum": False},
    ],
)
def test_one_cycle_is_torchs(options, anneal, total_steps):
    """Fails if the peak is a step off, the last rate is not reached, or momentum does not mirror the rate."""
    own = own_curve(make_schedule("one_cycle", total_steps=total_steps, anneal=anneal, **options), steps=total_steps)

    # torch refuses a step beyond the last one.
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.2, momentum=0.9)
    scheduler = lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.2, total_steps=total_steps, anneal_strategy=anneal, **options
    )
    curve = []
    for step in range(total_steps):
        curve.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        if step < total_steps - 1:
            scheduler.step()
    assert_curves_match(own, curve)


def test_one_cycle_turns_adams_first_beta():
    """Fails if beta 2 is lost or turned in its place."""
    optimizer = make_optimizer("adamw", [nn.Parameter(torch.zeros(1))], lr=0.1, betas=[0.9, 0.98])
    reference = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.1, betas=(0.9, 0.98))
    scheduler = lr_scheduler.OneCycleLR(reference, max_lr=0.1, total_steps=TOTAL)
    schedule = build("one_cycle")
    for step in range(TOTAL - 1):
        apply_schedule(optimizer, schedule, step)
        assert optimizer.param_groups[0]["betas"] == pytest.approx(reference.param_groups[0]["betas"])
        reference.step()
        scheduler.step()


@pytest.mark.parametrize("total_steps", [1, 2, 3, 4])
@pytest.mark.parametrize("pct_start", [0.0, 0.3, 1.0])
def test_one_cycle_of_a_few_steps(total_steps, pct_start):
    """Fails if a run too short to rise divides by zero."""
    schedule = make_schedule("one_cycle", total_steps=total_steps, pct_start=pct_start)
    for step in range(total_steps + 2):
        assert 0 < schedule.lr_factor(step) <= 1
        assert 0.85 <= schedule.momentum(step) <= 0.95


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("cyclic", "cosine_restarts")])
@pytest.mark.parametrize("start", [0.0, 0.25])
def test_warmup_is_torchs_linear_in_front(name, start):
    """Fails if the warm-up's first step has rate 0, or the schedule loses the steps that the warm-up took."""
    warmup = 6
    options = {**CASES[name][0]}
    own = own_curve(make_schedule(name, total_steps=TOTAL, warmup_steps=warmup, warmup_start=start, **options))

    def reference(optimizer):
        first = start + (1 - start) / (warmup + 1)
        rest = {
            **{key: case[1] for key, case in CASES.items()},
            "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=TOTAL - warmup, eta_min=0.02),
            "polynomial": lambda o: lr_scheduler.PolynomialLR(o, total_iters=TOTAL - warmup, power=0.7),
            "linear": lambda o: lr_scheduler.LinearLR(o, 1.0, 0.1, total_iters=TOTAL - warmup),
        }[name](optimizer)
        rise = lr_scheduler.LinearLR(optimizer, start_factor=first, total_iters=warmup)
        return lr_scheduler.SequentialLR(optimizer, [rise, rest], milestones=[warmup])

    assert_curves_match(own, torch_curve(reference))


def test_warmup_by_hand():
    """Fails if the rise is not even: thirds of the rate, then all of it."""
    schedule = build("constant", warmup_steps=2)
    assert [schedule.lr_factor(step) for step in range(4)] == pytest.approx([1 / 3, 2 / 3, 1, 1])


def test_warmup_rises_to_the_schedules_first_rate():
    """Fails if the warm-up overshoots a schedule that starts low, or momentum moves meanwhile."""
    schedule = build("one_cycle", warmup_steps=5)
    assert max(schedule.lr_factor(step) for step in range(6)) == schedule.lr_factor(5) == pytest.approx(1 / 25)
    assert {schedule.momentum(step) for step in range(6)} == {0.95}


def test_exponential_to_a_final_share():
    """Fails if the share is taken per step: after all steps 0.01 is left, half-way its root."""
    schedule = build("exponential", final_factor=0.01)
    assert schedule.lr_factor(TOTAL) == pytest.approx(0.01)
    assert schedule.lr_factor(TOTAL // 2) == pytest.approx(0.1)


@pytest.mark.parametrize("name", SCHEDULES)
def test_past_the_end_it_stays(name):
    """Fails if a cosine rises again after its last step."""
    schedule = build(name, warmup_steps=3)
    assert schedule.lr_factor(TOTAL) == schedule.lr_factor(TOTAL + 1) == schedule.lr_factor(10 * TOTAL)
    assert schedule.momentum(TOTAL) == schedule.momentum(10 * TOTAL)


@pytest.mark.parametrize("name", SCHEDULES)
def test_resuming_needs_only_the_step(name):
    """Fails if a schedule keeps state: asked in any order, and after a copy, it answers alike."""
    schedule = build(name, warmup_steps=3)
    forward = [schedule.lr_factor(step) for step in range(TOTAL)]
    assert [schedule.lr_factor(step) for step in reversed(range(TOTAL))] == forward[::-1]
    assert pickle.loads(pickle.dumps(schedule)) == schedule

    whole, half, resumed = (nn.Parameter(torch.ones(3)) for _ in range(3))
    rates = []
    first = make_optimizer("momentum", [whole], lr=0.3)
    for step in range(TOTAL):
        apply_schedule(first, schedule, step)
        rates.append(first.param_groups[0]["lr"])
    second = make_optimizer("momentum", [half], lr=0.3)
    for step in range(15):
        apply_schedule(second, schedule, step)
    file = io.BytesIO()
    torch.save(second.state_dict(), file)
    file.seek(0)
    third = make_optimizer("momentum", [resumed], lr=0.3)
    third.load_state_dict(torch.load(file, weights_only=True))
    for step in range(15, TOTAL):
        apply_schedule(third, schedule, step)
        assert third.param_groups[0]["lr"] == rates[step]


def test_each_group_keeps_its_base_rate():
    """Fails if groups are set to one rate, or the base is taken from a rate that a schedule has changed."""
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.1, 0.001)]
    optimizer = make_optimizer("adamw", groups, lr=1.0)
    schedule = build("cosine")
    for step in (5, 20, 30):
        apply_schedule(optimizer, schedule, step)
    factor = schedule.lr_factor(30)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1 * factor, 0.001 * factor])
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))], "lr": 0.5})
    apply_schedule(optimizer, schedule, 0)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.001, 0.5])


def test_a_tensor_rate_stays_the_same_tensor():
    """Fails if the tensor that a captured step reads is replaced."""
    rate = torch.tensor(0.5)
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=rate)
    kept = optimizer.param_groups[0]["lr"]
    apply_schedule(optimizer, build("constant", warmup_steps=1), 0)
    apply_schedule(optimizer, build("constant", warmup_steps=1), 0)
    assert optimizer.param_groups[0]["lr"] is kept
    assert kept.item() == 0.25


def test_momentum_needs_a_home():
    """Fails if 1cycle leaves out the momentum in silence."""
    optimizer = torch.optim.Adagrad([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(ValueError, match="cycle_momentum=False"):
        apply_schedule(optimizer, build("one_cycle"), 0)
    apply_schedule(optimizer, build("one_cycle", cycle_momentum=False), 0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 / 25)


def test_options_from_json():
    """Fails if lists, as a saved configuration holds them, are refused."""
    options = json.loads('{"milestones": [3, 9], "gamma": 0.5}')
    assert make_schedule("step", total_steps=10, **options).lr_factor(9) == 0.25


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("step", {}, "step_size .* or milestones"),
        ("step", {"step_size": 3, "milestones": (4,)}, "step_size .* or milestones"),
        ("step", {"step_size": 0}, "at least 1"),
        ("step", {"milestones": (9, 4)}, "must rise"),
        ("exponential", {"gamma": 0.0}, "above 0"),
        ("exponential", {"final_factor": 0.0}, "above 0"),
        ("one_cycle", {"pct_start": 30}, r"0\.\.1"),
        ("one_cycle", {"anneal": "cosine"}, "'cos' or 'linear'"),
        ("one_cycle", {"div_factor": 0}, "above 0"),
        ("polynomial", {"power": 0.0}, "above 0"),
        ("cosine_restarts", {}, "first_cycle .* or num_cycles"),
        ("cosine_restarts", {"first_cycle": 3, "num_cycles": 2}, "first_cycle .* or num_cycles"),
        ("cosine_restarts", {"first_cycle": 0}, "at least 1"),
        ("cosine_restarts", {"num_cycles": 41}, "do not fit"),
        ("cosine_restarts", {"first_cycle": 3, "cycle_factor": 0}, "from 1 up"),
        ("cyclic", {"rise_steps": 0}, "needs a step"),
        ("cyclic", {"rise_steps": 3, "low_factor": 2.0}, r"0\.\.1"),
        ("cyclic", {"rise_steps": 3, "shape": "round"}, "triangular2"),
        ("cyclic", {"rise_steps": 3, "gamma": 0.0}, r"\(0, 1\]"),
        ("plateau", {"factor": 1.0}, r"\(0, 1\)"),
        ("plateau", {"patience": -1}, "negative"),
        ("plateau", {"min_factor": 2.0}, r"0\.\.1"),
        ("plateau", {"threshold_mode": "rel"}, "'relative' or 'absolute'"),
        ("plateau", {"mode": "lowest"}, "'min', 'max'"),
        ("cosine", {"warmup_steps": 40}, "do not fit"),
        ("cosine", {"warmup_steps": -1}, "do not fit"),
    ],
)
def test_values_are_checked(name, options, message):
    """Fails if a value without meaning is taken."""
    with pytest.raises(ValueError, match=message):
        make_schedule(name, total_steps=40, **options)


def test_make_schedule_names_the_nearest():
    """Fails if a misspelt name or option is swallowed."""
    with pytest.raises(UnknownNameError, match="'cosine'"):
        make_schedule("cosin", total_steps=10)
    with pytest.raises(UnknownArgumentError, match="'final_factor'"):
        make_schedule("cosine", total_steps=10, final_facto=0.1)


def test_figure_shows_rate_and_momentum():
    """Fails if the last step is left out of a long run, or momentum is drawn where there is none."""
    figure = schedule_figure(build("one_cycle"), TOTAL)
    rates, momenta = (axes.lines[0] for axes in figure.axes)
    assert max(rates.get_ydata()) == pytest.approx(1, rel=1e-2)
    assert min(momenta.get_ydata()) == pytest.approx(0.85, rel=1e-2)
    long = make_schedule("cosine", total_steps=100_001)
    (axes,) = schedule_figure(long, 100_001).axes
    steps, factors = axes.lines[0].get_data()
    assert steps[-1] == 100_000
    assert len(steps) < 2_100
    assert math.isclose(factors[-1], long.lr_factor(100_000))
    file = io.BytesIO()
    figure.savefig(file, format="png")
    assert file.getvalue()[:4] == b"\x89PNG"


def test_inverse_square_root_is_the_transformers():
    """The paper's equation 3: 1 / sqrt(width) * min(1 / sqrt(n), n / rise ** 1.5), n from 1, of its highest value."""
    width, rise = 512, 10
    schedule = build("inverse_square_root", rise_steps=rise)
    top = 1 / math.sqrt(width * rise)
    for step in range(TOTAL):
        number = step + 1
        expected = width**-0.5 * min(number**-0.5, number * rise**-1.5)
        assert top * schedule.lr_factor(step) == pytest.approx(expected)
    assert build("inverse_square_root", rise_steps=1000).lr_factor(TOTAL - 1) == pytest.approx(TOTAL / 1000)
    with pytest.raises(ValueError, match="rise_steps"):
        build("inverse_square_root", rise_steps=0)
