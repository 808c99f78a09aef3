"""Scripts end as the commands do."""

import pytest

from zoo.cli.scripts import plain_errors
from zoo.errors import DataError


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (DataError("no such folder"), 2, "no such folder\n"),
        (ValueError("epochs is 0"), 2, "epochs is 0\n"),
        (FileNotFoundError(2, "No such file or directory", "a.csv"), 2, "a.csv: No such file or directory.\n"),
        (KeyboardInterrupt("saved; zoo resume run"), 130, "saved; zoo resume run\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_mistakes_and_interruptions_are_one_line(error, status, words, capsys, monkeypatch):
    monkeypatch.delenv("ZOO_TRACEBACK", raising=False)
    with pytest.raises(SystemExit) as ended, plain_errors():
        raise error
    assert ended.value.code == status
    assert capsys.readouterr().err == words


def test_traceback_on_demand_and_for_defects(monkeypatch):
    """Fails if a defect of the script is taken for a mistake of its user."""
    with pytest.raises(ZeroDivisionError), plain_errors():
        _ = 1 / 0
    monkeypatch.setenv("ZOO_TRACEBACK", "1")
    with pytest.raises(DataError), plain_errors():
        raise DataError("no such folder")
