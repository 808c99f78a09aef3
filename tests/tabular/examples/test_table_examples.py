"""The examples, as a user calls them, on small tables of their own."""

import sys

import pytest

from tabular.examples import predict, published, recommend


def call(module, monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    module.main()
    return capsys.readouterr().out


@pytest.mark.parametrize("target", ["hired", "wage"])
def test_predict_prints_the_network_beside_baselines(people_csv, tmp_path, monkeypatch, capsys, target):
    """Fails if a figure is not said to be whose, or one that was published for other data is shown."""
    out = call(predict, monkeypatch, capsys, "--data", people_csv, "--target", target, "--quick", "--out", tmp_path)
    assert "table_mlp, 1 seeds" in out
    assert "gradient boosting, same rows" in out
    assert "published" not in out
    assert (tmp_path / "seed0" / "importance.png").is_file()


def test_recommend_prints_folds_beside_biases(ratings_csv, tmp_path, monkeypatch, capsys):
    out = call(recommend, monkeypatch, capsys, "--data", ratings_csv, "--quick", "--out", tmp_path)
    assert "each of 1 random folds of 5" in out
    assert "user and item biases, same folds" in out
    assert "published" not in out
    assert "for user 1: " in out


def test_what_is_wrong_is_said_without_a_traceback(people_csv, tmp_path, monkeypatch, capsys):
    """Fails if a target that is not named, or a package that is not there, ends as a traceback."""
    with pytest.raises(SystemExit) as stopped:
        call(predict, monkeypatch, capsys, "--data", people_csv, "--quick", "--out", tmp_path)
    assert stopped.value.code == 2
    assert "Pass target=" in capsys.readouterr().err
    monkeypatch.setattr(published, "PACKAGE", "no_such_package")
    with pytest.raises(SystemExit):
        call(recommend, monkeypatch, capsys, "--quick")
    assert published.INSTALL in capsys.readouterr().err


def test_spread_by_hand():
    assert published.spread([1.0]) == "1.0000"
    assert published.spread([1.0, 3.0]) == "2.0000 +- 1.4142"
