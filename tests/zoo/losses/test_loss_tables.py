"""What holds for every loss of every table: options by keyword, float32 from bf16, steps that lower it."""

import inspect

import pytest
import torch

from zoo.losses import (
    ADVERSARIAL_LOSSES,
    BOX_LOSSES,
    CRITIC_PENALTIES,
    DISTILLATION_LOSSES,
    EMBEDDING_LOSSES,
    FEATURE_LOSSES,
    IMAGE_PRIORS,
    LOSSES,
    SEQUENCE_LOSSES,
    make_loss,
)
from zoo.parts import CORE_TABLES

TABLES = (
    LOSSES, EMBEDDING_LOSSES, SEQUENCE_LOSSES, BOX_LOSSES, DISTILLATION_LOSSES, FEATURE_LOSSES, IMAGE_PRIORS,
    ADVERSARIAL_LOSSES, CRITIC_PENALTIES,
)  # fmt: skip
GENERATOR = torch.Generator().manual_seed(0)
VALUES, ROWS, MAPS = (torch.randn(*shape, generator=GENERATOR) for shape in ((8,), (8, 3), (2, 3, 6, 6)))
LABELS, YES = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]), torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
MASKS = torch.randint(3, (2, 6, 6), generator=GENERATOR)
OTHERS = {tensor: torch.randn(tensor.shape, generator=GENERATOR) for tensor in (VALUES, ROWS, MAPS)}

CASES = {
    **dict.fromkeys(["mse", "rmse", "mae", "huber", "log_cosh", "charbonnier"], (VALUES, OTHERS[VALUES], {})),
    **dict.fromkeys(["binary_cross_entropy", "binary_focal", "hinge"], (VALUES, YES, {})),
    **dict.fromkeys(["cross_entropy", "focal", "multi_class_hinge"], (ROWS, LABELS, {})),
    **dict.fromkeys(["dice", "tversky", "cross_entropy_dice", "lovasz_softmax"], (MAPS, MASKS, {})),
    **dict.fromkeys(["pixel", "gram"], (MAPS, OTHERS[MAPS], {})),
    "lovasz_hinge": (MAPS[:, 0], MASKS == 1, {}),
    "weighted_cross_entropy": (ROWS, LABELS, {"class_weights": [1.0, 2.0, 3.0]}),
    "class_balanced_cross_entropy": (ROWS, LABELS, {"class_counts": [3, 3, 2]}),
    "nll": (ROWS.log_softmax(1), LABELS, {}),
    "hinge_embedding": (VALUES.abs(), YES, {}),
    "info_nce": (ROWS, OTHERS[ROWS], {}),
    "nt_xent": (ROWS, LABELS, {}),
    "kl_divergence": (ROWS, OTHERS[ROWS].softmax(1), {}),
    "distillation": (ROWS, OTHERS[ROWS], {}),
}


def test_every_loss_has_a_case_and_every_table_is_listed():
    """Fails if a loss is added without a case below, or a table is left out of `zoo list-parts`."""
    assert set(CASES) == set(LOSSES)
    assert all(any(table is listed for listed in CORE_TABLES) for table in TABLES)


@pytest.mark.parametrize(("table", "name"), [(table, name) for table in TABLES for name in table])
def test_options_are_by_keyword(table, name):
    """Fails if an option could be given by place, where the next tensor belongs: beyond tensors all are by keyword."""
    parameters = inspect.signature(table[name]).parameters.values()
    by_place = [parameter for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    assert all(parameter.default is parameter.empty for parameter in by_place)
    assert len(by_place) >= table.given


@pytest.mark.parametrize("name", CASES)
def test_bfloat16_gives_float32(name):
    """Fails if a loss is computed in the 8 bits of a half-precision prediction."""
    prediction, target, options = CASES[name]
    prediction = prediction.bfloat16()
    found = make_loss(name, **options)(prediction, target)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, make_loss(name, **options)(prediction.float(), target))


@pytest.mark.parametrize("name", CASES)
def test_steps_lower_it(name):
    """Fails if the sign is wrong or the gradient is another function's: a few small steps must lower the loss."""
    start, target, options = CASES[name]
    prediction = start.clone().requires_grad_()
    loss = make_loss(name, **options)
    before = loss(prediction, target)
    for _ in range(10):
        (gradient,) = torch.autograd.grad(loss(prediction, target), prediction)
        assert gradient.isfinite().all()
        prediction = (prediction - 0.05 * gradient / gradient.norm()).detach().requires_grad_()
    assert before - loss(prediction, target) > 1e-4
