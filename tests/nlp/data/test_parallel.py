"""Reading sentence pairs: layouts, faults, splits, tokenizers and batches."""

import gzip

import pytest
import torch

from nlp.data.parallel import read_lines
from nlp.translation.options import PairOptions
from nlp.translation.pairs import IGNORED, PairTokenizers
from nlp.translation.reader import read_pairs
from zoo.errors import DataError, UnknownArgumentError, UnknownNameError

GERMAN = ["Ein Hund rennt.", "Ein Hund schläft.", "Zwei Hunde rennen.", "Ein Mann rennt."]
ENGLISH = ["A dog runs.", "A dog sleeps.", "Two dogs run.", "A man runs."]
ALL = {"tokenizer_options": {"min_frequency": 1}}


def write(path, lines):
    text = "".join(f"{line}\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def folder(tmp_path):
    """The layout of Multi30k, partly compressed."""
    write(tmp_path / "train.de.gz", GERMAN)
    write(tmp_path / "train.en.gz", ENGLISH)
    write(tmp_path / "val.de", GERMAN[:2])
    write(tmp_path / "val.en", ENGLISH[:2])
    write(tmp_path / "test_2016_flickr.de", ["Ein Zebra rennt."])
    write(tmp_path / "test_2016_flickr.en", ["A zebra runs."])
    return tmp_path


def test_a_folder_names_its_parts_and_languages(folder):
    bundle = read_pairs(folder, **ALL)
    assert [len(part) for part in (bundle.train, bundle.validation, bundle.test)] == [4, 2, 1]
    assert bundle.preprocessing.source.decode(bundle.train[0][0].tolist()) == "ein hund rennt ."
    turned = read_pairs(folder, source="en", target="de", **ALL)
    assert turned.preprocessing.source.decode(turned.train[0][0].tolist()) == "a dog runs ."
    assert turned.fingerprint != bundle.fingerprint
    for one in ({"source": "en"}, {"target": "de"}):  # of two languages the other follows
        assert read_pairs(folder, **one, **ALL).fingerprint == turned.fingerprint


def test_the_vocabulary_is_of_the_training_part_alone(folder):
    bundle = read_pairs(folder, **ALL)
    source, target, references = bundle.test[0]
    tokenizers = bundle.preprocessing
    assert tokenizers.source.unk in source.tolist()
    assert tokenizers.target.unk in target.tolist()
    assert references == ("a zebra runs .",)  # judged against the words themselves


def test_the_origin_reads_the_same_again(folder):
    first = read_pairs(folder, tokenizer="bpe", tokenizer_options={"vocab_size": 280}, joint=True, max_length=60)
    second = read_pairs(**first.origin)
    assert second.fingerprint == first.fingerprint
    assert second.preprocessing.source is second.preprocessing.target
    assert torch.equal(first.train[2][0], second.train[2][0])
    assert read_pairs(folder, tokenizer="bpe", tokenizer_options={"vocab_size": 290}).fingerprint != first.fingerprint


def test_two_files_and_tables_give_the_same(tmp_path):
    left, right = write(tmp_path / "a.txt", GERMAN), write(tmp_path / "b.txt", ENGLISH)
    table = write(tmp_path / "t.tsv", [f"{one}\t{other}" for one, other in zip(GERMAN, ENGLISH, strict=True)])
    lines = [f'{other},"{one}"' for one, other in zip(GERMAN, ENGLISH, strict=True)]
    named = write(tmp_path / "t.csv", ["english,german", *lines])
    options = {"validation": 0.0, **ALL}
    prints = {
        read_pairs(left, target_path=right, **options).fingerprint,
        read_pairs(table, **options).fingerprint,
        read_pairs(named, source="german", target="english", **options).fingerprint,
    }
    assert len(prints) == 1


def test_unequal_files_say_where(tmp_path):
    left, right = write(tmp_path / "a.txt", GERMAN), write(tmp_path / "b.txt", ENGLISH[:3])
    with pytest.raises(DataError, match=r"a\.txt has 4 lines and .*b\.txt has 3: from line 4"):
        read_pairs(left, target_path=right, on_error="skip")


def test_empty_lines_are_named_or_skipped(tmp_path):
    left = write(tmp_path / "a.txt", [*GERMAN, " ", "Hallo"])
    right = write(tmp_path / "b.txt", [*ENGLISH, "Nothing", ""])
    with pytest.raises(DataError, match=r"a\.txt:5: the line is empty\n.*b\.txt:6"):
        read_pairs(left, target_path=right)
    bundle = read_pairs(left, target_path=right, on_error="skip", validation=0.0, **ALL)
    assert len(bundle.train) == 4
    assert [place.rpartition(":")[2] for place, _ in bundle.skipped] == ["5", "6"]


def test_nothing_left_is_said(tmp_path):
    left, right = write(tmp_path / "a.txt", ["", "b"]), write(tmp_path / "b.txt", ["a", ""])
    with pytest.raises(DataError, match=r"a\.txt has no pair for the train part"):
        read_pairs(left, target_path=right, on_error="skip")
    with pytest.raises(DataError, match="too few"):
        read_pairs(write(tmp_path / "t.tsv", ["a\tb", "a\tc"]))


def test_table_faults_say_the_line(tmp_path):
    table = write(tmp_path / "t.tsv", ["a\tb", "alone", "c\t", "d\te"])
    with pytest.raises(DataError, match=r"t\.tsv:2: 1 columns, where 2 .*\n.*t\.tsv:3: the column of the target"):
        read_pairs(table)
    with pytest.raises(DataError, match="no column 'german'"):
        read_pairs(table, source="german", target="b")


def test_what_is_no_text_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"good\nb\xffd\n")
    with pytest.raises(DataError, match=r"a\.txt:2 is not UTF-8"):
        read_lines(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_text("one\u2028line\r\nsecond", encoding="utf-8")
    assert read_lines(tmp_path / "b.txt") == ["one\u2028line", "second"]


def test_layouts_that_are_none_are_explained(folder, tmp_path):
    with pytest.raises(DataError, match="There is nothing at"):
        read_pairs(tmp_path / "none")
    with pytest.raises(DataError, match="no table"):
        read_pairs(write(tmp_path / "a.txt", GERMAN))
    with pytest.raises(DataError, match=r"no train\.fr for target='fr'.*train\.de, train\.en"):
        read_pairs(folder, source="de", target="fr")
    write(folder / "test_2017.de", GERMAN)
    with pytest.raises(DataError, match="one file of each language for test"):
        read_pairs(folder)
    (folder / "test_2016_flickr.de").unlink()
    with pytest.raises(DataError, match="one file of each language for test"):
        read_pairs(folder)
    write(folder / "train.fr", GERMAN)
    with pytest.raises(DataError, match=r"needs target=; files of the training part: train\.de, train\.en, train\.fr"):
        read_pairs(folder, source="de")


def test_pairs_of_one_source_stay_together(tmp_path):
    """Fails if a word with two pronunciations can be trained on and judged too."""
    table = write(tmp_path / "t.tsv", [f"w{index // 2}\tp{index}" for index in range(60)])
    bundle = read_pairs(table, validation=0.2, test=0.2, merge_answers=True, **ALL)
    texts = [set(part.dataset.texts) for part in (bundle.train, bundle.validation, bundle.test)]
    assert [len(found) for found in texts] == [18, 6, 6]
    assert not texts[0] & texts[1] | texts[0] & texts[2] | texts[1] & texts[2]
    assert len(bundle.train) == 36  # each pronunciation is trained on
    assert len(bundle.test) == 6
    assert all(len(bundle.test[row][2]) == 2 for row in range(6))
    assert read_pairs(table, validation=0.2, test=0.2, seed=1, **ALL).fingerprint != bundle.fingerprint


def test_batches_by_hand(tmp_path):
    """Fails if <eos> or <bos> stands in the wrong place, or padding is counted as a target."""
    table = write(tmp_path / "t.tsv", ["ab\tX Y", "b\tX"])
    bundle = read_pairs(
        table, tokenizer="character", target_tokenizer="whitespace",
        target_tokenizer_options={"lowercase": False, "min_frequency": 1}, validation=0.0,
    )  # fmt: skip
    (pairs, targets, references), *rest = bundle.train.batches(batch_size=2)
    assert not rest
    b, a = 4, 5  # frequent ones first
    x, y = 4, 5
    assert pairs.source.tolist() == [[a, b, 3], [b, 3, 0]]
    assert pairs.source_mask.tolist() == [[True, True, True], [True, True, False]]
    assert pairs.target_in.tolist() == [[2, x, y], [2, x, 0]]
    assert targets.tolist() == [[x, y, 3], [x, 3, IGNORED]]
    assert pairs.target_mask.tolist() == [[True, True, True], [True, True, False]]
    assert references == [("X Y",), ("X",)]


def test_shuffled_batches_hold_like_lengths(tmp_path):
    lines = [f"{'a' * (1 + index % 40)}\t{'b' * (1 + index % 40)}" for index in range(400)]
    bundle = read_pairs(write(tmp_path / "t.tsv", lines), tokenizer="character", validation=0.0)
    padding = total = 0
    for pairs, _, _ in bundle.train.batches(batch_size=10, shuffle=True):
        padding += int((~pairs.source_mask).sum())
        total += pairs.source.numel()
    assert padding / total < 0.05


def test_long_pairs_are_left_out_and_long_sources_cut(tmp_path):
    table = write(tmp_path / "t.tsv", [f"{'a' * size}\tb" for size in (2, 3, 9)])
    bundle = read_pairs(table, tokenizer="character", max_length=4, validation=0.0)
    assert len(bundle.train) == 2
    tokenizers = bundle.preprocessing
    assert tokenizers.source_ids("aaaaaaaa")[-1] == tokenizers.source.eos
    assert len(tokenizers.source_ids("aaaaaaaa")) == len(tokenizers.source_tokens("aaaaaaaa")) == 4


def test_the_models_most_tokens_hold_for_every_part(folder):
    """Fails if a long text outside of the training part reaches a model that has no position for it.

    Or if a model that names no options of the tokenizer takes away those that are usual.
    """
    usual = read_pairs(folder).preprocessing.to_dict()
    assert read_pairs(folder, preprocessing=PairOptions(max_length=90)).preprocessing.to_dict() == {
        **usual, "max_length": 90
    }  # fmt: skip
    write(folder / "val.en", [ENGLISH[0], f"{ENGLISH[1]} {ENGLISH[2]}"])
    bundle = read_pairs(folder, preprocessing=PairOptions(max_length=5), **ALL)
    _, target, references = bundle.validation[1]
    assert len(target) == 5
    assert references == ("a dog sleeps . two dogs run .",)  # judged by the whole
    assert read_pairs(folder, preprocessing=PairOptions(max_length=5), tokenizer="character", max_length=90).train
    with pytest.raises(DataError, match="5 tokens or fewer"):
        read_pairs(folder, preprocessing=PairOptions(max_length=5), tokenizer="character")


@pytest.mark.parametrize("joint", [True, False])
def test_tokenizers_come_back_from_their_dictionary(folder, joint):
    made = read_pairs(folder, tokenizer="bpe", tokenizer_options={"vocab_size": 300}, joint=joint).preprocessing
    again = PairTokenizers.from_dict(made.to_dict())
    for text in (GERMAN[1], ENGLISH[2]):
        assert again.source_ids(text) == made.source_ids(text)
        assert again.target_ids(text) == made.target_ids(text)
    assert again.joint == joint
    assert (again.source is again.target) == joint


def test_a_model_may_say_how_its_data_are_read(folder):
    wish = PairOptions(tokenizer="bpe", tokenizer_options={"vocab_size": 300}, joint=True)
    assert read_pairs(folder, preprocessing=wish).preprocessing.joint
    assert read_pairs(folder, preprocessing=wish, tokenizer="character").preprocessing.source.name == "character"


def test_wrong_options_are_refused_before_reading(tmp_path):
    path = tmp_path / "none"
    with pytest.raises(UnknownNameError, match="whitespace"):
        read_pairs(path, tokenizer="whitespaces")
    with pytest.raises(UnknownArgumentError, match="vocab_size"):
        read_pairs(path, tokenizer="bpe", tokenizer_options={"vocabulary_size": 300})
    with pytest.raises(UnknownNameError, match="skip"):
        read_pairs(path, on_error="skipp")
    with pytest.raises(ValueError, match="joint"):
        read_pairs(path, tokenizer="bpe", target_tokenizer="whitespace", joint=True)
    with pytest.raises(ValueError, match="validation and test"):
        read_pairs(path, validation=0.6, test=0.5)
