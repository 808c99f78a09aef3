"""Batches of texts: padding, order, and that every text comes once."""

import pytest
import torch

from nlp.data.padding import pad_batch
from nlp.data.sources import TextSource, text_batch
from zoo.data import DatasetSource, Source
from zoo.errors import DataError

PAD = 9


def make_source(num_rows: int = 103) -> TextSource:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 30, (num_rows,), generator=generator)
    rows = [[row + 10] * int(length) for row, length in enumerate(lengths)]
    return TextSource([f"text {row}" for row in range(num_rows)], rows, torch.arange(num_rows), pad=PAD)


def test_padding_by_hand():
    """Fails if the mask is inverted, or padding stands in front."""
    ids, mask = pad_batch([torch.tensor([5, 6]), torch.tensor([7])], 3)
    assert ids.tolist() == [[5, 6], [7, 3]]
    assert mask.tolist() == [[True, True], [True, False]]
    with pytest.raises(ValueError, match="one row"):
        pad_batch([], 0)


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_hold_the_texts_whole_and_once(shuffle):
    """Fails if the gather is off by a row or a token, or a batch keeps padding that no row needs."""
    source = make_source()
    seen = []
    for batch, codes in source.batches(batch_size=8, shuffle=shuffle, seed=1):
        reference = text_batch([[int(code) + 10] * int(source.lengths[code]) for code in codes], PAD)
        assert torch.equal(batch.ids, reference.ids)
        assert torch.equal(batch.mask, reference.mask)
        seen += codes.tolist()
    assert sorted(seen) == list(range(103))
    assert (seen == list(range(103))) != shuffle


def test_batches_are_those_of_a_dataset_source():
    """Fails if the order is not the core's own for these lengths."""
    source = make_source()
    samples = [(source[row][0].ids, int(source[row][1])) for row in range(len(source))]
    reference = DatasetSource(
        samples, lengths=source.lengths, collate=lambda rows: (None, torch.tensor([c for _, c in rows]))
    )
    options = {"batch_size": 8, "shuffle": True, "seed": 3, "epoch": 2, "start": 4}
    ours = [codes.tolist() for _, codes in source.batches(**options)]
    assert ours == [codes.tolist() for _, codes in reference.batches(**options)]
    assert isinstance(source, Source)


def test_shuffled_batches_are_of_like_length():
    """Fails if shuffling forgets the lengths: more than half would be padding."""
    source = make_source(800)
    kept = total = 0
    for batch, _ in source.batches(batch_size=16, shuffle=True):
        kept, total = kept + int(batch.mask.sum()), total + batch.mask.numel()
    assert kept / total > 0.9


def test_a_resumed_epoch_and_ranks_share_the_order():
    """Fails if a start, or a rank, changes which texts stand together."""
    source = make_source()
    whole = [codes for _, codes in source.batches(batch_size=8, shuffle=True, epoch=1)]
    rest = [codes for _, codes in source.batches(batch_size=8, shuffle=True, epoch=1, start=5)]
    assert all(torch.equal(a, b) for a, b in zip(whole[5:], rest, strict=True))
    ranks = [list(source.batches(batch_size=4, shuffle=True, rank=rank, world_size=2)) for rank in (0, 1)]
    seen = torch.cat([codes for rank in ranks for _, codes in rank])
    assert len(seen) == len(set(seen.tolist()))


def test_texts_without_tokens_are_refused():
    with pytest.raises(DataError, match="Text 1 has no tokens"):
        TextSource(["a", "b"], [[1], []], torch.tensor([0, 1]), pad=0)
    with pytest.raises(DataError, match="2 texts need as many"):
        TextSource(["a", "b"], [[1]], torch.tensor([0, 1]), pad=0)
