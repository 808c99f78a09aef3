"""transformers' sequence-to-sequence models on the same task: their losses, decoding, tokenizers and attention."""

from pathlib import Path

import pytest
import torch
from seq2seq_helpers import QUIET, batch_of

import zoo
from nlp.translation.task import Translation
from zoo.data import load_data
from zoo.errors import DataError
from zoo.records import Entry, TextPreprocessing
from zoo.registry import model_info
from zoo.training import load_run


def test_transformers_models_decode_by_themselves(task):
    """Fails if targets are moved on twice, or the scores of `generate` are not those of its tokens."""
    from transformers import BartConfig, BartForConditionalGeneration

    torch.manual_seed(0)
    special = task.tokenizers.special
    config = BartConfig(
        vocab_size=task.tokenizers.target.vocab_size, d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=64, pad_token_id=0,
        bos_token_id=special.bos, eos_token_id=special.eos, decoder_start_token_id=special.bos,
        forced_eos_token_id=None,
    )  # fmt: skip
    model = BartForConditionalGeneration(config).eval()
    batch = batch_of(task, "abcd\tA B C D", "a\tA")
    with torch.no_grad():
        own = model(
            input_ids=batch[0].source, attention_mask=batch[0].source_mask.long(),
            decoder_input_ids=batch[0].target_in,
        ).logits  # fmt: skip
    expected = torch.nn.functional.cross_entropy(own.transpose(1, 2), batch[1])
    assert task.losses(model, batch)["loss"].item() == pytest.approx(float(expected), rel=1e-5)
    for beam_size in (1, 3):
        found = task.decoder.decode(model, batch[0].source, batch[0].source_mask, beam_size=beam_size)
        for row, hypothesis in enumerate(found):
            tokens = torch.tensor([[special.bos, *hypothesis.tokens, *([special.eos] if hypothesis.ended else [])]])
            with torch.no_grad():
                logits = model(
                    input_ids=batch[0].source[row : row + 1],
                    attention_mask=batch[0].source_mask[row : row + 1].long(), decoder_input_ids=tokens[:, :-1],
                ).logits  # fmt: skip
            scores = logits.log_softmax(2).gather(2, tokens[:, 1:, None]).sum()
            assert hypothesis.log_probability == pytest.approx(float(scores), abs=1e-3)
    heat = task.explain(model, ["abc"]).heat
    assert model.config._attn_implementation == "sdpa"  # given back as it was
    torch.testing.assert_close(heat.sum(2), torch.ones(1, heat.shape[1]))


def test_transformers_models_need_their_own_tokenizer(task):
    """Fails if numbers of another vocabulary are given to a trained model."""
    fields = {"task": "nlp/translation", "builder": "a:b", "summary": ""}
    own = Entry(name="hf:x", preprocessing=TextPreprocessing(tokenizer="x"), **fields)
    with pytest.raises(DataError, match="was trained with the tokenizer x"):
        task.model_arguments(own)
    with pytest.raises(DataError, match="without a tokenizer"):
        task.model_arguments(Entry(name="hf:bart", **fields))


@pytest.mark.parametrize("beam_size", [1, 3])
def test_transformers_models_do_not_see_the_batch(bart, tmp_path, beam_size):
    """Fails if the longest sentence of a batch says how long the others become, or padding reaches an answer."""
    (tmp_path / "t.tsv").write_text("ein hund\ta dog\nein mann\ta man\n", encoding="utf-8")
    name = f"hf:{bart}"
    wanted = model_info(name).preprocessing
    bundle = load_data(tmp_path / "t.tsv", task="nlp/translation", validation=0.0, preprocessing=wanted)
    task = Translation.from_bundle(bundle, max_length_extra=3, beam_size=beam_size)
    model = zoo.create_model(name).eval()
    model.final_logits_bias[0, :4] = -1e4  # it never ends
    texts = ["ein", "ein hund mann kind ein hund mann kind", "mann mann"]
    together = task.predict(model, texts)
    for text, among in zip(texts, together, strict=True):
        (alone,) = task.predict(model, text)
        assert alone["tokens"] == among["tokens"]
        assert alone["score"] == pytest.approx(among["score"], abs=1e-4)
    assert [len(found["tokens"]) for found in together] == [9, 23, 11]  # 2 for each token of the source, and 3


@pytest.fixture
def bart(tmp_path) -> Path:
    """A folder with a tiny BART and its tokenizer, as transformers writes them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

    words = ["<s>", "<pad>", "</s>", "<unk>", "ein", "hund", "mann", "kind", "a", "dog", "man", "child"]
    library = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    library.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=library, **names).save_pretrained(tmp_path / "bart")
    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=len(words), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=32, pad_token_id=1,
        bos_token_id=0, eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=None, dropout=0.0,
        init_std=0.2,
    )  # fmt: skip
    BartForConditionalGeneration(config).save_pretrained(tmp_path / "bart")
    return tmp_path / "bart"


def test_transformers_models_are_fine_tuned(bart, tmp_path):
    """Fails if pairs do not get the numbers of the model's own tokenizer, or its special tokens come twice."""
    german, english = ("ein hund", "ein mann", "ein kind"), ("a dog", "a man", "a child")
    for part, times in (("train", 8), ("val", 1)):
        (tmp_path / f"{part}.de").write_text("\n".join(german * times) + "\n", encoding="utf-8")
        (tmp_path / f"{part}.en").write_text("\n".join(english * times) + "\n", encoding="utf-8")
    run = zoo.fine_tune(
        f"hf:{bart}", tmp_path, strategy="full", epochs=20, lr=1e-2, batch_size=4, out=tmp_path / "run",
        task_options={"metric": "exact_match"}, **QUIET,
    )  # fmt: skip
    source, target, _ = run.bundle.train[0]
    assert source.tolist() == [0, 4, 5, 2]
    assert target.tolist() == [0, 8, 9, 2]
    assert run.results["validation"]["exact_match"] == 1
    opened = load_run(tmp_path / "run")
    assert [found["text"] for found in opened.predict(list(german))] == list(english)
    assert opened.explain("ein mann").heat.shape == (1, 4, 4)
    assert opened.explain("ein mann", method="integrated_gradients").heat.shape == (1, 4)
