"""Folds of tables."""

import numpy as np
import pandas as pd
import torch

from tabular.data.reader import table_bundle
from tabular.data.source import TableSource
from zoo.data import folds


def test_folds_of_a_table_keep_rows_together():
    frame = pd.DataFrame({"x": np.arange(40.0), "kind": list("abcd") * 10, "y": np.arange(40) * 1.5})
    bundle = table_bundle(frame, target="y", encoding="standard", test=0.2, show=False)
    found = folds(bundle, 4)
    assert len(found.pool) == 32
    for each, part in zip(found, found.parts, strict=True):
        assert isinstance(each.validation, TableSource)
        assert torch.equal(each.validation.targets(), found.targets()[part["validation"]])
        assert torch.equal(each.train.table.continuous, found.pool.table.continuous[part["train"]])
        assert torch.equal(each.train.table.categories, found.pool.table.categories[part["train"]])
        assert each.test is bundle.test
