"""Folds of bundles: what is validated is not trained on, is not changed at random, and finds its way back."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from zoo.data import ArraySource, Bundle, DatasetSource, folds
from zoo.errors import DataError, UnknownNameError

INPUTS = torch.arange(60.0)[:, None]
CODES = torch.arange(60) % 3


class Shift:
    """Adds 1000 and more, so that rows which were changed at random are known."""

    num_uniforms = 1

    def __call__(self, inputs, uniforms):
        return inputs + 1000 + uniforms


class Changed(Dataset):
    """Rows `start` to `end`, negative where they are changed at random."""

    classes = ("a", "b", "c")

    def __init__(self, start, end, *, change=True):
        self.values, self.change = list(range(start, end)), change
        self.targets = [value % 3 for value in self.values]

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        value = float(self.values[index])
        return torch.tensor([-1 - value if self.change else value]), self.targets[index]

    def unaugmented(self):
        plain = Changed(0, 0, change=False)
        plain.values, plain.targets = self.values, self.targets
        return plain


class Joinable(Changed):
    def joined(self, other):
        found = Joinable(0, 0)
        found.values, found.targets = self.values + other.values, self.targets + other.targets
        return found


def inputs_of(source):
    return torch.cat([inputs for inputs, *_ in source.batches(batch_size=7)]).flatten()


def check_folds(found, whole, *, plain, changed):
    """`whole`: the inputs of the pool by number; `plain`, `changed`: what a part's inputs were before."""
    for bundle, part in zip(found, found.parts, strict=True):
        assert torch.equal(plain(inputs_of(bundle.validation)), whole[part["validation"]])
        assert torch.equal(changed(inputs_of(bundle.train)), whole[part["train"]])
    back = found.in_order([plain(inputs_of(bundle.validation)) for bundle in found])
    assert torch.equal(back, whole)


def test_arrays_with_augmentation():
    """Fails if the fold's validation rows are changed at random, or those of training are not."""
    bundle = Bundle.from_arrays(INPUTS, CODES, test=0.1, augment=Shift())
    found = folds(bundle, 4, seed=1)
    whole = torch.cat([bundle.train.tensors[0], bundle.validation.tensors[0]]).flatten()
    check_folds(found, whole, plain=lambda x: x, changed=lambda x: (x - 1000).floor())
    assert torch.equal(found.targets().float(), whole % 3)
    assert all(torch.equal(inputs_of(each.test), inputs_of(bundle.test)) for each in found)
    assert all(each.classes == bundle.classes for each in found)
    assert len({each.fingerprint for each in [bundle, *found]}) == 5


def test_a_dataset_split_by_shares_is_whole_again():
    """Fails if the validation rows stay unchanged once they are trained on."""
    bundle = Bundle.from_dataset(Changed(0, 60), validation=0.3)
    found = folds(bundle, 3)
    whole = torch.tensor([*bundle.train.dataset.indices, *bundle.validation.dataset.indices]).float()
    check_folds(found, whole, plain=lambda x: x, changed=lambda x: -1 - x)


def test_datasets_that_join():
    bundle = Bundle.from_dataset(Joinable(0, 40), Joinable(40, 60).unaugmented(), classes=["a", "b", "c"])
    bundle.validation.dataset.__class__ = Joinable
    check_folds(folds(bundle, 4), torch.arange(60.0), plain=lambda x: x, changed=lambda x: -1 - x)


def test_datasets_that_cannot_be_changed_alike_are_refused():
    bundle = Bundle.from_dataset(Changed(0, 40), Changed(40, 60).unaugmented())
    with pytest.raises(DataError, match=r"method joined\(other\), or read the data with validation=0"):
        folds(bundle, 4)


def test_plain_datasets_and_lengths_are_put_together():
    parts = [TensorDataset(INPUTS[:40], CODES[:40]), TensorDataset(INPUTS[40:], CODES[40:])]
    bundle = Bundle.from_dataset(*parts)
    check_folds(folds(bundle, 4), INPUTS.flatten(), plain=lambda x: x, changed=lambda x: x)
    lengths = torch.arange(60)
    sources = [DatasetSource(part, lengths=where) for part, where in zip(parts, lengths.split(40), strict=True)]
    together = sources[0].joined(sources[1])
    assert torch.equal(together.lengths, lengths)
    assert torch.equal(together.select(torch.tensor([50, 3])).lengths, torch.tensor([50, 3]))
    assert torch.equal(together.targets(), CODES)


def test_folds_of_a_fold():
    """Fails if the pool of a fold's bundle takes the unchanged rows for training."""
    outer = folds(Bundle.from_dataset(Changed(0, 60), validation=0.3), 3)
    inner = folds(outer[1], 2)
    whole = torch.cat([inputs_of(outer[1].train.unaugmented()), inputs_of(outer[1].validation)])
    check_folds(inner, whole, plain=lambda x: x, changed=lambda x: -1 - x)
    assert isinstance(inner[0].train.dataset, Subset)


def test_groups_of_the_caller_and_of_the_data():
    groups = torch.arange(60) // 6
    bundle = Bundle.from_arrays(INPUTS, CODES, validation=0.0)
    own = Bundle(train=bundle.train, task="x", kind="classification", classes=bundle.classes, groups={"train": groups})
    for found in (folds(bundle, 3, kind="group", groups=groups), folds(own, 3, kind="stratified_group")):
        for each in found:
            assert not set((inputs_of(each.train) // 6).tolist()) & set((inputs_of(each.validation) // 6).tolist())
    nested = folds(folds(own, 3, kind="group")[0], 2, kind="group")
    for each in nested:
        assert torch.equal(each.groups["validation"], (inputs_of(each.validation) // 6).long())


@pytest.mark.parametrize(
    ("targets", "options", "error", "message"),
    [
        (CODES, {"kind": "group"}, DataError, "read them with group_column=, or pass groups="),
        (CODES, {"kind": "group", "groups": [0, 1]}, DataError, "60 rows to train and validate on need as many groups"),
        (CODES, {"groups": [0] * 60}, ValueError, "groups are for the kinds"),
        (CODES, {"kind": "stratifed"}, UnknownNameError, "Did you mean 'stratified'"),
        (CODES.float(), {"kind": "stratified"}, DataError, 'take the kind "random"'),
        (CODES.clamp(max=1) * (torch.arange(60) > 55), {}, DataError, "The class '1' has 3 rows, too few for 4 folds"),
    ],
)
def test_faults_have_a_remedy(targets, options, error, message):
    with pytest.raises(error, match=message):
        folds(Bundle.from_arrays(INPUTS, targets), 4, **options)


def test_outputs_must_fit_the_folds():
    found = folds(Bundle.from_arrays(INPUTS, CODES.float()), 4)
    assert [len(rows) for rows in found.rows] == [15] * 4
    with pytest.raises(ValueError, match="Outputs for folds of"):
        found.in_order([torch.zeros(14)] * 4)
    assert len(found[1:3]) == 2
    assert np.array_equal(inputs_of(found[-1].validation), inputs_of(found[3].validation))


def test_sources_that_cannot_be_cut():
    class Own:
        pass

    bundle = Bundle(train=ArraySource(INPUTS, CODES), validation=Own(), task="x", kind="classification")
    with pytest.raises(DataError, match="cannot be put together"):
        folds(bundle, 3)
