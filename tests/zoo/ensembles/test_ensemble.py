"""Ensembles of runs: judged and asked as a run is."""

import json
import shutil

import pytest
import torch
from ensemble_cases import QUIET, classes_bundle, new_model

import zoo
from vision.classification.task import ImageClassification
from zoo.ensembles import Ensemble, average, open_run, vote
from zoo.errors import DataError, RunError
from zoo.training import Run

OPTIONS = {"epochs": 2, "lr": 0.05, "batch_size": 16, **QUIET}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Three runs of modules of one's own, the data, and the modules."""
    bundle, folder = classes_bundle(), tmp_path_factory.mktemp("runs")
    task = ImageClassification.from_bundle(bundle)
    runs = [
        zoo.train(new_model(seed=seed), bundle, task=task, out=folder / str(seed), seed=seed, **OPTIONS)
        for seed in range(3)
    ]
    return bundle, runs


def answers(runs, source):
    return torch.stack([run.model(source.tensors[0]).softmax(1).detach() for run in runs])


@pytest.mark.parametrize(("method", "combine"), [("averaging", average), ("voting", vote)])
def test_metrics_are_those_of_the_combined_answers(trained, tmp_path, method, combine):
    """Fails if logits are averaged, or the weights are not used."""
    bundle, runs = trained
    ensemble = Ensemble.of(runs, method=method, weights=[1, 2, 4], out=tmp_path / "e", data=bundle, model=new_model())
    inputs, targets = bundle.test.tensors
    expected = combine(answers(runs, bundle.test), weights=[1, 2, 4])
    values = ensemble.evaluate()
    assert values["accuracy"] == pytest.approx(float((expected.argmax(1) == targets).float().mean()))
    if method == "averaging":
        picked = expected[torch.arange(len(targets)), targets]
        assert values["loss"] == pytest.approx(float(-picked.log().mean()), rel=1e-5)
    predictions = ensemble.predict(inputs)
    for row, prediction in zip(expected, predictions, strict=True):
        found = {item["label"]: item["probability"] for item in prediction["top"]}
        assert found == pytest.approx({str(index): float(value) for index, value in enumerate(row)}, abs=1e-6)
        assert prediction["label"] == str(int(row.argmax()))
    assert ensemble.results["test"]["accuracy"] == values["accuracy"]
    assert (tmp_path / "e" / "confusion_test.png").is_file()


def test_an_ensemble_is_opened_again(trained, tmp_path):
    """Fails if the record loses the members, or moving the folder with its runs breaks it."""
    bundle, runs = trained
    shutil.copytree(runs[0].directory.parent, tmp_path / "a" / "runs")
    Ensemble.of([tmp_path / "a" / "runs" / str(seed) for seed in range(3)], out=tmp_path / "a" / "e", data=bundle)
    (tmp_path / "a").rename(tmp_path / "b")
    again = Ensemble.load(tmp_path / "b" / "e", model=new_model(seed=9), data=bundle)
    whole = Ensemble.of(runs, out=tmp_path / "c", data=bundle, model=new_model())
    assert again.evaluate(split="validation") == whole.evaluate(split="validation")
    assert isinstance(open_run(tmp_path / "b" / "e"), Ensemble)
    assert isinstance(open_run(runs[0].directory), Run)
    with pytest.raises(RunError, match=r"in memory.*data="):
        Ensemble.load(tmp_path / "b" / "e", model=new_model()).evaluate()


def test_numbers_of_tables_are_averaged(table, tmp_path):
    """Fails if standardised outputs are averaged in place of values, or a prediction is of one member."""
    runs = [
        zoo.train("table_mlp", table, out=tmp_path / str(seed), seed=seed, **{**OPTIONS, "epochs": 10})
        for seed in range(2)
    ]
    ensemble = Ensemble.of(runs, out=tmp_path / "e", data=table)
    said = [run.predict(table.validation) for run in runs]
    ours = ensemble.predict(table.validation)
    for prediction, one, other in zip(ours, *said, strict=True):
        assert prediction["value"] == pytest.approx((one["value"] + other["value"]) / 2)
    found = torch.tensor([prediction["value"] for prediction in ours])
    expected = float((found - table.validation.targets()).square().mean().sqrt())
    assert ensemble.evaluate()["rmse"] == pytest.approx(expected, rel=1e-4)
    with pytest.raises(DataError, match="numbers are averaged"):
        Ensemble.of(runs, method="voting", out=tmp_path / "v", data=table)


