"""`zoo search`."""

import json

from typer.testing import CliRunner

from zoo.cli import app


def test_search_command(tmp_path):
    """Fails if a flag of `zoo train` is lost, a search is not gone on with, or the best run cannot be used."""
    rows = tmp_path / "rows.csv"
    rows.write_text("\n".join(["x,y,z", *(f"{i % 7},{i % 5},{'ab'[(i % 7) > 3]}" for i in range(60))]))
    command = [
        "search", "table_mlp", "--data", str(rows), "--out", str(tmp_path / "s"), "--data-set", "target=z",
        "--set", "accelerator=cpu", "--epochs", "1", "--space", "lr=1e-3..1e-1:log",
        "--space", "optimizer=adam,sgd", "--trials",
    ]  # fmt: skip
    first = CliRunner().invoke(app, [*command, "1"])
    assert first.exit_code == 0, first.output
    assert f"best: {tmp_path / 's' / 'trials' / '0000'}" in first.stdout
    done = CliRunner().invoke(app, [*command, "2", "--json"])
    found = json.loads(done.stdout)
    assert [trial["state"] for trial in found["trials"]] == ["complete"] * 2
    assert set(found["best"]["parameters"]) == {"lr", "optimizer"}
    predicted = CliRunner().invoke(app, ["predict", found["best"]["directory"], str(rows)])
    assert predicted.exit_code == 0, predicted.output
    wrong = CliRunner().invoke(app, [*command, "2", "--space", "epochs=1..3"])
    assert wrong.exit_code == 2
    assert "epochs is both given and searched over" in wrong.output
    assert "not of the form" in CliRunner().invoke(app, [*command, "2", "--space", "lr"]).output
