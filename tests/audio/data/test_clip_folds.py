"""Folds of sound files."""

import torch

from audio.data.reading import read_clips
from zoo.data import folds


def test_folds_of_a_folder(tones):
    bundle = read_clips(tones, validation=0.25, augment="standard", by_length=True)
    found = folds(bundle, 4)
    assert len(found.pool) == len(found.pool.lengths) == 24
    whole = dict(zip(found.pool.dataset.paths, found.pool.dataset.waveforms, strict=True))
    for each in found:
        assert each.validation.targets().bincount().tolist() == [2, 2, 2]
        dataset = each.validation.dataset
        for number, row in enumerate(dataset.indices):
            assert torch.equal(dataset[number][0], whole[found.pool.dataset.paths[row]])
        assert each.train.dataset.dataset.strength is not None
