"""Tokenizers: what each makes of a text, and that what is kept gives the same tokenizer again."""

import json
from pathlib import Path

import pytest

from nlp.data.tokenizers import BytePairTokenizer, tokenizer_from_dict, train_tokenizer
from nlp.data.vocabulary import Vocabulary
from zoo.errors import DataError, UnknownArgumentError, UnknownNameError

TEXTS = ["The cat sat on the mat.", "Don't stop, naïve café!", "the dog saw the cat"] * 3
TRAINED = [
    ("character", {}),
    ("whitespace", {}),
    ("whitespace", {"lowercase": False, "min_frequency": 2}),
    ("bpe", {"vocab_size": 300}),
    ("wordpiece", {"vocab_size": 120}),
]


@pytest.mark.parametrize(("name", "options"), TRAINED)
def test_a_kept_tokenizer_is_the_same(name, options):
    """Fails if an option or the order of the vocabulary is not kept, or is no JSON."""
    tokenizer = train_tokenizer(name, TEXTS, **options)
    again = tokenizer_from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    for text in (*TEXTS, "unseen ZEBRA 漢字 <pad>", ""):
        assert again.encode(text) == tokenizer.encode(text)
        assert again.tokens(text) == tokenizer.tokens(text)
    assert again.vocab_size == tokenizer.vocab_size
    assert (again.pad, again.unk, again.bos, again.eos) == (0, 1, 2, 3)


@pytest.mark.parametrize(("name", "options"), TRAINED)
def test_each_number_has_one_token_and_lies_in_the_vocabulary(name, options):
    """Fails if tokens and numbers part ways, which would colour the wrong words, or a cut forgets one of them."""
    tokenizer = train_tokenizer(name, TEXTS, **options)
    for text in (*TEXTS, "unseen ZEBRA 漢字"):
        for length in (None, 3):
            ids, tokens = tokenizer.encode(text, max_length=length), tokenizer.tokens(text, max_length=length)
            assert len(ids) == len(tokens)
            assert length is None or len(ids) <= length
            assert all(0 < number < tokenizer.vocab_size for number in ids)
    assert tokenizer.encode_all(TEXTS, max_length=4) == [tokenizer.encode(text, max_length=4) for text in TEXTS]


@pytest.mark.parametrize(("name", "options"), TRAINED)
def test_a_text_never_holds_special_tokens(name, options):
    """Fails if a user's "<pad>" becomes padding, or "<eos>" an end."""
    tokenizer = train_tokenizer(name, [*TEXTS, "<pad> <eos>"], **options)
    assert not {0, 2, 3} & set(tokenizer.encode("a <pad> b <bos> c <eos>"))


def test_training_is_repeatable():
    """Fails if ties are broken by chance: a run read again would have other tokens."""
    for name, options in TRAINED:
        first = train_tokenizer(name, TEXTS, **options).to_dict()
        assert train_tokenizer(name, TEXTS, **options).to_dict() == first


def test_characters_and_bytes_give_the_text_back():
    """Fails if white space, case or accents are lost on the way."""
    text = "Don't stop,\n naïve  café!"
    assert train_tokenizer("character", [text]).decode(train_tokenizer("character", [text]).encode(text)) == text
    bpe = train_tokenizer("bpe", TEXTS, vocab_size=300)
    unseen = "Zebra 漢字 \t 🦓"
    assert bpe.decode(bpe.encode(unseen)) == unseen
    assert "".join(bpe.tokens("Don't stop")) == "Don't stop"


def test_words_by_hand():
    """Fails if apostrophes split words, marks stick to them, or case counts."""
    tokenizer = train_tokenizer("whitespace", ["Don't go. GO!"])
    assert tokenizer.tokens("Don't go. GO!") == ["don't", "go", ".", "go", "!"]
    assert tokenizer.encode("go stay") == [4, 1]
    assert tokenizer.decode([2, 4, 1, 3, 0]) == "go <unk>"


def test_vocabulary_is_by_frequency_then_alphabet():
    """Fails if rare words are kept, or the largest size leaves the special ones out of the count."""
    rows = [["b", "a", "c"], ["a", "b"], ["d", "a"]]
    assert Vocabulary.count(rows).tokens[4:] == ("a", "b", "c", "d")
    assert Vocabulary.count(rows, min_frequency=2).tokens[4:] == ("a", "b")
    assert len(Vocabulary.count(rows, max_size=5)) == 5
    with pytest.raises(DataError, match="4 different tokens were read"):
        Vocabulary.count(rows, min_frequency=9)


def test_wordpiece_marks_what_goes_on():
    """Fails if a piece from inside words may begin one, or the frequent ending is not learned as a piece."""
    texts = ["walking talking sinking"] * 4
    tokenizer = train_tokenizer("wordpiece", texts, vocab_size=30)
    assert tokenizer.vocab_size == 30
    assert tokenizer.tokens("swalking") == ["s", "##walking"]
    assert tokenizer.tokens("ing") == ["i", "##n", "##g"]
    assert tokenizer.decode(tokenizer.encode("talking sinking")) == "talking sinking"


def test_wrong_names_and_options():
    with pytest.raises(UnknownNameError, match="'bpe'"):
        train_tokenizer("bpee", TEXTS)
    with pytest.raises(UnknownArgumentError, match="'lowercase'"):
        train_tokenizer("whitespace", TEXTS, lower_case=True)
    with pytest.raises(ValueError, match="260"):
        BytePairTokenizer.train(TEXTS, vocab_size=100)


@pytest.fixture
def bert_folder(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "bert", ["the", "cat", "##s", "sat"])


def write_bert(folder: Path, words: list[str]) -> Path:
    from transformers import BertTokenizerFast

    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_a_tokenizer_of_transformers(bert_folder):
    """Fails if its special tokens are left out, or a cut loses the last one."""
    tokenizer = train_tokenizer("hf", [], reference=str(bert_folder))
    assert tokenizer.tokens("The cats sat") == ["[CLS]", "the", "cat", "##s", "sat", "[SEP]"]
    assert tokenizer.tokens("The cats sat", max_length=4) == ["[CLS]", "the", "cat", "[SEP]"]
    assert tokenizer.decode(tokenizer.encode("the cats")) == "the cats"
    assert (tokenizer.pad, tokenizer.unk, tokenizer.bos, tokenizer.eos) == (0, 1, 2, 3)
    assert tokenizer_from_dict(tokenizer.to_dict()).encode("the cats") == tokenizer.encode("the cats")


def test_another_tokenizer_in_the_same_place_is_refused(bert_folder, tmp_path):
    """Fails if a run takes a folder whose vocabulary has changed since."""
    state = train_tokenizer("hf", [], reference=str(bert_folder)).to_dict()
    other = write_bert(tmp_path / "other", ["the", "dog"])
    with pytest.raises(DataError, match="its vocabulary has changed"):
        tokenizer_from_dict({**state, "reference": str(other)})
    with pytest.raises(DataError, match="cannot be read"):
        train_tokenizer("hf", [], reference=str(tmp_path / "nothing"))
