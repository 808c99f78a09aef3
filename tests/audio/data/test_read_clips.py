"""Folders, tables and patterns of sound files to bundles."""

import json
import logging

import numpy as np
import pytest
import soundfile
import torch

from audio.data.clips import ClipBatch
from audio.data.reading import read_clips
from zoo.errors import DataError, UnknownNameError

PATTERN = "{label}_{speaker}_{index}.wav"


def names(source):
    return sorted(path.rsplit("/", 1)[1] for path in source.dataset.paths)


def test_a_folder_of_class_folders(tones):
    bundle = read_clips(tones, validation=0.25)
    assert bundle.classes == ("high", "low", "middle")
    assert bundle.task == "audio/classification"
    assert bundle.preprocessing.sample_rate_hz == 8000
    assert bundle.train.targets().bincount().tolist() == [6, 6, 6]
    assert bundle.validation.targets().bincount().tolist() == [2, 2, 2]
    clips, labels = next(bundle.validation.batches(batch_size=6))
    assert isinstance(clips, ClipBatch)
    assert clips.waveforms.shape == (6, int(clips.lengths.max()))
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert (clips.waveforms[torch.arange(6), clips.lengths - 1] != 0).all()


def test_train_and_test_folders(tmp_path, tone_folder):
    tone_folder(tmp_path / "train", number=4)
    tone_folder(tmp_path / "test", number=2)
    bundle = read_clips(tmp_path, validation=0.5)
    assert {name: len(part) for name, part in bundle.parts.items()} == {"train": 6, "validation": 6, "test": 6}
    assert all("/test/" in path for path in bundle.test.dataset.paths)


def test_a_table_with_parts_and_groups(tmp_path, spoken):
    lines = ["file,digit,who,part"]
    for path in sorted(spoken.glob("*.wav")):
        label, speaker, index = path.stem.split("_")
        lines.append(f"spoken/{path.name},{label},{speaker},{'test' if index == '0' else 'train'}")
    table = tmp_path / "clips.csv"
    table.write_text("\n".join(lines))
    columns = {"path_column": "file", "label_column": "digit", "split_column": "part", "group_column": "who"}
    bundle = read_clips(table, split="grouped", validation=0.3, **columns)
    assert names(bundle.test) == sorted(f"{one}_{who}_0.wav" for one in ("one", "two") for who in ("ann", "ben", "cid"))
    speakers = [{name.split("_")[1] for name in names(part)} for part in (bundle.train, bundle.validation)]
    assert not speakers[0] & speakers[1]
    assert speakers[0] | speakers[1] == {"ann", "ben", "cid"}


def test_a_pattern_with_an_official_test_part(spoken):
    bundle = read_clips(spoken, pattern=PATTERN, test_where={"index": [0, 1]}, validation=0.25)
    assert bundle.classes == ("one", "two")
    assert {name.split("_")[2] for name in names(bundle.test)} == {"0.wav", "1.wav"}
    assert len(bundle.test) == 12
    assert len(bundle.validation) == 6
    assert not set(names(bundle.test)) & set(names(bundle.train) + names(bundle.validation))


def test_a_speaker_is_left_out(spoken):
    """Fails if a clip of the speaker stays in training or validation."""
    bundle = read_clips(spoken, pattern=PATTERN, leave_out="ben", validation=0.25)
    assert {name.split("_")[1] for name in names(bundle.test)} == {"ben"}
    assert {name.split("_")[1] for name in names(bundle.train) + names(bundle.validation)} == {"ann", "cid"}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"pattern": PATTERN, "leave_out": "bem"}, UnknownNameError, "Did you mean 'ben'"),
        ({"pattern": PATTERN, "test_where": {"indx": [0]}}, DataError, "'indx' of these files. Did you mean 'index'"),
        ({"pattern": PATTERN, "leave_out": ["ann", "ben", "cid"]}, DataError, "selects every file"),
        ({"pattern": "{digit}_{speaker}_{index}.wav"}, DataError, "label.* among them"),
        ({"pattern": "{label}-{speaker}.wav"}, DataError, "holds no file that fits"),
        ({"pattern": PATTERN, "split": "grouped", "group_column": "who"}, DataError, "Nothing says the 'who'"),
        ({"pattern": PATTERN, "split": "grouped", "validation": 0.3, "test": 0.3, "group_column": "label"}, DataError,
         "needs 3 values of 'label'"),
        ({}, DataError, "holds sound files directly"),
        ({"augment": "standart"}, UnknownNameError, "standard"),
        ({"on_error": "ignore"}, UnknownNameError, "raise"),
        ({"split": "group"}, UnknownNameError, "grouped"),
    ],
)  # fmt: skip
def test_wrong_options_are_told(spoken, options, error, message):
    with pytest.raises(error, match=message):
        read_clips(spoken, **options)


