"""Prediction from tables: losses, units, metrics, explanations and baselines."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score, roc_auc_score, root_mean_squared_error
from torch import nn
from torch.nn import functional as F

from tabular.data.reader import table_bundle
from tabular.data.source import TableBatch
from tabular.metrics import StandardLoss
from tabular.prediction.table_mlp import TableMLP
from tabular.prediction.task import LOSSES, TablePrediction
from zoo.data import Bundle
from zoo.errors import DataError, UnknownArgumentError, UnknownNameError
from zoo.training import evaluate

SMALL = {"widths": (16,), "dropout": 0.0}


class FromAge(nn.Module):
    """Answers by the first number alone: logits (0, 3 x), or the value x."""

    def __init__(self, classes):
        super().__init__()
        self.classes = classes
        self.scale = nn.Parameter(torch.tensor(3.0 if classes else 1.0))

    def forward(self, continuous, categories):
        score = self.scale * continuous[:, :1]
        return torch.cat([torch.zeros_like(score), score], 1) if self.classes else score


def built(bundle, **options):
    task = TablePrediction.from_bundle(bundle, **options)
    torch.manual_seed(0)
    table, outputs = task.table, 1 if task.table.classes is None else len(task.table.classes)
    model = TableMLP(
        num_continuous=table.num_continuous, cardinalities=table.cardinalities, num_outputs=outputs, **SMALL
    )
    return task, model


@pytest.fixture(scope="module")
def hired(people):
    return table_bundle(people, target="hired", ignore=["wage"], test=0.2, show=False)


@pytest.fixture(scope="module")
def wage(people):
    return table_bundle(people, target="wage", ignore=["hired"], test=0.2, show=False)


def test_the_task_outlives_its_bundle(hired, wage):
    """Fails if the schema that a run keeps is no JSON, or rebuilds another task."""
    for bundle, options in ((hired, {"class_weights": (1, 2), "label_smoothing": 0.1}), (wage, {"loss": "huber"})):
        task = TablePrediction.from_bundle(bundle, **options)
        again = TablePrediction(**json.loads(json.dumps(task.schema())))
        assert again.schema() == task.schema()
        assert (again.table, again.monitor, again.mode) == (task.table, task.monitor, task.mode)


def test_numbers_are_trained_standardised_and_judged_in_their_unit(wage):
    """Fails if the loss is in squares of money, or metrics are in standard deviations."""
    task, model = built(wage)
    batch = next(iter(wage.validation.batches(batch_size=1000)))
    assert task.rows(batch) == 60
    z = (batch[1] - task.table.target_mean) / task.table.target_std
    loss = task.losses(model, batch)["loss"].detach()
    torch.testing.assert_close(loss, F.mse_loss(model(*batch[0])[:, 0], z))
    values, _ = evaluate(model, task, wage.validation.batches(batch_size=7))
    predicted = [row["value"] for row in task.predict(model, wage.validation)]
    true = wage.validation.targets().numpy()
    assert values["rmse"] == pytest.approx(root_mean_squared_error(true, predicted), rel=1e-4)
    assert values["mae"] == pytest.approx(mean_absolute_error(true, predicted), rel=1e-4)
    assert values["r2"] == pytest.approx(r2_score(true, predicted), rel=1e-4)
    assert values["loss"] == pytest.approx(float(loss), rel=1e-4)
    assert values["rmse"] > 100  # wages, not standard deviations


def test_moments_of_the_target_are_of_training_rows(wage):
    """Fails if test rows move them."""
    targets = wage.train.targets().double()
    task = TablePrediction.from_bundle(wage)
    assert task.table.target_mean == pytest.approx(float(targets.mean()))
    assert task.table.target_std == pytest.approx(float(targets.std(correction=0)))


REFERENCES = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "huber": F.huber_loss,
    "log_cosh": lambda a, b: (a - b).cosh().log().mean(),
    "charbonnier": lambda a, b: ((a - b).square() + 1e-6).sqrt().mean(),
}


def test_every_loss_has_a_reference():
    assert set(REFERENCES) == set(LOSSES)


@pytest.mark.parametrize(("name", "reference"), REFERENCES.items())
def test_losses_of_numbers(wage, name, reference):
    task, model = built(wage, loss=name)
    inputs, targets = next(iter(wage.train.batches(batch_size=32)))
    z = (targets - task.table.target_mean) / task.table.target_std
    torch.testing.assert_close(task.losses(model, (inputs, targets))["loss"], reference(model(*inputs)[:, 0], z))


def test_class_weights_count_in_the_loss_and_in_its_mean(hired):
    """By hand: weights (1, 3) make the mean sum(w l) / sum(w); fails if rows are counted instead."""
    task, model = built(hired, class_weights=(1, 3))
    inputs, targets = batch = next(iter(hired.train.batches(batch_size=32)))
    single = F.cross_entropy(model(*inputs), targets, reduction="none")
    weights = torch.tensor([1.0, 3.0])[targets]
    torch.testing.assert_close(task.losses(model, batch)["loss"], (weights * single).sum() / weights.sum())
    assert task.mean_weight(batch) == weights.sum()
    assert built(hired)[0].mean_weight(batch) == 32


def test_metrics_of_two_classes(hired):
    """Fails if the ROC curve is of the first class, or of labels."""
    task, model = built(hired)
    values, metrics = evaluate(model, task, hired.train.batches(batch_size=50))
    logits = task.run(model, hired.train.table)
    score = logits.softmax(1)[:, 1].numpy()
    assert values["roc_auc"] == pytest.approx(roc_auc_score(hired.train.targets().numpy(), score))
    assert values["accuracy"] == pytest.approx(float((logits.argmax(1) == hired.train.targets()).double().mean()))
    assert set(values) == {"accuracy", "loss", "f1", "roc_auc"}
    assert task.figures(metrics)["confusion"].axes


def test_extra_metrics_are_reported_drawn_and_kept(hired):
    task, model = built(hired, extra_metrics=["calibration_error", "roc_auc"])
    values, metrics = evaluate(model, task, hired.train.batches(batch_size=50))
    assert {"roc_auc", "calibration_error"} < set(values)
    assert {"roc", "reliability", "confusion"} == set(task.figures(metrics))
    again = type(task)(**task.schema())
    assert again.extra_metrics == task.extra_metrics


def test_the_loss_of_a_validation_is_a_mean_over_rows():
    """Fails if means of uneven batches are averaged."""
    metric = StandardLoss(F.mse_loss, std=2.0)
    metric.update(torch.tensor([4.0]), torch.tensor([0.0]))
    metric.update(torch.zeros(3), torch.zeros(3))
    metric.update(torch.zeros(0), torch.zeros(0))
    assert metric.compute() == 1.0


def test_predicts_frames_dicts_and_encoded_rows_alike(people, hired):
    """Fails if a form is encoded otherwise, or the model's mode is lost."""
    task, model = built(hired)
    model.train()
    wanted = task.predict(model, people)
    assert model.training
    assert [set(row) for row in wanted[:2]] == [{"label", "probability", "top"}] * 2
    assert sum(item["probability"] for item in wanted[0]["top"]) == pytest.approx(1)
    some = people.iloc[3:5].replace({np.nan: None})
    for rows in (some, some.to_dict("records"), task.table_of(some)):
        for found, expected in zip(task.predict(model, rows), wanted[3:5], strict=True):
            assert found["label"] == expected["label"]
            assert found["probability"] == pytest.approx(expected["probability"], abs=1e-5)
    assert task.predict(model, some.iloc[0].to_dict())[0]["label"] == wanted[3]["label"]
    assert task.describe(wanted[0]).startswith(f"{wanted[0]['label']} 0.")


