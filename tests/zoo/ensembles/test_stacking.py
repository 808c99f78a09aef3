"""Stacking against scikit-learn's, on the same folds with the same networks."""

import json

import numpy as np
import pytest
import torch
from ensemble_cases import QUIET, classes_bundle, new_model
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

import zoo
from vision.classification.task import ImageClassification
from zoo.data import Bundle, folds
from zoo.ensembles import Ensemble, MetaModel, stack
from zoo.ensembles.stacking import meta_inputs
from zoo.errors import DataError, RunError, UnknownArgumentError

OPTIONS = {"epochs": 3, "lr": 0.05, "batch_size": 16, **QUIET}


class Net(ClassifierMixin, BaseEstimator):
    """A network of the zoo as an estimator of scikit-learn, trained on the rows given, in their order."""

    def __init__(self, width=8, num_classes=3, folder=None):
        self.width, self.num_classes, self.folder = width, num_classes, folder

    def fit(self, inputs, targets):
        self.classes_ = np.arange(self.num_classes)
        names = [str(index) for index in range(self.num_classes)]
        bundle = Bundle.from_arrays(
            inputs.astype("float32"), targets, classes=names, task="vision/classification", validation=0.0
        )
        place = self.folder / f"{self.width}-{len(list(self.folder.iterdir()))}"
        task = ImageClassification.from_bundle(bundle)
        model = new_model(width=self.width, classes=self.num_classes)
        self.model_ = zoo.train(model, bundle, task=task, out=place, seed=3, **OPTIONS).model
        return self

    def predict(self, inputs):
        return self.predict_proba(inputs).argmax(1)

    def predict_proba(self, inputs):
        with torch.no_grad():
            return self.model_(torch.from_numpy(inputs.astype("float32"))).softmax(1).numpy()


@pytest.mark.parametrize("num_classes", [3, 2])
def test_scikit_learn_stacks_alike(tmp_path, num_classes):
    """Fails if a row's meta-input comes from a model that saw it, or the bases are not trained anew on all rows."""
    bundle = classes_bundle(48, classes=num_classes)
    task = ImageClassification.from_bundle(bundle)
    ours = stack(
        [new_model(width=4, classes=num_classes), new_model(width=8, classes=num_classes)], bundle, k=2, task=task,
        out=tmp_path / "stack", seed=3, **OPTIONS,
    )  # fmt: skip
    cuts = folds(bundle, 2, seed=3)
    inputs, targets = cuts.pool.tensors[0].numpy(), cuts.targets().numpy()
    (tmp_path / "theirs").mkdir()
    splits = [(part["train"].numpy(), part["validation"].numpy()) for part in cuts.parts]
    theirs = StackingClassifier(
        [(str(width), Net(width, num_classes, tmp_path / "theirs")) for width in (4, 8)], LogisticRegression(),
        cv=splits,
    ).fit(inputs, targets)  # fmt: skip
    tests = bundle.test.tensors[0]
    said = [{item["label"]: item["probability"] for item in row["top"]} for row in ours.predict(tests)]
    found = np.array([[row[str(index)] for index in range(num_classes)] for row in said])
    np.testing.assert_allclose(found, theirs.predict_proba(tests.numpy()), atol=1e-5)
    assert ours.evaluate()["accuracy"] == pytest.approx(theirs.score(tests.numpy(), bundle.test.tensors[1].numpy()))
    again = Ensemble.load(
        ours.directory, data=bundle, model=[new_model(width=4, classes=num_classes), new_model(classes=num_classes)]
    )
    assert again.predict(tests) == ours.predict(tests)