def test_the_origin_gives_the_same_bundle_again(spoken, monkeypatch):
    """Fails if an option is not in the origin, or the augmentation depends on more than seed, epoch and row."""
    bundle = read_clips(spoken, pattern=PATTERN, leave_out="ben", validation=0.3, seed=3, in_memory=False)
    again = read_clips(**json.loads(json.dumps(dict(bundle.origin))))
    assert again.fingerprint == bundle.fingerprint
    for part, source in bundle.parts.items():
        assert source.dataset.paths == again.parts[part].dataset.paths
    first, second = (next(each.train.batches(batch_size=8, shuffle=True, epoch=1)) for each in (bundle, again))
    assert torch.equal(first[0].waveforms, second[0].waveforms)
    assert torch.equal(first[1], second[1])
    other = next(bundle.train.batches(batch_size=8, shuffle=True, epoch=2))
    assert first[0].waveforms.shape != other[0].waveforms.shape or not torch.equal(
        first[0].waveforms, other[0].waveforms
    )
    path = next(spoken.glob("one_ann*"))
    soundfile.write(path, np.full(900, 0.1), 8000)
    assert read_clips(**bundle.origin).fingerprint != bundle.fingerprint


def test_memory_and_files_give_the_same_clips(spoken):
    """Fails if clips in memory are cut, mixed or resampled in another way than those read one by one."""
    options = {"pattern": PATTERN, "sample_rate_hz": 4000, "seconds": 0.12, "augment": "none"}
    kept, read = (read_clips(spoken, in_memory=held, **options) for held in (True, False))
    assert kept.train.dataset.waveforms is not None
    assert read.train.dataset.waveforms is None
    for one, other in zip(kept.validation.batches(batch_size=4), read.validation.batches(batch_size=4), strict=True):
        assert one[0].lengths.tolist() == other[0].lengths.tolist()
        assert int(one[0].lengths.max()) == 480
        inner = slice(10, 300)  # the filter sees other neighbours at the ends of what was cut
        torch.testing.assert_close(one[0].waveforms[:, inner], other[0].waveforms[:, inner])


def test_training_batches_hold_clips_of_like_length(tones):
    def padding(by_length):
        source = read_clips(tones, by_length=by_length, augment="none", validation=0.0).train
        batches = list(source.batches(batch_size=4, shuffle=True))
        assert sum(len(labels) for _, labels in batches) == 24
        return sum(clips.waveforms.numel() for clips, _ in batches)

    assert padding(True) < 0.95 * padding(False)


def test_other_rates_are_resampled_and_told(tones, make_tone, caplog):
    soundfile.write(tones / "low" / "studio.wav", np.stack([make_tone(300.0, 0.3, rate=44_100)] * 2, 1), 44_100)
    with caplog.at_level(logging.INFO):
        bundle = read_clips(tones, validation=0.0)
    assert "1 file resampled from 44100 Hz to 8000 Hz; 1 file with several channels mixed to one" in caplog.text
    row = next(i for i, path in enumerate(bundle.train.dataset.paths) if path.endswith("studio.wav"))
    assert len(bundle.train.unaugmented()[row][0]) == 2400
    model_rate = read_clips(tones, preprocessing={"sample_rate_hz": 16_000, "seconds": None}, validation=0.0)
    assert model_rate.preprocessing.sample_rate_hz == 16_000


