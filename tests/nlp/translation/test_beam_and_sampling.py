"""Decoding: against exhaustive search, a plain loop over sentences, and each other."""

import itertools
import math

import pytest
import torch
from seq2seq_helpers import SPECIAL, build
from torch import Tensor, nn

from nlp.translation.beam import beam_search, length_penalty
from nlp.translation.contract import Seq2SeqBatch, State
from nlp.translation.decoding import Hypothesis, Special, filtered, greedy, largest, sample
from nlp.translation.transformer import Transformer


class Markov(nn.Module):
    """A model whose next token depends on the last two tokens and the first source token: logits from a table."""

    def __init__(self, vocabulary: int, *, seed: int = 0, scale: float = 1.5) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.table = scale * torch.randn(vocabulary, vocabulary, vocabulary, vocabulary, generator=generator)

    def encode(self, source: Tensor, source_mask: Tensor) -> State:
        return State((source[:, 0],), (torch.zeros(len(source), dtype=torch.long),))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        (source,), (last,) = state
        source = source.repeat_interleave(len(tokens) // len(source))
        return self.table[source, last, tokens], State(state.memory, (tokens,))


def every_hypothesis(model: Markov, source: int, special: Special, max_length: int, alpha: float) -> list[Hypothesis]:
    """All token sequences that end within `max_length`, by their definition, best first."""
    vocabulary = len(model.table)
    words = [token for token in range(vocabulary) if token not in (*special.never, special.eos)]
    found = []
    for length in range(max_length):
        for tokens in itertools.product(words, repeat=length):
            before, last, total = 0, special.bos, 0.0
            for token in (*tokens, special.eos):
                total += float(model.table[source, before, last].log_softmax(0)[token])
                before, last = last, token
            score = total / float(length_penalty(float(length + 1), alpha))
            found.append(Hypothesis(tokens, total, score, True))
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


MARKOV_SPECIAL = Special(bos=1, eos=2, never=(0, 1))


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0, -1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_wide_beam_is_exhaustive(alpha, seed):
    """Fails if a hypothesis is lost, stopping comes too early, or the length penalty is not equation 14."""
    model = Markov(6, seed=seed)
    source = torch.tensor([[3], [4], [5]])
    found = beam_search(
        model, source, source >= 0, special=MARKOV_SPECIAL, max_length=4, beam_size=90, alpha=alpha, num_best=5
    )
    for row, hypotheses in enumerate(found):
        expected = every_hypothesis(model, row + 3, MARKOV_SPECIAL, 4, alpha)[:5]
        assert [one.tokens for one in hypotheses] == [one.tokens for one in expected]
        assert [one.score for one in hypotheses] == pytest.approx([one.score for one in expected], abs=1e-4)
        assert [one.log_probability for one in hypotheses] == pytest.approx(
            [one.log_probability for one in expected], abs=1e-4
        )


def plain_beam_search(model, source, mask, max_length: int, size: int, alpha: float) -> Hypothesis | None:
    """One sentence, one hypothesis at a time, no early stopping, the whole target at each step."""
    running: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    finished: list[Hypothesis] = []
    for length in range(1, max_length + 1):
        longer = []
        for tokens, total in running:
            target = torch.tensor([[SPECIAL.bos, *tokens]])
            logits = model(Seq2SeqBatch(source, mask, target, torch.ones_like(target, dtype=torch.bool)))[0, -1]
            scores = logits.float().log_softmax(0)
            scores[list(SPECIAL.never)] = -torch.inf
            longer += [((*tokens, token), total + float(scores[token])) for token in range(len(scores))]
        longer = sorted(longer, key=lambda pair: -pair[1])[: 2 * size]
        for tokens, total in longer:
            if tokens[-1] == SPECIAL.eos and total > -torch.inf:
                finished.append(Hypothesis(tokens[:-1], total, total / ((5 + length) / 6) ** alpha, True))
        running = [pair for pair in longer if pair[0][-1] != SPECIAL.eos][:size]
    return max(finished, key=lambda hypothesis: hypothesis.score, default=None)


@pytest.mark.parametrize(
    ("name", "sharpness"), [("bahdanau", 1.0), ("luong_concat", 0.7), ("pre_norm", 0.3), ("pre_norm", 0.7)]
)
def test_batched_beam_search_is_the_plain_one(name, sharpness, batch):
    """Fails if caches follow the wrong hypothesis, sentences disturb each other, or stopping early changes a result."""
    model = build(name, sharpness=sharpness)
    with torch.no_grad():
        found = beam_search(
            model, batch.source, batch.source_mask, special=SPECIAL, max_length=8, beam_size=3, alpha=0.6
        )
        ended = 0
        for row, (hypothesis,) in enumerate(found):
            length = int(batch.source_mask[row].sum())
            source, mask = batch.source[row : row + 1, :length], batch.source_mask[row : row + 1, :length]
            expected = plain_beam_search(model, source, mask, 8, 3, 0.6)
            if expected is not None:
                ended += 1
                assert hypothesis.tokens == expected.tokens
                assert hypothesis.score == pytest.approx(expected.score, abs=1e-4)
            else:
                assert not hypothesis.ended
                assert len(hypothesis.tokens) == 8
    assert ended, "a test of nothing: no sentence came to its end"


def test_a_beam_of_one_is_greedy(model, batch):
    options = {"special": SPECIAL, "max_length": torch.tensor([9, 3, 6, 1])}
    ones = greedy(model, batch.source, batch.source_mask, **options)
    beams = beam_search(model, batch.source, batch.source_mask, beam_size=1, alpha=0.0, **options)
    assert [one.tokens for one in ones] == [best.tokens for (best,) in beams]
    assert [one.log_probability for one in ones] == pytest.approx([best.log_probability for (best,) in beams], abs=1e-4)
    assert all(len(one.tokens) + one.ended <= most for one, most in zip(ones, [9, 3, 6, 1], strict=True))


def test_a_sentence_does_not_see_its_batch(model, batch):
    """Fails if the largest length, leaving the batch or padding lets one sentence change another's result."""
    limits = torch.tensor([9, 3, 6, 4])
    together = greedy(model, batch.source, batch.source_mask, special=SPECIAL, max_length=limits)
    for row in range(4):
        length = int(batch.source_mask[row].sum())
        (alone,) = greedy(
            model, batch.source[row : row + 1, :length], batch.source_mask[row : row + 1, :length], special=SPECIAL,
            max_length=int(limits[row]),
        )  # fmt: skip
        assert alone.tokens == together[row].tokens
        assert alone.log_probability == pytest.approx(together[row].log_probability, abs=1e-4)


def test_length_penalty_is_the_papers():
    """(5 + 7) / 6 = 2, to the power of 0.5; and nothing for alpha 0."""
    assert length_penalty(7.0, 0.5) == pytest.approx(2**0.5)
    assert length_penalty(7.0, 0.0) == 1


def test_a_larger_alpha_never_gives_shorter_results():
    model = Markov(6, seed=3)
    source = torch.tensor([[3], [4], [5]])
    lengths = []
    for alpha in (0.0, 1.0, 3.0):
        found = beam_search(
            model, source, source >= 0, special=MARKOV_SPECIAL, max_length=6, beam_size=200, alpha=alpha
        )
        lengths.append([len(best.tokens) for (best,) in found])
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[2]


def test_a_longer_one_may_still_win():
    """Ending at once has ln .6 = -.51; 4, 5, 3, <eos> has ln .4 over (9 / 6) ** 2 = -.41, though -.67 after its first.

    Fails if a sentence is taken to be done by the length penalty of the present length.
    """
    model = Markov(6)
    model.table = torch.full((6, 6, 6, 6), -50.0)  # source, last but one, last, next
    model.table[3, 0, 1, 2], model.table[3, 0, 1, 4] = math.log(0.6), math.log(0.4)
    model.table[3, 1, 4, 5] = model.table[3, 4, 5, 3] = model.table[3, 5, 3, 2] = 0.0
    source = torch.tensor([[3]])
    found = beam_search(model, source, source >= 0, special=MARKOV_SPECIAL, max_length=4, beam_size=2, alpha=2.0)[0]
    assert [one.tokens for one in found] == [(4, 5, 3)]
    assert [one.score for one in found] == pytest.approx([math.log(0.4) / 2.25], abs=1e-4)


class Endless(Markov):
    """A model that never ends."""

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        logits, state = super().step(tokens, state)
        logits = logits.clone()
        logits[:, MARKOV_SPECIAL.eos] = -torch.inf
        return logits, state


def test_what_never_ends_is_cut_off():
    source = torch.tensor([[3], [4]])
    options = {"special": MARKOV_SPECIAL, "max_length": torch.tensor([2, 5])}
    for found in (
        greedy(Endless(6), source, source >= 0, **options),
        [best for (best,) in beam_search(Endless(6), source, source >= 0, beam_size=3, **options)],
    ):
        assert [(len(one.tokens), one.ended) for one in found] == [(2, False), (5, False)]


def test_samples_follow_the_model():
    """Fails if temperature or the probabilities are not the model's: shares of the first token within four sigma."""
    model = Markov(6)
    number = 4000
    source = torch.full((number, 1), 3)
    scores = model.table[3, 0, MARKOV_SPECIAL.bos].log_softmax(0).clone()
    scores[list(MARKOV_SPECIAL.never)] = -torch.inf
    for temperature in (1.0, 0.5):
        found = sample(
            model, source, source >= 0, special=MARKOV_SPECIAL, max_length=1, temperature=temperature,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        probs = (scores / temperature).softmax(0)
        for token in (2, 3, 4, 5):
            share = sum((one.tokens[0] if one.tokens else MARKOV_SPECIAL.eos) == token for one in found) / number
            sigma = float((probs[token] * (1 - probs[token]) / number).sqrt())
            assert abs(share - float(probs[token])) < 4 * sigma + 1e-6


def test_samples_repeat_with_the_seed(batch):
    model = build("post_norm", sharpness=1.0)
    runs = [
        sample(
            model, batch.source, batch.source_mask, special=SPECIAL, max_length=8,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in (1, 1, 2)
    ]  # fmt: skip
    assert runs[0] == runs[1] != runs[2]


def test_sampling_from_one_token_is_greedy(model, batch):
    options = {"special": SPECIAL, "max_length": 6}
    generator = torch.Generator().manual_seed(0)
    plain = greedy(model, batch.source, batch.source_mask, **options)
    for choice in ({"top_k": 1}, {"top_p": 1e-6}):
        drawn = sample(model, batch.source, batch.source_mask, generator=generator, **options, **choice)
        assert [one.tokens for one in drawn] == [one.tokens for one in plain]


def test_filters_by_hand():
    """Probabilities .5, .3, .15, .05: the first two make .8, so 0.7 keeps two tokens and 0.85 three."""
    logits = torch.tensor([[0.15, 0.5, 0.05, 0.3]]).log()
    assert filtered(logits, top_k=2, top_p=None).isfinite().tolist() == [[False, True, False, True]]
    assert filtered(logits, top_k=None, top_p=0.7).isfinite().tolist() == [[False, True, False, True]]
    assert filtered(logits, top_k=None, top_p=0.85).isfinite().tolist() == [[True, True, False, True]]
    assert filtered(logits, top_k=None, top_p=0.3).isfinite().tolist() == [[False, True, False, False]]


def test_wrong_values_raise(batch):
    model = build("post_norm")
    inputs = (model, batch.source, batch.source_mask)
    with pytest.raises(ValueError, match="num_best"):
        beam_search(*inputs, special=SPECIAL, max_length=4, beam_size=2, num_best=3)
    with pytest.raises(ValueError, match="max_length"):
        greedy(*inputs, special=SPECIAL, max_length=0)
    for options in ({"temperature": 0.0}, {"top_k": 0}, {"top_p": 0.0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            sample(*inputs, special=SPECIAL, max_length=4, generator=torch.Generator(), **options)


def test_nothing_to_decode_gives_nothing():
    model = Transformer(source_vocabulary=12, target_vocabulary=12, width=16, num_heads=2, num_layers=1, hidden=8)
    empty = torch.zeros(0, 3, dtype=torch.long)
    assert greedy(model, empty, empty > 0, special=SPECIAL, max_length=4) == []
    assert beam_search(model, empty, empty > 0, special=SPECIAL, max_length=4) == []


@pytest.mark.parametrize("width", [5, 64, 640, 641, 1000, 4096])
@pytest.mark.parametrize("count", [1, 4, 10])
def test_largest_scores_are_those_of_topk(width: int, count: int) -> None:
    """Also where the row ends within a chunk, is shorter than one, or holds -inf."""
    scores = torch.randn(7, width, generator=torch.Generator().manual_seed(width))
    scores[0, : width - count] = -torch.inf  # the last chunk, or what is left of one, has them all
    scores[1, count:] = -torch.inf
    count = min(count, width)
    values, places = largest(scores, count)
    expected = scores.topk(count, dim=1)
    assert torch.equal(values, expected.values)
    finite = values > -torch.inf  # the order of ties is free
    assert torch.equal(places[finite], expected.indices[finite])
    assert torch.equal(scores.gather(1, places), values)
