"""Folds of texts."""

import torch

from nlp.data.sources import TextSource
from zoo.data import Bundle, folds


def test_folds_of_texts_keep_texts_tokens_and_classes_together():
    """Fails if tokens are cut at another text's length: each text is its own number repeated."""
    lengths = torch.randint(1, 30, (60,), generator=torch.Generator().manual_seed(0)).tolist()
    rows = [[row + 10] * length for row, length in enumerate(lengths)]
    whole = TextSource([f"text {row}" for row in range(60)], rows, torch.arange(60), pad=9)
    parts = [whole.select(torch.arange(40)), whole.select(torch.arange(40, 60))]
    found = folds(Bundle(train=parts[0], validation=parts[1], task="x", kind=None), 4)
    assert torch.equal(found.targets(), torch.arange(60))
    for each, part in zip(found, found.parts, strict=True):
        for name, source in (("train", each.train), ("validation", each.validation)):
            assert torch.equal(source.targets(), part[name])
            assert source.texts == [f"text {row}" for row in part[name].tolist()]
            for batch, codes in source.batches(batch_size=8, shuffle=True):
                assert torch.equal(batch.mask.sum(1), whole.lengths[codes])
                assert torch.equal(batch.ids[batch.mask], (codes + 10).repeat_interleave(whole.lengths[codes]))