def spoil(folder, make_tone):
    """One file of each fault in the class "low", by name."""
    low = folder / "low"
    (low / "empty.wav").write_bytes(b"")
    (low / "corrupt.wav").write_bytes(b"RIFF and no more")
    soundfile.write(low / "silent.wav", np.zeros(2000), 8000)
    soundfile.write(low / "short.wav", make_tone(300.0, 0.01), 8000)
    soundfile.write(low / "long.wav", make_tone(300.0, 3.0), 8000)
    (low / "notes.txt").write_text("no sound")


FAULTS = {
    "empty": "is empty", "corrupt": "cannot be read", "silent": "is silent", "short": "is too short: 0.010 s",
    "long": "is too long: 3.0 s",
}  # fmt: skip


@pytest.mark.parametrize("in_memory", [True, False])
def test_bad_files_are_skipped_and_reported(tones, make_tone, in_memory):
    spoil(tones, make_tone)
    bundle = read_clips(tones, on_error="skip", longest_seconds=2.0, in_memory=in_memory, validation=0.25)
    reasons = {path.rsplit("/", 1)[1].split(".")[0]: reason for path, reason in bundle.skipped}
    for name, reason in FAULTS.items():
        assert reason in reasons[name], name
    assert reasons["notes"] == "is no sound file by its name"
    assert len(bundle.train) + len(bundle.validation) == 24


def test_bad_files_stop_by_default(tones, make_tone):
    spoil(tones, make_tone)
    with pytest.raises(DataError) as caught:
        read_clips(tones, longest_seconds=2.0)
    for name, reason in FAULTS.items():
        assert f"{name}.wav {reason}" in str(caught.value)
    assert 'on_error="skip"' in str(caught.value)


def test_long_files_are_cut_where_a_length_is_given(tones, make_tone):
    """Fails if the limit on length counts although clips are cut, or training takes the same part each epoch."""
    soundfile.write(tones / "low" / "long.wav", make_tone(300.0, 3.0), 8000)
    bundle = read_clips(tones, seconds=0.25, longest_seconds=1.0, validation=0.0, augment="light")
    row = next(i for i, path in enumerate(bundle.train.dataset.paths) if path.endswith("long.wav"))
    plain = bundle.train.unaugmented()
    assert len(plain[row][0]) == 2000
    assert torch.equal(plain[row][0], plain[row][0])
    parts = []
    for epoch in (0, 1):
        rows = [row for clips, _ in bundle.train.batches(batch_size=25, epoch=epoch) for row in clips.waveforms]
        parts.append(rows[row][:1000])
        assert max(map(len, rows)) <= 2000
    assert not torch.equal(*parts)


def test_classes_keep_their_order_and_unknown_ones_are_told(tones):
    bundle = read_clips(tones, classes=["middle", "low", "high"], validation=0.0)
    assert bundle.classes == ("middle", "low", "high")
    assert bundle.train.targets()[0] == 2  # the folder high
    with pytest.raises(DataError, match=r"is of the class 'middle', which is not among those asked for"):
        read_clips(tones, classes=["low", "high"])


def test_a_class_of_one_clip_cannot_be_split(tones, make_tone):
    (tones / "lonely").mkdir()
    soundfile.write(tones / "lonely" / "a.wav", make_tone(300.0, 0.3), 8000)
    with pytest.raises(DataError, match=r"a.wav is the only clip of the class 'lonely'"):
        read_clips(tones)
    assert len(read_clips(tones, validation=0.0).classes) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,label\n", "holds no lines"),
        ("path,class\na.wav,x\n", "has no column 'label'"),
        ("path,label,split\na.wav,x,train\nb.wav,x,\n", "filled in some lines"),
        ("path,label\na.wav,\n", "line 2 has no label"),
        ("path,label\na.wav,x\na.wav,x\n", "is named twice"),
        ("path,label\nmissing.wav,x\n", "missing.wav cannot be read: No such file"),
    ],
)
def test_faulty_tables_are_told(tmp_path, content, message):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read_clips(tmp_path / "t.csv")
