"""Beam search over a batch of sentences, all of their hypotheses in one pass of the model.

Source: Wu et al. 2016, arXiv:1609.08144, section 7, equation 14 (length penalty, without coverage penalty).
Differs from the paper: a sentence is done when no running hypothesis can still beat the finished ones, so that the
  result is that of going on to the largest length; the paper prunes by a threshold.
Shapes: B sentences, K hypotheses of each, V vocabulary, L tokens so far.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nlp.translation.contract import Seq2SeqModel, State, map_tensors, select_hypotheses, select_sentences
from nlp.translation.decoding import Hypothesis, Special, largest, limits_of, log_probabilities


def length_penalty(length: Tensor | float, alpha: float) -> Tensor | float:
    """What the log-probability of a hypothesis of `length` tokens, <eos> included, is divided by: 1 for alpha 0."""
    return ((5 + length) / 6) ** alpha


@torch.no_grad()
def beam_search(
    model: Seq2SeqModel,
    source: Tensor,
    source_mask: Tensor,
    *,
    special: Special,
    max_length: int | Tensor,
    beam_size: int = 5,
    alpha: float = 0.6,
    num_best: int = 1,
) -> list[list[Hypothesis]]:
    """For each source sentence [B, S] its `num_best` hypotheses, best first.

    At each step the 2 K best continuations of a sentence's K hypotheses are looked at: those that end are finished,
    and the K best of the others go on.

    model:      in evaluation mode.
    max_length: most tokens, <eos> included, of all or of each sentence [B]. What has not ended by then counts only
                where fewer than `num_best` have.
    alpha:      of the length penalty, 0 for none; above 0 favours longer hypotheses.
    Returns:    for each sentence `num_best` hypotheses, or as many as there are.
    """
    if beam_size < 1 or not 1 <= num_best <= beam_size:
        raise ValueError(f"beam_size must be 1 or more and num_best up to it, got {beam_size} and {num_best}.")
    limits = limits_of(max_length, source)
    results: list[list[Hypothesis]] = [[] for _ in range(len(source))]
    if not results:
        return results
    state = model.encode(source, source_mask)
    beams = _Beams.start(state, limits, special, beam_size, num_best, alpha)
    for length in range(1, int(limits.max()) + 1):
        beams.advance(model, length)
        beams.collect(results, length)
        if not len(beams.rows):
            break
    return results


@dataclass
class _Beams:
    """Running and finished hypotheses of the sentences that are not done.

    rows:       [B] numbers of the sentences.
    state:      of the model, of B sentences and B * K hypotheses.
    tokens:     [B, K, L] of the running hypotheses; totals: [B, K] their log-probabilities, -inf where there is none.
    best, best_totals, best_scores: the finished ones, [B, K, L] filled up by <eos>, and [B, K], -inf for none.
    best_lengths: [B, K] of the finished ones, <eos> included.
    """

    rows: Tensor
    limits: Tensor
    state: State
    tokens: Tensor
    totals: Tensor
    best: Tensor
    best_totals: Tensor
    best_scores: Tensor
    best_lengths: Tensor
    special: Special
    num_best: int
    alpha: float

    @classmethod
    def start(
        cls, state: State, limits: Tensor, special: Special, beam_size: int, num_best: int, alpha: float
    ) -> "_Beams":
        count, device = len(limits), limits.device
        wide = State(state.memory, map_tensors(lambda tensor: tensor.repeat_interleave(beam_size, dim=0), state.cache))
        nothing = torch.full((count, beam_size), -torch.inf, device=device)
        totals = nothing.clone()
        totals[:, 0] = 0  # the hypotheses of a sentence are still the same: only the first counts
        empty = torch.zeros(count, beam_size, 0, dtype=torch.long, device=device)
        return cls(
            rows=torch.arange(count, device=device), limits=limits, state=wide, tokens=empty, totals=totals,
            best=empty, best_totals=nothing, best_scores=nothing,
            best_lengths=torch.zeros(count, beam_size, dtype=torch.long, device=device),
            special=special, num_best=num_best, alpha=alpha,
        )  # fmt: skip

    def advance(self, model: Seq2SeqModel, length: int) -> None:
        """One more token for each running hypothesis; `length` counts it."""
        count, size, _ = self.tokens.shape
        device = self.tokens.device
        newest = self.tokens[..., -1] if length > 1 else torch.full((count, size), self.special.bos, device=device)
        logits, state = model.step(newest.flatten(), self.state)
        scores = log_probabilities(logits, self.special.never).view(count, size, -1).add_(self.totals[..., None])
        vocabulary = scores.shape[2]
        looked_at = min(2 * size, size * vocabulary)
        totals, index = largest(scores.flatten(1), looked_at)  # [B, 2 K], best first
        origin, token = index // vocabulary, index % vocabulary
        is_end = token == self.special.eos
        longer = torch.cat([_pick(self.tokens, origin), token[..., None]], dim=2)  # [B, 2 K, L + 1]

        self._finish(longer, totals.masked_fill(~is_end, -torch.inf), length)
        self.totals, kept = totals.masked_fill(is_end, -torch.inf).topk(size, dim=1)  # [B, K]
        self.tokens = _pick(longer, kept)
        first = torch.arange(count, device=device)[:, None] * size
        self.state = select_hypotheses(state, (first + origin.gather(1, kept)).flatten())

    def _finish(self, tokens: Tensor, totals: Tensor, length: int) -> None:
        """Keeps the K best of the finished hypotheses and of these, which end at `length`."""
        size = self.best.shape[1]
        eos = self.best.new_full((*self.best.shape[:2], 1), self.special.eos)
        every = torch.cat([torch.cat([self.best, eos], dim=2), tokens], dim=1)
        scores = torch.cat([self.best_scores, totals / length_penalty(length, self.alpha)], dim=1)
        lengths = torch.cat([self.best_lengths, torch.full_like(tokens[..., 0], length)], dim=1)
        self.best_scores, kept = scores.topk(size, dim=1)
        self.best = _pick(every, kept)
        self.best_totals = torch.cat([self.best_totals, totals], dim=1).gather(1, kept)
        self.best_lengths = lengths.gather(1, kept)

    def collect(self, results: list[list[Hypothesis]], length: int) -> None:
        """Writes the sentences that are done and leaves them out from here on."""
        reachable = torch.maximum(
            torch.as_tensor(length_penalty(self.limits.float(), self.alpha), device=self.limits.device),
            torch.as_tensor(length_penalty(length + 1.0, self.alpha), device=self.limits.device),
        )  # [B] a log-probability only falls, and what divides it lies between these two
        hope = self.totals[:, 0] / reachable
        done = (self.best_scores[:, self.num_best - 1] >= hope) | (self.limits <= length)
        if not bool(done.any()):
            return
        for place in done.nonzero()[:, 0].tolist():
            results[int(self.rows[place])] = self._hypotheses(place, length)
        left = (~done).nonzero()[:, 0]
        self.state = select_sentences(self.state, left, width=self.tokens.shape[1])
        for name in ("rows", "limits", "tokens", "totals", "best", "best_totals", "best_scores", "best_lengths"):
            setattr(self, name, getattr(self, name)[left])

    def _hypotheses(self, place: int, length: int) -> list[Hypothesis]:
        found = [
            Hypothesis(tuple(tokens[: size - 1]), total, score, True)
            for tokens, total, score, size in zip(
                self.best[place].tolist(), self.best_totals[place].tolist(), self.best_scores[place].tolist(),
                self.best_lengths[place].tolist(), strict=True,
            )
            if score > -torch.inf
        ]  # fmt: skip
        penalty = float(length_penalty(float(length), self.alpha))
        running = [
            Hypothesis(tuple(tokens), total, total / penalty, False)
            for tokens, total in zip(self.tokens[place].tolist(), self.totals[place].tolist(), strict=True)
            if total > -torch.inf
        ]
        return (found + running)[: self.num_best]


def _pick(rows: Tensor, index: Tensor) -> Tensor:
    """Rows [B, K, L] by their numbers [B, K'] to [B, K', L]."""
    return rows.gather(1, index[..., None].expand(-1, -1, rows.shape[2]))
