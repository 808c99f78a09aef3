"""Bundles: the kind of problem read from the targets, and every fault of the data said clearly."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import TensorDataset

from zoo.data import Bundle, DatasetSource
from zoo.errors import DataError

INPUTS = np.arange(40.0).reshape(20, 2)
CODES = np.arange(20) % 2
NAMES = np.array(["dog", "cat"])[CODES]


@pytest.mark.parametrize(
    ("targets", "classes"),
    [
        (CODES, ("0", "1")),
        (torch.as_tensor(CODES), ("0", "1")),
        (CODES.astype(bool), ("False", "True")),
        (CODES * 4 + 3, ("3", "7")),
        (NAMES, ("cat", "dog")),
        (NAMES.tolist(), ("cat", "dog")),
        (NAMES.astype(object), ("cat", "dog")),
        (pd.Series(NAMES), ("cat", "dog")),
    ],
)
def test_integers_and_strings_are_classes(targets, classes):
    bundle = Bundle.from_arrays(INPUTS, targets)
    assert bundle.kind == bundle.task == "classification"
    assert bundle.classes == classes
    assert bundle.num_classes == 2
    assert bundle.train.targets().dtype == torch.int64
    assert bundle.input_shape == (2,)
    assert bundle.train[0][0].dtype == torch.float32


def test_string_labels_keep_their_rows():
    bundle = Bundle.from_arrays(INPUTS, NAMES, validation=0.0)
    assert [bundle.classes[code] for code in bundle.train.targets()] == NAMES.tolist()
    ordered = Bundle.from_arrays(INPUTS, NAMES, classes=["dog", "cat", "owl"], validation=0.0)
    assert ordered.train.targets().tolist() == CODES.tolist()


def test_floats_are_values():
    bundle = Bundle.from_arrays(INPUTS, CODES.astype(float), test=0.25)
    assert bundle.kind == "regression"
    assert bundle.classes is None
    assert bundle.train.targets().dtype == torch.float32
    assert {name: len(part) for name, part in bundle.parts.items()} == {"train": 11, "validation": 4, "test": 5}


def test_parts_are_disjoint_stratified_and_seeded():
    bundle = Bundle.from_arrays(INPUTS, CODES, validation=0.2, test=0.2, seed=1)
    first = [set(part.tensors[0][:, 0].tolist()) for part in bundle.parts.values()]
    assert set.union(*first) == set(range(0, 40, 2))
    assert sum(map(len, first)) == 20
    assert bundle.validation.targets().bincount().tolist() == [2, 2]
    again = Bundle.from_arrays(INPUTS, CODES, validation=0.2, test=0.2, seed=1)
    assert torch.equal(bundle.test.tensors[0], again.test.tensors[0])


def test_validation_arrays_are_taken_as_they_are():
    bundle = Bundle.from_arrays(INPUTS, CODES * 4 + 3, validation=(INPUTS[:4], [7, 3, 7, 7]))
    assert len(bundle.train) == 20
    assert bundle.validation.targets().tolist() == [1, 0, 1, 1]
    named = Bundle.from_arrays(INPUTS, CODES, classes=["a", "b"], validation=(INPUTS[:2], [1, 0]))
    assert named.validation.targets().tolist() == [1, 0]


def test_augmentation_is_for_training_only():
    class Shift:
        num_uniforms = 1

        def __call__(self, inputs, uniforms):
            return inputs + 1000

    bundle = Bundle.from_arrays(INPUTS, CODES, augment=Shift(), transform=lambda x: x * 2)
    assert bundle.train[0][0].min() >= 2000
    assert bundle.validation[0][0].max() < 100


def test_the_fingerprint_is_of_the_content():
    first = Bundle.from_arrays(INPUTS, CODES).fingerprint
    assert first == Bundle.from_arrays(INPUTS.copy(), CODES.copy()).fingerprint
    changed = INPUTS.copy()
    changed[3, 1] += 1e-3
    others = {
        Bundle.from_arrays(changed, CODES).fingerprint,
        Bundle.from_arrays(INPUTS, 1 - CODES).fingerprint,
        Bundle.from_arrays(INPUTS, CODES, classes=["a", "b"]).fingerprint,
        Bundle.from_arrays(INPUTS, CODES, seed=5).fingerprint,
    }
    assert len(others | {first}) == 5


@pytest.mark.parametrize(
    ("inputs", "targets", "options", "message"),
    [
        (INPUTS, CODES[:5], {}, "20 rows of inputs do not go with 5 targets"),
        (INPUTS[:0], CODES[:0], {}, "no rows"),
        (INPUTS, np.zeros(20, dtype=int), {}, "train holds '0' only"),
        (INPUTS, np.where(CODES, np.nan, 1.0), {}, "10 of 20 targets of train are NaN or infinite, the first in row 1"),
        (INPUTS, np.full((20, 2), np.inf), {}, "20 of 20 targets"),
        (INPUTS, np.eye(2, dtype=int)[CODES], {}, "argmax of one-hot"),
        (INPUTS, [1, "a"] * 10, {"validation": 0.0, "classes": ["x"]}, "has the class '1'"),
        (INPUTS, np.array([None, "a"] * 10), {}, "all strings or all numbers, got NoneType, str"),
        (INPUTS, CODES.astype(complex), {}, "integers, strings or floats"),
        (INPUTS, CODES, {"classes": ["only"]}, "train has the target 1, but the 1 classes are 0..0"),
        (INPUTS, CODES - 1, {"classes": ["a", "b"]}, "has the target -1"),
        (INPUTS, CODES, {"classes": ["a", "a"]}, "must differ"),
        (INPUTS, NAMES, {"classes": ["cat", "dig"]}, "Did you mean 'dig'"),
        (INPUTS, NAMES, {"validation": (INPUTS[:1], ["owl"])}, "validation has the class 'owl'"),
        (INPUTS, CODES, {"validation": (INPUTS[:1], [5])}, "validation has the class '5'"),
        (INPUTS, CODES, {"validation": (INPUTS[:1], [0.5])}, "validation are for regression, those of train for class"),
        (INPUTS, CODES, {"validation": (INPUTS[:1], [0, 1])}, "1 rows of validation inputs"),
        (INPUTS, CODES, {"validation": (INPUTS,)}, r"validation must be a share or \(inputs, targets\)"),
        (INPUTS, [0] * 19 + [1], {}, "'1' has one row only"),
        (
            INPUTS,
            CODES,
            {"classes": ["a", "b", "c"], "validation": (INPUTS[:1], [2])},
            "validation has the class 'c', which is missing in train",
        ),
    ],
)
def test_every_fault_is_said(inputs, targets, options, message):
    with pytest.raises(DataError, match=message):
        Bundle.from_arrays(inputs, targets, **options)


def test_datasets_become_bundles():
    data = TensorDataset(torch.as_tensor(INPUTS).float(), torch.as_tensor(CODES))
    bundle = Bundle.from_dataset(data, validation=0.2, test=data, classes=["a", "b"], num_workers=0)
    assert bundle.kind == "classification"
    assert bundle.classes == ("a", "b")
    assert isinstance(bundle.train, DatasetSource)
    assert {name: len(part) for name, part in bundle.parts.items()} == {"train": 16, "validation": 4, "test": 20}
    assert bundle.validation.targets().bincount().tolist() == [2, 2]
    assert bundle.input_shape == (2,)
    values = TensorDataset(data.tensors[0], data.tensors[1].float())
    assert Bundle.from_dataset(values, validation=0.5).kind == "regression"
    assert bundle.fingerprint != Bundle.from_dataset(data, classes=["a", "b"]).fingerprint


def test_datasets_without_a_class_or_number_have_no_kind():
    masks = [(torch.zeros(3, 4, 4), torch.zeros(4, 4, dtype=torch.long))] * 6
    bundle = Bundle.from_dataset(masks, validation=0.5, classes=["sky", "sea"])
    assert bundle.kind is None
    assert bundle.classes == ("sky", "sea")
    assert len(bundle.train) == 3


def test_faulty_datasets_raise():
    with pytest.raises(DataError, match="needed, got None"):
        Bundle.from_dataset(None)
    with pytest.raises(DataError, match="train holds '0' only"):
        Bundle.from_dataset(TensorDataset(torch.zeros(4, 1), torch.zeros(4, dtype=torch.long)))
    with pytest.raises(DataError, match="NaN"):
        Bundle.from_dataset(TensorDataset(torch.zeros(4, 1), torch.full((4,), torch.nan)))


class Flipped(TensorDataset):
    """Negative inputs as augmentation, and the true ones without it."""

    def __getitem__(self, index):
        inputs, target = super().__getitem__(index)
        return -inputs, target

    def unaugmented(self):
        return TensorDataset(*self.tensors)


def test_what_is_split_off_a_dataset_is_not_augmented():
    """Fails if validation gets the random changes of training."""
    bundle = Bundle.from_dataset(Flipped(torch.ones(20, 2), torch.as_tensor(CODES)), validation=0.2)
    assert bundle.train[0][0].tolist() == [-1, -1]
    assert bundle.validation[0][0].tolist() == [1, 1]


def test_a_share_of_nothing_splits_nothing_off():
    data = TensorDataset(torch.as_tensor(INPUTS).float(), torch.as_tensor(CODES))
    assert list(Bundle.from_dataset(data, validation=0.0).parts) == ["train"]
