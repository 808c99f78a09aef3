"""From sentences to decoded ones, with models of the zoo's contract and with transformers' own.

A model with `generate`, as transformers' sequence-to-sequence models have, decodes by itself; others step by step.
Shapes: B sentences, S source tokens, T target tokens, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nlp.translation.beam import beam_search
from nlp.translation.contract import Seq2SeqBatch
from nlp.translation.decoding import Hypothesis, greedy, sample
from nlp.translation.pairs import PairTokenizers, collate_pairs

CHUNK = 64  # sentences decoded together


def can_generate(model: nn.Module) -> bool:
    """Whether the model decodes by itself, as transformers' do."""
    return callable(getattr(model, "generate", None))


def logits_of(model: nn.Module, batch: Any) -> Tensor:
    """Logits [B, T, V] of a batch (pairs, targets [B, T], ...), each given the target's tokens before it.

    transformers' models make their own input of the targets, since what a target begins with is in their
    configuration.
    """
    pairs, targets = batch[0], batch[1]
    inner = getattr(model, "module", model)  # inside of Fabric's wrapper
    if not can_generate(inner):
        found: Tensor = model(pairs)
        return found
    output = model(input_ids=pairs.source, attention_mask=pairs.source_mask.long(), labels=targets)
    logits: Tensor = output.logits
    return logits


class Decoder:
    """Decodes sentences with the tokenizers of a task.

    alpha:        of the length penalty in beam search.
    ratio, extra: at most `ratio` target tokens for each source token, and `extra` more.
    """

    def __init__(self, tokenizers: PairTokenizers, alpha: float, ratio: float, extra: int) -> None:
        self.tokenizers = tokenizers
        self.alpha = alpha
        self.ratio = ratio
        self.extra = extra

    def source_batch(self, texts: Sequence[str], device: torch.device) -> Seq2SeqBatch:
        """Sentences as a batch whose targets are <bos> alone."""
        sources = [torch.tensor(self.tokenizers.source_ids(text)) for text in texts]
        ends = [torch.tensor([self.tokenizers.special.eos])] * len(sources)
        return Seq2SeqBatch(*(part.to(device) for part in collate_pairs(self.tokenizers, sources, ends)))

    def decode_texts(self, model: nn.Module, texts: Sequence[str], *, beam_size: int) -> list[Hypothesis]:
        """The best hypothesis for each text, in chunks of like length."""
        device = next(model.parameters()).device
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        found: dict[int, Hypothesis] = {}
        for first in range(0, len(order), CHUNK):
            rows = order[first : first + CHUNK]
            batch = self.source_batch([texts[row] for row in rows], device)
            decoded = self.decode(model, batch.source, batch.source_mask, beam_size=beam_size)
            found.update(zip(rows, decoded, strict=True))
        return [found[row] for row in range(len(texts))]

    def decode(self, model: nn.Module, source: Tensor, source_mask: Tensor, *, beam_size: int) -> list[Hypothesis]:
        """The best hypothesis for each source [B, S], greedily with a beam of 1; the model is in evaluation mode."""
        limits = self._limits(model, source_mask)
        if can_generate(model):
            return self._generate(model, source, source_mask, limits, beam_size)
        options: dict[str, Any] = {"special": self.tokenizers.special, "max_length": limits}
        stepping: Any = model
        if beam_size == 1:
            return greedy(stepping, source, source_mask, **options)
        best = beam_search(stepping, source, source_mask, beam_size=beam_size, alpha=self.alpha, **options)
        return [hypotheses[0] for hypotheses in best]

    def sample(
        self, model: nn.Module, texts: Sequence[str], *, seed: int, temperature: float = 1.0,
        top_k: int | None = None, top_p: float | None = None,
    ) -> list[Hypothesis]:  # fmt: skip
        """One hypothesis drawn at random for each text; arguments as `nlp.translation.decoding.sample`.

        Raises: ValueError for models of transformers, which draw by their own `generate`.
        """
        if can_generate(model):
            raise ValueError(f"{type(model).__name__} draws by itself: call its generate(do_sample=True).")
        device = next(model.parameters()).device
        batch = self.source_batch(texts, device)
        stepping: Any = model
        return sample(
            stepping, batch.source, batch.source_mask, special=self.tokenizers.special,
            max_length=self._limits(model, batch.source_mask), generator=torch.Generator(device).manual_seed(seed),
            temperature=temperature, top_k=top_k, top_p=top_p,
        )  # fmt: skip

    def text(self, hypothesis: Hypothesis) -> str:
        """A hypothesis as text."""
        return self.tokenizers.target.decode(hypothesis.tokens)

    def tokens(self, numbers: Sequence[int]) -> list[str]:
        """Each of the target's token numbers as text of its own."""
        return [self.tokenizers.target.decode([number]) for number in numbers]

    def _limits(self, model: nn.Module, source_mask: Tensor) -> Tensor:
        """The largest length of each output [B], from that of its own source alone."""
        limits = (source_mask.sum(1) * self.ratio).long() + self.extra
        config = getattr(model, "config", None)  # of transformers' models
        positions = getattr(model, "max_positions", getattr(config, "max_position_embeddings", None))
        return limits if positions is None else limits.clamp(max=positions)

    def _generate(
        self, model: Any, source: Tensor, source_mask: Tensor, limits: Tensor, beam_size: int
    ) -> list[Hypothesis]:
        """By the model's own `generate`. Its score divides the log-probability by length ** alpha."""

        def at_its_limit(ids: Tensor, scores: Any, **unused: Any) -> Tensor:
            """Which of the hypotheses, as many for each source, have their own most tokens, beside the first one."""
            return ids.shape[1] > limits.repeat_interleave(len(ids) // len(limits))

        output = model.generate(
            input_ids=source, attention_mask=source_mask.long(), num_beams=beam_size, do_sample=False,
            max_new_tokens=int(limits.max()), stopping_criteria=[at_its_limit], return_dict_in_generate=True,
            output_scores=True, **({"length_penalty": self.alpha} if beam_size > 1 else {}),
        )  # fmt: skip
        gained = model.compute_transition_scores(
            output.sequences, output.scores, getattr(output, "beam_indices", None), normalize_logits=beam_size == 1
        )  # [B, T]
        written = output.sequences[:, -gained.shape[1] :]
        over = torch.arange(gained.shape[1], device=limits.device) >= limits[:, None]  # padding for longer sentences
        is_end = (written == self.tokenizers.special.eos) & ~over
        after = is_end.cumsum(dim=1) - is_end.long() > 0
        totals = gained.masked_fill(after | over | gained.isinf(), 0).sum(dim=1)
        scores = getattr(output, "sequences_scores", None)
        scores = totals if scores is None else scores
        lengths = (~(after | over | is_end)).sum(dim=1)  # without <eos>
        parts = (written, lengths, totals, scores, is_end.any(dim=1))
        found = zip(*(part.tolist() for part in parts), strict=True)
        return [Hypothesis(tuple(row[:length]), total, score, ended) for row, length, total, score, ended in found]