def test_a_value_is_described_with_its_name(wage):
    assert built(wage)[0].describe({"value": 2345.678}) == "wage 2345.68"


@pytest.mark.parametrize("inputs", [torch.zeros(2, 3), [1, 2], [], None, 5])
def test_what_cannot_be_predicted_for_says_what_can(hired, inputs):
    task, model = built(hired)
    with pytest.raises(DataError, match="DataFrame"):
        task.predict(model, inputs)
    with pytest.raises(DataError, match="no rows"):
        task.predict(model, pd.DataFrame({"age": []}))


@pytest.mark.parametrize("target", ["hired", "wage"])
def test_integrated_gradients_add_up_to_the_answer(people, hired, wage, target):
    """Completeness: fails if a column's vector is counted to another, or the unit is not the answer's."""
    bundle = hired if target == "hired" else wage
    task, model = built(bundle)
    for table in model.embedding.tables:
        nn.init.normal_(table.weight)
    rows = people.iloc[:5]
    found = task.explain(model, rows, target="yes" if target == "hired" else None, options={"steps": 200})
    table = task.table_of(rows)
    blank = TableBatch(torch.zeros_like(table.continuous), torch.zeros_like(table.categories))
    with torch.no_grad():
        outputs, start = task.answers(model(*table)), task.answers(model(*blank))
    change = outputs[:, 1] - start[:, 1] if target == "hired" else outputs - start
    assert found.heat.shape == (5, 4)
    torch.testing.assert_close(found.heat.sum(1), change, rtol=0, atol=0.02 * float(change.abs().max()))
    assert found.view.names == ("age", "city", "height", "joined")
    assert found.view.values[0][0] == str(people["age"][0])
    assert found.view.values[0][1] == "missing"
    assert found.title(0).startswith("yes" if target == "hired" else "wage ")
    assert found.figure().axes


