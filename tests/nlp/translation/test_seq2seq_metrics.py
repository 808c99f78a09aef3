"""Metrics of decoded sequences: by hand, and against sacrebleu's own functions."""

import math
import warnings

import pytest
import torch

from nlp.translation.metrics import (
    BLEU,
    ChrF,
    Decoded,
    ExactMatch,
    Perplexity,
    PhonemeErrorRate,
    TokenLoss,
    WordErrorRate,
    edit_distance,
)
from zoo.metrics import UndefinedMetricWarning
from zoo.metrics.text import tell_signature

TEXTS = ["A dog runs over the green grass.", "Two men talk", "nothing at all here now"]
ANSWERS = [("A dog runs over green grass.",), ("Two men are talking .",), ("A woman sings here now .",)]


def update(metric, texts, answers, nats=0.0, tokens=1):
    metric.update(Decoded(texts, torch.tensor(nats), torch.tensor(tokens)), answers)
    return metric


@pytest.mark.parametrize("lowercase", [True, False])
def test_bleu_and_chrf_are_sacrebleus(lowercase):
    """Fails if streams of references are turned the wrong way, or case is not what was asked for."""
    import sacrebleu

    streams = [[answers[0] for answers in ANSWERS]]
    upper = [text.upper() for text in TEXTS]
    bleu, chrf = BLEU(lowercase=lowercase), ChrF(lowercase=lowercase)
    for metric in (bleu, chrf):
        update(metric, upper[:2], ANSWERS[:2])
        update(metric, upper[2:], ANSWERS[2:])
    assert bleu.compute() == pytest.approx(sacrebleu.corpus_bleu(upper, streams, lowercase=lowercase).score)
    assert chrf.compute() == pytest.approx(sacrebleu.CHRF(lowercase=lowercase).corpus_score(upper, streams).score)
    assert f"case:{'lc' if lowercase else 'mixed'}" in bleu.signature()
    assert bleu.signature().startswith("nrefs:1|")


def test_texts_of_a_word_tokenizer_need_no_warning(caplog):
    """Fails if sacrebleu tells the user at every epoch to detokenize both sides, which are alike."""
    update(BLEU(), ["a dog runs ."] * 120, [("a cat runs .",)] * 120).compute()
    assert not [record for record in caplog.records if record.name.startswith("sacrebleu")]


def test_the_signature_is_told(caplog):
    """Fails if a figure is logged without what sacrebleu was told, or it is not said whose it is."""
    tell_signature.cache_clear()
    with caplog.at_level("INFO", logger="zoo"):
        for metric in (BLEU(), ChrF(), BLEU()):
            update(metric, TEXTS, ANSWERS).compute()
    told = [record.getMessage().split("|")[0] for record in caplog.records if "signature" in record.getMessage()]
    assert told == ["BLEU by sacrebleu, signature nrefs:1", "ChrF by sacrebleu, signature nrefs:1"]


def test_bleu_with_several_answers_takes_any():
    metric = update(BLEU(), ["a b c d e", "f g h i j"], [("x y", "a b c d e"), ("f g h i j",)])
    assert metric.compute() == pytest.approx(100)


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("ab", "ba", 2)],
)
def test_edit_distance_by_hand(one, other, distance):
    assert edit_distance(one, other) == edit_distance(other, one) == distance


def test_phoneme_error_rate_by_hand():
    """Of "K AE T" one of three is wrong, the other word fits its second answer: 1 / (3 + 2), and one word of two."""
    texts, answers = ["K AH T", "B IY"], [("K AE T",), ("B AH D IY", "B IY")]
    assert update(PhonemeErrorRate(), texts, answers).compute() == pytest.approx(1 / 5)
    assert update(WordErrorRate(), texts, answers).compute() == pytest.approx(1 / 2)
    assert update(ExactMatch(), texts, answers).compute() == pytest.approx(1 / 2)


def test_token_loss_is_over_all_tokens():
    """Fails if batches count alike whatever their number of tokens: (6 + 2) / (3 + 1) = 2."""
    loss, perplexity = TokenLoss(), Perplexity()
    for metric in (loss, perplexity):
        update(metric, None, [], nats=6.0, tokens=3)
        update(metric, None, [], nats=2.0, tokens=1)
    assert loss.compute() == pytest.approx(2)
    assert perplexity.compute() == pytest.approx(math.exp(2))
    assert update(Perplexity(), None, [], nats=1e6).compute() == math.inf


def test_nothing_seen_is_undefined():
    for metric in (BLEU(), ChrF(), ExactMatch(), PhonemeErrorRate(), WordErrorRate(), TokenLoss(), Perplexity()):
        with pytest.warns(UndefinedMetricWarning):
            assert math.isnan(metric.compute())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert update(BLEU(), [""], [("a b",)]).compute() == 0


def test_rows_of_all_processes_count():
    class Processes:
        def gather_objects(self, value):
            return [value, [("b", ("c",))]]

    metric = update(ExactMatch(), ["a"], [("a",)]).sync(Processes())
    assert metric.compute() == 0.5


def test_decoding_nothing_is_said():
    with pytest.raises(ValueError, match="BLEU needs decoded texts"):
        update(BLEU(), None, [("a",)])
