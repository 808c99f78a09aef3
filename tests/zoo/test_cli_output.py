"""What the command line prints and reads: tables, JSON, options, words."""

import json
import math
from pathlib import Path

import pytest

from zoo.cli.output import count, describe, plural, read_options, show_json, show_table, size
from zoo.records import ImagePreprocessing


def test_table_is_cut_at_the_edge_of_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails if long lines wrap on a terminal; piped, they are whole (see test_cli.py)."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "12")
    show_table(("name", "paper"), [("lenet5", "LeCun et al.")])
    header, row = capsys.readouterr().out.splitlines()
    assert "name    pap…" in header
    assert row == "lenet5  LeC…"


def test_options_are_read_as_json_where_they_can_be() -> None:
    texts = ["a=1", "b=0.5", "c=None", "d=TRUE", "e=bf16-mixed", "f=[1, 2]", "g=x=y", "h="]
    assert read_options(texts) == {
        "a": 1, "b": 0.5, "c": None, "d": True, "e": "bf16-mixed", "f": [1, 2], "g": "x=y", "h": "",
    }  # fmt: skip
    assert read_options(None) == {}
    with pytest.raises(ValueError, match="given twice"):
        read_options(["a=1", "a=2"])


def test_words_for_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert [count(11_689_512), count(60_000), count(None)] == ["11.7 M", "60.0 k", "-"]
    assert [size(46_800_000), size(300)] == ["46.8 MB", "0.3 kB"]
    assert [plural(1, "model"), plural(0, "model")] == ["1 model", "0 models"]
    assert describe(ImagePreprocessing()).startswith("size 224 x 224, resize 256, interpolation bilinear, mean 0.485 ")
    show_json({"path": Path("a"), "nan": [math.nan, 1.5], "record": ImagePreprocessing(size=(3, 4)), "é": (True, None)})
    printed = json.loads(capsys.readouterr().out)
    assert printed["record"]["size"] == [3, 4]
    assert {key: printed[key] for key in ("path", "nan", "é")} == {"path": "a", "nan": [None, 1.5], "é": [True, None]}