def test_no_row_leaks_into_its_own_meta_input(tmp_path):
    """Fails if out-of-fold answers come from the models trained on all rows: on random targets these know too much."""
    generator = np.random.default_rng(0)
    bundle = Bundle.from_arrays(
        generator.normal(size=(80, 5)).astype("float32"), np.arange(80) % 2, task="vision/classification", test=0.2
    )
    task = ImageClassification.from_bundle(bundle)
    options = {**OPTIONS, "epochs": 60, "weight_decay": 0.0}
    found = stack([new_model(classes=2, width=64)], bundle, k=4, task=task, out=tmp_path / "stack", **options)
    with np.load(tmp_path / "stack" / "out_of_fold.npz") as held:
        inputs, targets = held["inputs"], held["targets"]
    honest = ((inputs[:, 0] > 0.5) == targets).mean()
    pool = folds(bundle, 4).pool
    seen = (found.members[0].model(pool.tensors[0]).argmax(1) == pool.targets()).float().mean()
    assert seen > 0.9
    assert honest < 0.75


def test_numbers_are_stacked(table, tmp_path):
    options = {**OPTIONS, "epochs": 10}
    found = stack(
        [("table_mlp", {"seed": 1}), "table_mlp"], table, k=3, meta=Ridge(alpha=1e-6), out=tmp_path / "s", **options
    )
    assert found.meta.estimator.coef_.shape == (2,)
    values = found.evaluate(table, split="train")
    assert values["rmse"] < 5
    assert Ensemble.load(tmp_path / "s" / "ensemble", data=table).evaluate(split="train") == values
    again = stack(
        [("table_mlp", {"seed": 1}), "table_mlp"], table, k=3, meta=Ridge(alpha=1e-6), out=tmp_path / "s", **options
    )
    assert again.evaluate(split="train") == values


def test_meta_inputs_by_hand():
    two, three = torch.tensor([[0.25, 0.75]]), torch.tensor([[0.1, 0.2, 0.7]])
    np.testing.assert_allclose(meta_inputs([two, two], "classification"), [[0.75, 0.75]])
    np.testing.assert_allclose(meta_inputs([three, three], "classification"), [[0.1, 0.2, 0.7] * 2], rtol=1e-6)
    np.testing.assert_allclose(meta_inputs([torch.tensor([[4.0]])] * 2, "regression"), [[4.0, 4.0]])


def test_a_class_that_the_folds_never_show_has_no_probability():
    """Fails if columns shift where the meta-model knows fewer classes than the members."""
    inputs = np.random.default_rng(0).random((30, 3))
    meta = MetaModel(LogisticRegression(), inputs, np.arange(30) % 2 * 2, kind="classification")
    found = meta.predict([torch.tensor([[0.2, 0.3, 0.5]])])
    assert found[0, 1] == 0
    assert float(found.sum()) == pytest.approx(1)


def test_meta_models_that_do_not_fit(bundle, task, model, tmp_path):
    given = {"task": task, "out": tmp_path / "s", "k": 2, **OPTIONS}
    with pytest.raises(UnknownArgumentError, match="alpa"):
        stack([model], bundle, meta="sklearn.linear_model.Ridge", meta_options={"alpa": 1.0}, **given)
    with pytest.raises(TypeError, match="estimator of scikit-learn"):
        stack([model], bundle, meta=nn.Linear(1, 1), **given)
    with pytest.raises(ValueError, match="needs models"):
        stack([], bundle, **given)
    with pytest.raises(ValueError, match="no probabilities"):
        MetaModel(Ridge(), np.zeros((4, 1)), np.array([0, 1, 0, 1]), kind="classification")
    assert not (tmp_path / "s").exists()


def test_a_record_runs_no_code_of_others(tmp_path):
    """Fails if a meta-model that is not of scikit-learn is imported because a file says so."""
    record = {"name": "os:system", "options": {"command": "true"}, "kind": "classification"}
    with pytest.raises(RunError, match="Pass it"):
        MetaModel.load(tmp_path, json.loads(json.dumps(record)))


def test_boxes_cannot_be_stacked(tmp_path):
    """Fails if a task without classes or numbers trains before it is refused."""
    from dataclasses import replace

    bundle = classes_bundle()
    task = ImageClassification.from_bundle(bundle)
    with pytest.raises(DataError, match="do not add up"):
        stack([new_model()], replace(bundle, kind=None), task=task, out=tmp_path / "s", **OPTIONS)
