"""Mixup and CutMix of batches: by hand, against torchvision, and their draws."""

import math

import pytest
import torch
from torchvision.transforms import v2

from zoo.augmentation import CutMix, Mixup, make_mixing
from zoo.augmentation.mixing import blended, cut_box, draw_share, pasted, share_left
from zoo.errors import DataError, UnknownNameError

ROLLED = torch.tensor([3, 0, 1, 2])  # torchvision mixes each row with the one before it


def images(*, seed=0):
    return torch.randn(4, 3, 10, 14, generator=torch.Generator().manual_seed(seed))


def test_mixup_by_hand():
    """Fails if share and rest are swapped."""
    rows = torch.tensor([[0.0, 10.0], [4.0, 20.0]])
    mixed = blended(rows, torch.tensor([1, 0]), 0.75)
    assert mixed.tolist() == [[1.0, 12.5], [3.0, 17.5]]


def test_cutmix_by_hand():
    """Fails if rows and columns are swapped, or the share is not that of the real area."""
    box = cut_box(0.75, height=4, width=8, centre=(0, 6))  # sides are half of the image's: 2 x 4, cut at the top
    assert box == (0, 4, 1, 8)
    assert share_left(box, height=4, width=8) == 1 - 4 / 32
    batch = torch.stack([torch.zeros(1, 4, 8), torch.ones(1, 4, 8)])
    mixed = pasted(batch, torch.tensor([1, 0]), box)
    expected = torch.zeros(4, 8)
    expected[0, 4:] = 1
    assert torch.equal(mixed[0, 0], expected)
    assert torch.equal(mixed[1, 0], 1 - expected)
    assert batch.sum() == 32, "the batch itself must stay as it was"


@pytest.mark.parametrize("seed", range(20))
def test_mixup_is_torchvisions_with_the_same_share_and_partners(seed):
    batch, labels = images(seed=seed), torch.tensor([0, 1, 2, 1])
    torch.manual_seed(seed)
    theirs, soft = v2.MixUp(alpha=0.4, num_classes=3)(batch, labels)
    torch.manual_seed(seed)
    share = draw_share(0.4)
    torch.testing.assert_close(blended(batch, ROLLED, share), theirs)
    hard = torch.eye(3)[labels]
    torch.testing.assert_close(share * hard + (1 - share) * hard[ROLLED], soft)


@pytest.mark.parametrize("seed", range(20))
def test_cutmix_is_torchvisions_with_the_same_share_centre_and_partners(seed):
    batch, labels = images(seed=seed), torch.tensor([0, 1, 2, 1])
    torch.manual_seed(seed)
    theirs, soft = v2.CutMix(alpha=1.0, num_classes=3)(batch, labels)
    torch.manual_seed(seed)
    share = draw_share(1.0)
    column, row = int(torch.randint(14, (1,))), int(torch.randint(10, (1,)))
    box = cut_box(share, height=10, width=14, centre=(row, column))
    assert torch.equal(pasted(batch, ROLLED, box), theirs)
    left, hard = share_left(box, height=10, width=14), torch.eye(3)[labels]
    torch.testing.assert_close(left * hard + (1 - left) * hard[ROLLED], soft)


def test_cutmix_keeps_the_pixels_that_its_share_says():
    """Fails if the share drawn is returned in place of the one that is left."""
    batch = torch.arange(4.0)[:, None, None, None].expand(4, 1, 9, 7)
    for seed in range(50):
        torch.manual_seed(seed)
        mixed = CutMix()(batch)
        own = (mixed.inputs == batch).double().mean((1, 2, 3))
        others = mixed.partners != torch.arange(4)
        torch.testing.assert_close(own[others], torch.full_like(own[others], mixed.share))
        assert mixed.partners.sort().values.tolist() == [0, 1, 2, 3]


def test_mixup_returns_what_it_mixed_by():
    batch = torch.randn(5, 6)
    for seed in range(20):
        torch.manual_seed(seed)
        mixed = Mixup(alpha=0.5)(batch)
        torch.testing.assert_close(mixed.inputs, mixed.share * batch + (1 - mixed.share) * batch[mixed.partners])
        torch.testing.assert_close(mixed.inputs.sum(0), batch.sum(0))  # a batch keeps its sum


def test_shares_are_of_a_beta_distribution():
    """Fails for another distribution: Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2 a + 1))."""
    torch.manual_seed(0)
    for alpha in (0.2, 1.0, 8.0):
        shares = torch.tensor([draw_share(alpha) for _ in range(4000)])
        assert abs(float(shares.mean()) - 0.5) < 0.03
        assert math.isclose(float(shares.var()), 1 / (4 * (2 * alpha + 1)), rel_tol=0.1)


def test_both_draws_either():
    """Fails if one of the two never comes, or the share of one goes with the inputs of the other."""
    batch = torch.arange(4.0)[:, None, None, None].expand(4, 1, 8, 8)
    mixing, cut = make_mixing("both", alpha=1.0), 0
    torch.manual_seed(0)
    for _ in range(200):
        mixed = mixing(batch)
        means = mixed.share * batch + (1 - mixed.share) * batch[mixed.partners]
        torch.testing.assert_close(mixed.inputs.mean((1, 2, 3)), means.mean((1, 2, 3)))
        cut += bool((mixed.inputs == mixed.inputs.round()).all())
    assert 70 < cut < 130


def test_draws_come_from_the_global_generator_alone():
    """Fails if a resumed run could not draw on as it had begun."""
    for name in ("mixup", "cutmix", "both"):
        torch.manual_seed(3)
        state = torch.get_rng_state()
        first = make_mixing(name)(images())
        torch.set_rng_state(state)
        again = make_mixing(name)(images())
        assert torch.equal(first.inputs, again.inputs)
        assert (first.share, first.partners.tolist()) == (again.share, again.partners.tolist())
        assert make_mixing(name)(images()).share != first.share


@pytest.mark.parametrize("name", ["mixup", "cutmix", "both"])
def test_extremes(name):
    """One row, bf16, an offset of 1e3, no row at all: nothing is lost and nothing becomes NaN."""
    for batch in (images()[:1], images().bfloat16(), images() + 1e3, images()[:0]):
        torch.manual_seed(1)
        mixed = make_mixing(name, alpha=0.01)(batch)
        assert mixed.inputs.dtype == batch.dtype
        assert mixed.inputs.shape == batch.shape
        assert 0 <= mixed.share <= 1
        torch.testing.assert_close(mixed.inputs.double().sum(0), batch.double().sum(0), rtol=1e-2, atol=0.1)


def test_what_cannot_be_mixed_is_refused():
    with pytest.raises(DataError, match=r"needs inputs of floats, got torch\.int64"):
        Mixup()(torch.arange(6).view(2, 3))
    with pytest.raises(DataError, match=r"images \[B, C, H, W\], got inputs \[2, 3\]"):
        CutMix()(torch.zeros(2, 3))
    with pytest.raises(UnknownNameError, match="mixup"):
        make_mixing("mixpu")
    for alpha in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="above 0"):
            make_mixing("mixup", alpha=alpha)