def test_runs_of_files_are_read_by_each_member(tmp_path):
    """Fails if an ensemble cannot be asked about files, or its data are not found again."""
    lines = ["x,y,z", *(f"{i % 7},{i % 5},{'ab'[(i % 7) > 3]}" for i in range(60))]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines))
    options = {**OPTIONS, "data_options": {"target": "z"}}
    runs = [zoo.train("table_mlp", path, out=tmp_path / str(seed), seed=seed, **options) for seed in range(2)]
    Ensemble.of(runs, out=tmp_path / "e")
    ensemble = Ensemble.load(tmp_path / "e")
    values = ensemble.evaluate()
    assert set(values) >= {"accuracy", "loss"}
    other = tmp_path / "other.csv"
    other.write_text("\n".join(lines[:20]))
    assert ensemble.predict(other) == ensemble.predict([other])
    assert len(ensemble.predict(str(other))) == 19
    each = torch.tensor([[p["top"][0]["probability"] for p in run.predict(other)] for run in runs])
    assert each.shape == (2, 19)
    assert ensemble.evaluate(other)["accuracy"] == pytest.approx(
        sum(p["label"] == line[-1] for p, line in zip(ensemble.predict(other), lines[1:20], strict=True)) / 19
    )
    rows = path.read_text().replace("b", "a", 1)
    path.write_text(rows)
    with pytest.raises(DataError, match="changed"):
        Ensemble.load(tmp_path / "e").evaluate()


def test_members_that_do_not_fit(trained, table, tmp_path):
    bundle, runs = trained
    other = classes_bundle(classes=2)
    task = ImageClassification.from_bundle(other)
    two = zoo.train(new_model(classes=2), other, task=task, out=tmp_path / "two", **OPTIONS)
    with pytest.raises(RunError, match=r"0, 1, 2.*0, 1"):
        Ensemble.of([*runs, two], out=tmp_path / "e", data=bundle)
    numbers = zoo.train("table_mlp", table, out=tmp_path / "table", **OPTIONS)
    with pytest.raises(RunError, match=r"vision/classification.*tabular/prediction"):
        Ensemble.of([*runs, numbers], out=tmp_path / "e", data=bundle)
    with pytest.raises(RunError, match="needs members"):
        Ensemble.of([], out=tmp_path / "e")
    with pytest.raises(ValueError, match="3 members need as many weights"):
        Ensemble.of(runs, weights=[1], out=tmp_path / "e", data=bundle)
    assert not (tmp_path / "e").exists()


def test_members_of_other_rows_need_data(trained, tmp_path):
    """Fails if a row that one member was trained on judges the ensemble."""
    bundle, runs = trained
    other = classes_bundle(seed=1)
    task = ImageClassification.from_bundle(other)
    run = zoo.train(new_model(), other, task=task, out=tmp_path / "other", **OPTIONS)
    ensemble = Ensemble.of([runs[0], run], out=tmp_path / "e", model=new_model())
    with pytest.raises(DataError, match="different rows"):
        ensemble.evaluate()
    assert set(ensemble.evaluate(bundle)) >= {"accuracy"}


def test_a_damaged_record(trained, tmp_path):
    bundle, runs = trained
    Ensemble.of(runs, out=tmp_path / "e", data=bundle)
    path = tmp_path / "e" / "ensemble.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "format": 9}))
    with pytest.raises(RunError, match="format 1"):
        Ensemble.load(tmp_path / "e")
    path.write_text("{")
    with pytest.raises(RunError, match="damaged"):
        Ensemble.load(tmp_path / "e")
    with pytest.raises(RunError, match=r"no ensemble\.json"):
        Ensemble.load(tmp_path)
