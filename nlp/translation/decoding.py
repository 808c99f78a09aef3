"""Decoding one token at a time: the likeliest one, or one drawn at random, for a batch of sentences.

Source: nucleus sampling from Holtzman et al. 2019, arXiv:1904.09751, section 3.1; top-k from Fan et al. 2018,
  arXiv:1805.04833, section 5.4.
Differs from the papers: nothing known. Beam search is in `nlp.translation.beam`.
Shapes: B sentences, R of them still running, S source tokens, T target tokens, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nlp.translation.contract import Seq2SeqModel, select_sentences

# Log-probabilities [R, V] to one token for each row [R].
Choose = Callable[[Tensor], Tensor]


CHUNK = 64  # scores of which `largest` looks at the maximum first


class Special(NamedTuple):
    """Numbers of the tokens that decoding must know; those in `never` are not written."""

    bos: int
    eos: int
    never: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One decoded sentence.

    tokens:          without <bos> and <eos>.
    log_probability: natural, of all its tokens and of <eos>, if it came to that.
    score:           by which hypotheses are compared: the log-probability, over the length penalty in beam search.
    ended:           whether <eos> came before the largest length.
    """

    tokens: tuple[int, ...]
    log_probability: float
    score: float
    ended: bool


@torch.no_grad()
def greedy(
    model: Seq2SeqModel, source: Tensor, source_mask: Tensor, *, special: Special, max_length: int | Tensor
) -> list[Hypothesis]:
    """For each source sentence [B, S] the hypothesis that takes the likeliest token at each place.

    model:      in evaluation mode.
    max_length: most tokens, <eos> included, of all or of each sentence [B].
    """
    return _run(model, source, source_mask, special, max_length, lambda scores: scores.argmax(dim=1))


@torch.no_grad()
def sample(
    model: Seq2SeqModel,
    source: Tensor,
    source_mask: Tensor,
    *,
    special: Special,
    max_length: int | Tensor,
    generator: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> list[Hypothesis]:
    """For each source sentence [B, S] a hypothesis drawn token by token.

    generator:   a seeded one on the model's device.
    temperature: what the logits are divided by, above 0.
    top_k:       draw among the likeliest tokens of this number only.
    top_p:       draw among the fewest likeliest tokens that have this probability together, in (0, 1].
    Returns:     hypotheses with their log-probability by the model itself.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}; for the likeliest tokens use greedy.")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be 1 or more, got {top_k}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be in (0, 1], got {top_p}.")

    def choose(scores: Tensor) -> Tensor:
        probs = filtered(scores / temperature, top_k=top_k, top_p=top_p).softmax(dim=1)
        return torch.multinomial(probs, 1, generator=generator)[:, 0]

    return _run(model, source, source_mask, special, max_length, choose)


def filtered(logits: Tensor, *, top_k: int | None, top_p: float | None) -> Tensor:
    """Logits [R, V] with -inf for the tokens that are not to be drawn; the likeliest one always stays."""
    if top_k is not None and top_k < logits.shape[1]:
        least = logits.topk(top_k, dim=1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p is not None and top_p < 1:
        ordered, order = logits.sort(dim=1, descending=True)
        probs = ordered.softmax(dim=1)
        before = probs.cumsum(dim=1) - probs  # of all likelier tokens together
        out = torch.zeros_like(before, dtype=torch.bool).scatter(1, order, before >= top_p)
        logits = logits.masked_fill(out, -torch.inf)
    return logits


def log_probabilities(logits: Tensor, never: Sequence[int]) -> Tensor:
    """Logits [N, V] to natural log-probabilities in float32, -inf for tokens that are `never` written."""
    scores = logits.float().log_softmax(dim=1)
    if never:
        scores[:, list(never)] = -torch.inf
    return scores


def largest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of each row [B, V], largest first, and their places: as `topk`, but for the order of ties.

    On a CPU `topk` takes every value through a heap. The `count` largest are in as many chunks of the row, those with
    the largest maxima, and maxima are quick to find.
    """
    width = scores.shape[1] // CHUNK * CHUNK
    if scores.device.type != "cpu" or width // CHUNK <= count:
        return scores.topk(count, dim=1)
    chunks = scores[:, :width].unflatten(1, (-1, CHUNK))  # [B, C, CHUNK]
    chosen = chunks.amax(dim=2).topk(count, dim=1).indices[..., None]  # [B, count, 1]
    within = torch.arange(CHUNK)
    places = torch.cat([
        (chosen * CHUNK + within).flatten(1), torch.arange(width, scores.shape[1]).expand(len(scores), -1)
    ], dim=1)  # fmt: skip
    values, index = scores.gather(1, places).topk(count, dim=1)
    return values, places.gather(1, index)


def limits_of(max_length: int | Tensor, source: Tensor) -> Tensor:
    """The largest length of each sentence [B].

    Raises: ValueError for one below 1.
    """
    limits = torch.as_tensor(max_length, device=source.device).expand(len(source))
    if len(limits) and int(limits.min()) < 1:
        raise ValueError(f"max_length must be 1 or more, got {int(limits.min())}.")
    return limits


def _run(
    model: Seq2SeqModel, source: Tensor, source_mask: Tensor, special: Special, max_length: int | Tensor, choose: Choose
) -> list[Hypothesis]:
    """Decodes with one hypothesis for each sentence; what has ended leaves the batch once it is half of it."""
    limits = limits_of(max_length, source)
    count = len(source)
    if not count:
        return []
    state = model.encode(source, source_mask)
    rows = torch.arange(count, device=source.device)  # [R] which sentences still run
    tokens = torch.full_like(rows, special.bos)
    total = torch.zeros(count, device=source.device)
    written: list[tuple[Tensor, Tensor]] = []  # at each step, which sentences wrote which tokens
    running = torch.ones_like(rows, dtype=torch.bool)
    ended = torch.zeros(count, dtype=torch.bool, device=source.device)
    for length in range(1, int(limits.max()) + 1):
        logits, state = model.step(tokens, state)
        scores = log_probabilities(logits, special.never)  # [R, V]
        tokens = choose(scores)
        gained = scores.gather(1, tokens[:, None])[:, 0]
        total[rows] += torch.where(running, gained, 0)
        is_end = tokens == special.eos
        ended[rows] |= running & is_end
        written.append((rows, torch.where(running & ~is_end, tokens, -1)))
        running = running & ~is_end & (limits[rows] > length)
        left = int(running.sum())
        if not left:
            break
        if 2 * left <= len(rows):
            kept = running.nonzero()[:, 0]
            state = select_sentences(state, kept)
            rows, tokens, running = rows[kept], tokens[kept], running[kept]
    table = torch.full((count, len(written)), -1, device=source.device)
    for place, (where, what) in enumerate(written):
        table[where, place] = what
    return [
        Hypothesis(tuple(token for token in row if token >= 0), value, value, done)
        for row, value, done in zip(table.tolist(), total.tolist(), ended.tolist(), strict=True)
    ]
