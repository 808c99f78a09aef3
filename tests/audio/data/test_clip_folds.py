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


def test_speakers_are_the_groups_of_folds(spoken):
    """Fails if the groups are not those of the clips, part by part."""
    bundle = read_clips(spoken, pattern="{label}_{speaker}_{index}.wav", validation=0.25)
    for fold in folds(bundle, 3, kind="group"):
        speakers = [
            {fold_part.dataset.dataset.paths[row].rsplit("/", 1)[1].split("_")[1] for row in fold_part.dataset.indices}
            for fold_part in (fold.train, fold.validation)
        ]
        assert len(speakers[1]) == 1
        assert not speakers[0] & speakers[1]