def test_gradients_find_the_one_column_that_counts(people, hired):
    """Fails if columns are shifted: only the age is looked at by this model."""
    task = TablePrediction.from_bundle(hired)
    table = task.table

    class Embedded(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = TableMLP(
                num_continuous=table.num_continuous, cardinalities=table.cardinalities, widths=(4,)
            ).embedding

        def forward(self, continuous, categories):
            vector = self.embedding(continuous, categories)
            return torch.stack([torch.zeros(len(vector)), vector[:, 0] * vector[:, 0]], 1)

    for method in ("integrated_gradients", "saliency", "input_x_gradient", "smooth_grad"):
        heat = task.explain(Embedded(), people.iloc[:6], method=method, target=1).heat
        assert heat[:, 1:].abs().max() == 0, method
        assert heat[:, 0].abs().min() > 0, method


def test_permutation_importance_finds_the_one_column_that_counts(hired, wage):
    """Fails if columns are shifted, the sign is turned, or rows are dealt out one input at a time."""
    for bundle, metric in ((hired, "accuracy"), (hired, "loss"), (wage, "rmse"), (wage, "r2")):
        task = TablePrediction.from_bundle(bundle)
        found = task.explain(
            FromAge(bundle is hired), bundle.train, method="permutation_importance", options={"metric": metric}
        )
        assert found.heat.shape == (1, 4)
        assert found.raw.shape == (1, 5, 4)
        assert found.heat[0, 0] > 0.01, metric
        assert not found.heat[0, 1:].any(), metric
        assert metric in found.title(0)
        assert found.figure().axes


def test_permutation_importance_leaves_the_table_alone_and_repeats(people, hired):
    """Fails if the rows given are changed, or the seed does not fix the result."""
    task, model = built(hired)
    source = hired.validation
    before = [part.clone() for part in source.tensors]
    options = {"repeats": 2, "seed": 4}
    first = task.explain(model, source, method="permutation_importance", options=options)
    second = task.explain(model, source, method="permutation_importance", options=options)
    assert torch.equal(first.raw, second.raw)
    assert all(map(torch.equal, source.tensors, before))
    with pytest.raises(DataError, match="'hired' is known"):
        task.explain(model, people.drop(columns="hired"), method="permutation_importance")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"method": "grad_cams"}, UnknownNameError), ({"method": "grad_cam"}, UnknownNameError),
        ({"target": "maybe"}, UnknownNameError), ({"layer": "nothing"}, ValueError), ({"layer": "head"}, ValueError),
        ({"method": "permutation_importance", "options": {"metric": "acuracy"}}, UnknownNameError),
        ({"method": "permutation_importance", "options": {"repeat": 2}}, TypeError),
        ({"method": "permutation_importance", "options": {"repeats": 0}}, ValueError),
        ({"method": "permutation_importance", "target": "yes"}, ValueError),
        ({"options": {"step": 2}}, UnknownArgumentError),
    ],
)  # fmt: skip
def test_explanations_that_cannot_be(people, hired, options, error):
    task, model = built(hired)
    with pytest.raises(error):
        task.explain(model, people.iloc[:2], **options)


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        ("hired", {"loss": "mae"}, "for numbers"), ("hired", {"class_weights": [1]}, "2 classes need"),
        ("hired", {"class_weights": [0, 0]}, "not all 0"), ("wage", {"class_weights": [1, 2]}, "for classes"),
        ("wage", {"label_smoothing": 0.1}, "for classes"), ("wage", {"loss": "mea"}, "'mae'"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_the_target(hired, wage, target, options, words):
    """Fails if they are dropped in silence."""
    with pytest.raises((ValueError, UnknownNameError), match=words):
        TablePrediction.from_bundle(hired if target == "hired" else wage, **options)


def test_other_data_must_fit(people, hired, wage):
    """Fails if a model is judged on columns that are encoded by other numbers."""
    task = TablePrediction.from_bundle(hired)
    task.check_bundle(table_bundle(people[:50], schema=task.table, validation=0.0))
    for other, words in (
        (table_bundle(people[:200], target="hired", ignore=["wage"], show=False), "'age' is encoded by other numbers"),
        (table_bundle(people, target="hired", ignore=["wage", "age"], show=False), "lacks the column 'age'"),
        (
            table_bundle(people, target="hired", ignore=["wage"], categorical=["age"], show=False),
            "categorical, not cont",
        ),
        (wage, r"its target is wage \(a number\), not hired \(no or yes\)"),
    ):
        with pytest.raises(DataError, match=words):
            task.check_bundle(other)
    with pytest.raises(DataError, match="table_bundle"):
        TablePrediction.from_bundle(Bundle.from_arrays(np.zeros((4, 2), np.float32), [0, 1, 0, 1], validation=0.0))


def test_other_rows_are_read_in_the_runs_form(people, hired):
    """Fails if they are encoded by their own mean, or an unseen class passes."""
    task = TablePrediction.from_bundle(hired)
    other = table_bundle(people[:50], **task.reading(), validation=0.0, show=False)
    assert other.preprocessing == task.table
    whole = task.table_of(people)
    assert torch.equal(other.train.table.continuous, whole.continuous[:50])
    with pytest.raises(DataError, match="'maybe', which is no class"):
        table_bundle(people[:50].assign(hired="maybe"), **task.reading())


def test_baselines_are_judged_by_the_tasks_metrics(hired, wage):
    """Fails if a baseline cannot learn what the columns say, or is judged in another unit."""
    task = TablePrediction.from_bundle(hired)
    found = {name: judge(hired, "test") for name, judge in task.baselines().items()}
    assert list(found) == ["majority", "logistic regression", "gradient boosting"]
    majority = float((hired.test.targets() == 1).double().mean())
    assert found["majority"]["accuracy"] == pytest.approx(max(majority, 1 - majority))
    assert all(found[name]["accuracy"] > 0.85 for name in ("logistic regression", "gradient boosting"))
    assert set(found["majority"]) == {"accuracy", "loss", "f1", "roc_auc"}
    task = TablePrediction.from_bundle(wage)
    found = {name: judge(wage, "test") for name, judge in task.baselines().items()}
    assert found["mean"]["r2"] == pytest.approx(0, abs=0.05)
    assert found["ridge regression"]["r2"] > 0.8
    assert found["gradient boosting"]["rmse"] < 0.5 * found["mean"]["rmse"]
    table = table_bundle(pd.DataFrame({"x": np.arange(9.0), "y": np.arange(9.0)}), validation=0.0, show=False)
    mean = TablePrediction.from_bundle(table).baselines()["mean"]
    with pytest.raises(DataError, match="no 'validation' part"):
        mean(table, "validation")
