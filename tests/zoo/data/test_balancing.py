"""Balancing: what comes how often, and that it depends on seed and epoch alone."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.utils.data import Dataset

from zoo.data import ArraySource, Bundle, DatasetSource, Source, balance, folds
from zoo.data.balancing import BalancedSource, class_weights, oversample, undersample, weighted_sampler
from zoo.data.changes import replay
from zoo.errors import DataError, UnknownNameError

CODES = torch.tensor([0] * 70 + [1] * 20 + [2] * 8)[torch.randperm(98, generator=torch.Generator().manual_seed(0))]
INPUTS = torch.arange(98.0)[:, None]
SAMPLERS = {"weighted_sampler": weighted_sampler, "oversample": oversample, "undersample": undersample}


class Jitter:
    num_uniforms = 1

    def __call__(self, inputs, uniforms):
        return inputs + uniforms / 2


class Drawn(Dataset):
    """Rows with a random number of their own."""

    targets = CODES

    def __len__(self):
        return 98

    def __getitem__(self, index):
        return torch.tensor([index, float(torch.rand(()))]), int(CODES[index])


def bundle_of(targets=CODES, **options):
    return Bundle.from_arrays(INPUTS, targets, validation=0.0, **options)


def read(source, **options):
    batches = list(source.batches(**{"batch_size": 8, "shuffle": True, "seed": 3, "epoch": 2, **options}))
    return tuple(torch.cat(column) for column in zip(*batches, strict=True))


def test_oversampling_brings_each_class_up_to_the_largest():
    """Fails if a row is left out, or one of a class comes two times more often than another."""
    rows = oversample(CODES, seed=1, epoch=0)
    assert CODES[rows % 98].bincount().tolist() == [70, 70, 70]
    times = (rows % 98).bincount(minlength=98)
    for code, least in enumerate((1, 3, 8)):
        assert set(times[code == CODES].tolist()) <= {least, least + 1}
    assert len(rows.unique()) == len(rows)  # each time that a row comes has its own number
    assert ((rows // 98).bincount()[:3] == torch.tensor([98, 28, 28])).all()


def test_undersampling_takes_as_many_of_each_class_as_of_the_smallest():
    """Fails if large classes lose the same rows in every epoch."""
    seen = set()
    for epoch in range(60):
        rows = undersample(CODES, seed=1, epoch=epoch)
        assert CODES[rows].bincount().tolist() == [8, 8, 8]
        assert len(rows.unique()) == 24
        seen |= set(rows.tolist())
    assert len(seen) == 98


def test_weighted_draws_have_uniform_classes_and_rows():
    """Of 400 epochs each class has a third within 4 standard errors, and each row of a class its share."""
    rows = torch.cat([weighted_sampler(CODES, seed=1, epoch=epoch) % 98 for epoch in range(400)])
    shares = CODES[rows].bincount() / len(rows)
    assert (shares - 1 / 3).abs().max() < 4 * (2 / 9 / len(rows)) ** 0.5
    expected = len(rows) / 3 / CODES.bincount()[CODES].double()
    assert ((rows.bincount() - expected).abs() < 5 * expected.sqrt()).all()
    assert len(weighted_sampler(CODES, seed=1, epoch=0)) == 98


@pytest.mark.parametrize("name", SAMPLERS)
def test_order_is_random_and_by_seed_and_epoch_alone(name):
    """Fails if classes come in blocks: then the first quarter would hold one class."""
    draw = SAMPLERS[name]
    torch.manual_seed(0)
    first = draw(CODES, seed=1, epoch=5)
    torch.manual_seed(1)
    assert torch.equal(first, draw(CODES, seed=1, epoch=5))
    assert not torch.equal(first, draw(CODES, seed=1, epoch=6))
    assert not torch.equal(first, draw(CODES, seed=2, epoch=5))
    assert len(CODES[first[: len(first) // 4] % 98].unique()) == 3


def test_class_weights_are_scikit_learns():
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=CODES.numpy())
    ours = class_weights(CODES, num_classes=3)
    assert np.allclose(ours, theirs)
    assert abs(sum(ours[code] for code in CODES.tolist()) / 98 - 1) < 1e-12
    assert class_weights(torch.tensor([0, 0, 0, 2]), num_classes=3) == (4 / 6, 1.0, 2.0)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("kind", ["arrays", "dataset", "lengths"])
def test_batches_resume_and_ranks(name, kind):
    """Fails if the start of an epoch that is gone on with, or a rank, draws for itself."""
    bundle = bundle_of(augment=Jitter()) if kind == "arrays" else Bundle.from_dataset(Drawn(), classes=list("abc"))
    if kind == "lengths":
        lengths = torch.randint(1, 9, (98,), generator=torch.Generator().manual_seed(0))
        bundle = Bundle(
            train=DatasetSource(Drawn(), lengths=lengths), task="x", kind="classification", classes=("a", "b", "c")
        )
    source = balance(bundle, name).train
    assert isinstance(source, Source)
    whole, targets = read(source, drop_last=True)
    num = source.num_batches(batch_size=8, drop_last=True)
    assert len(whole) == 8 * num
    later, _ = read(source, drop_last=True, start=1)
    assert torch.equal(whole[8:], later)
    if kind == "dataset":
        assert torch.equal(whole, read(source, drop_last=True, num_workers=2)[0])
    ranks = [list(source.batches(batch_size=4, shuffle=True, seed=3, epoch=2, rank=r, world_size=2)) for r in (0, 1)]
    together = [torch.cat([a[0], b[0]]) for a, b in zip(*ranks, strict=True)]
    assert torch.equal(torch.cat(together)[: len(whole)], whole)
    assert torch.equal(CODES[whole[:, 0].long()], targets)


def test_a_row_that_comes_again_is_changed_in_another_way():
    for bundle in (bundle_of(augment=Jitter()), Bundle.from_dataset(Drawn(), classes=list("abc"))):
        source = balance(bundle, "oversample").train
        inputs, _ = read(source)
        assert len(inputs.unique(dim=0)) > 200
        again = read(balance(bundle, "oversample").train)[0]
        assert torch.equal(inputs, again)
        plain = read(source.unaugmented(), shuffle=False)[0]
        assert torch.equal(plain[:, 0].floor(), torch.arange(98.0))


def test_rows_and_targets_of_a_balanced_source_go_together():
    source = balance(bundle_of(), "oversample").train
    assert len(source) == 210
    assert source.targets().bincount().tolist() == [70, 70, 70]
    assert all(source[row][1] == source.targets()[row] for row in (0, 100, -1))
    inputs, targets = read(source, shuffle=False)
    assert torch.equal(inputs.flatten().sort().values, inputs.flatten())
    assert targets.bincount().tolist() == [70, 70, 70]
    features = source.over(ArraySource(-INPUTS, CODES))
    assert torch.equal(read(features)[0], -read(source)[0])


def test_other_parts_and_the_bundle_itself_stay():
    bundle = Bundle.from_arrays(INPUTS, CODES, validation=0.3, classes=["a", "b", "c"])
    balanced = balance(bundle, "oversample")
    assert balanced.validation is bundle.validation
    assert not isinstance(bundle.train, BalancedSource)
    weighted = balance(bundle, "class_weights")
    assert weighted.train is bundle.train
    assert weighted.class_weights == class_weights(bundle.train.targets(), num_classes=3)
    again = replay(bundle, balanced.changes)
    assert torch.equal(read(again.train)[0], read(balanced.train)[0])
    assert replay(balanced, balanced.changes) is balanced
    with pytest.raises(DataError, match="changed by balance, those of the run by nothing"):
        replay(balanced, [])


def test_a_fold_is_balanced_and_made_again():
    bundle = Bundle.from_arrays(INPUTS, CODES, validation=0.3)
    balanced = balance(folds(bundle, 4, seed=2)[1], "undersample")
    again = replay(bundle, balanced.changes)
    assert again.fingerprint == balanced.fingerprint
    assert torch.equal(again.validation.tensors[0], balanced.validation.tensors[0])
    assert torch.equal(read(again.train)[0], read(balanced.train)[0])
    own = folds(bundle, 4, kind="group", groups=torch.arange(98) // 2)[1]
    with pytest.raises(DataError, match="fold by groups given in memory"):
        replay(bundle, own.changes)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: balance(bundle_of(CODES.float()), "oversample"), DataError, "one class a row"),
        (lambda: balance(bundle_of(), "oversampling"), UnknownNameError, "Did you mean 'oversample'"),
        (lambda: balance(balance(bundle_of(), "oversample"), "class_weights"), DataError, "balanced already"),
        (lambda: folds(balance(bundle_of(), "oversample"), 3), DataError, "make the folds first"),
    ],
)
def test_faults_have_a_remedy(make, error, message):
    with pytest.raises(error, match=message):
        make()
