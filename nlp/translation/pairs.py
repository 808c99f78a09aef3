"""Sentence pairs as numbers: the tokenizers of both sides, a dataset, and batches.

Shapes: B sentences, S source tokens, T target tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from nlp.data.padding import pad_batch
from nlp.data.tokenizers import Tokenizer, VocabularyTokenizer, tokenizer_from_dict
from nlp.translation.contract import Seq2SeqBatch
from nlp.translation.decoding import Special
from zoo.data.leaks import text_hashes

IGNORED = -100  # target numbers that no loss and no metric counts
Sample = tuple[Tensor, Tensor, tuple[str, ...]]


@dataclass(frozen=True)
class PairTokenizers:
    """How both sides of a pair become numbers.

    joint:      whether both are one.
    max_length: most tokens of a text, special ones included; the rest is cut off. None for any number.
    """

    source: Tokenizer
    target: Tokenizer
    joint: bool = False
    max_length: int | None = None

    def source_ids(self, text: str) -> list[int]:
        """The numbers of a source, its end marked by <eos>."""
        return _with_end(self.source, text, self.max_length)

    def source_tokens(self, text: str) -> list[str]:
        """What `source_ids` gives, as readable text."""
        own = _marks_own_end(self.source)
        length = None if self.max_length is None else self.max_length - (not own)
        tokens = self.source.tokens(text, max_length=length)
        return tokens if own else [*tokens, "<eos>"]

    def target_ids(self, text: str) -> list[int]:
        """The numbers of a target, its end marked by <eos>."""
        return _with_end(self.target, text, self.max_length)

    def reference(self, text: str) -> str:
        """A target as a decoded one would read: words as the tokenizer splits and writes them, unknown ones too."""
        if isinstance(self.target, VocabularyTokenizer):
            return self.target.separator.join(self.target.split(text))
        return text

    @property
    def special(self) -> Special:
        """The target's special tokens, for decoding."""
        eos = self.target.eos
        if eos is None:
            raise ValueError(f"The tokenizer {self.target.name!r} has no token for the end, which decoding needs.")
        bos = self.target.pad if self.target.bos is None else self.target.bos
        return Special(bos=bos, eos=eos, never=tuple(sorted({self.target.pad, bos} - {eos})))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` reads it."""
        target = None if self.joint else self.target.to_dict()
        return {"source": self.source.to_dict(), "target": target, "max_length": self.max_length}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> "PairTokenizers":
        """The tokenizers that gave `state`."""
        source = tokenizer_from_dict(state["source"])
        joint = state["target"] is None
        target = source if joint else tokenizer_from_dict(state["target"])
        return cls(source, target, joint=joint, max_length=state["max_length"])


class PairDataset(Dataset[Sample]):
    """Pairs as (source [S], target [T] with <eos> at its end, the target's texts): several where several are right."""

    def __init__(
        self, tokenizers: PairTokenizers, sources: Sequence[str], targets: Sequence[str | tuple[str, ...]]
    ) -> None:
        self.tokenizers = tokenizers
        self.texts = list(sources)
        right = [(text,) if isinstance(text, str) else text for text in targets]
        self.sources = [torch.tensor(tokenizers.source_ids(text)) for text in sources]
        self.targets = [torch.tensor(tokenizers.target_ids(texts[0])) for texts in right]
        self.references = [tuple(tokenizers.reference(text) for text in texts) for texts in right]

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> Sample:
        return self.sources[index], self.targets[index], self.references[index]

    def identities(self) -> np.ndarray:
        """A number for each pair, uint64 [N], equal for equal texts with equal answers."""
        return text_hashes(
            ["\0".join((text, *answers)) for text, answers in zip(self.texts, self.references, strict=True)]
        )

    def lengths(self) -> Tensor:
        """Tokens of both sides of each pair [N], by which batches are made of pairs of like length."""
        pairs = zip(self.sources, self.targets, strict=True)
        return torch.tensor([len(source) + len(target) for source, target in pairs])

    def collate(self, samples: Sequence[Sample]) -> tuple[Seq2SeqBatch, Tensor, list[tuple[str, ...]]]:
        """Samples to a batch, the target tokens to be given [B, T] with `IGNORED` as padding, and the references."""
        sources, targets, references = zip(*samples, strict=True)
        return collate_pairs(self.tokenizers, sources, targets), pad_batch(targets, IGNORED)[0], list(references)


def collate_pairs(tokenizers: PairTokenizers, sources: Sequence[Tensor], targets: Sequence[Tensor]) -> Seq2SeqBatch:
    """Sources [S_i] and targets [T_i], with <eos> at their end, to a batch with the target moved on by <bos>."""
    bos = torch.tensor([tokenizers.special.bos])
    source, source_mask = pad_batch(sources, tokenizers.source.pad)
    shifted = [torch.cat([bos, target[:-1]]) for target in targets]
    target_in, target_mask = pad_batch(shifted, tokenizers.target.pad)
    return Seq2SeqBatch(source, source_mask, target_in, target_mask)


def _marks_own_end(tokenizer: Tokenizer) -> bool:
    """Whether `encode` adds the special tokens itself, as transformers' tokenizers do."""
    return tokenizer.name == "hf"


def _with_end(tokenizer: Tokenizer, text: str, max_length: int | None) -> list[int]:
    if _marks_own_end(tokenizer):
        return tokenizer.encode(text, max_length=max_length)
    assert tokenizer.eos is not None, "a tokenizer of the zoo's own has <eos>"
    return [*tokenizer.encode(text, max_length=None if max_length is None else max_length - 1), tokenizer.eos]
