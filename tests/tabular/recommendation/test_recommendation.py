"""Ratings from a table to recommendations: reading, training, units, explanations, baselines and the command line."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import zoo
from tabular.recommendation.matrix_factorization import MatrixFactorization
from tabular.recommendation.ratings import RatingSchema, rating_bundle, read_ratings
from tabular.recommendation.task import Recommendation, biased_ratings
from zoo.cli import app
from zoo.data import ArraySource, Bundle
from zoo.errors import DataError, UnknownNameError
from zoo.training import Callback, load_run


class Stop(Callback):
    """Ends the process, as it were, after a step."""

    def on_step_end(self, trainer):
        if trainer.position.step == 17:
            raise RuntimeError("killed")


def command(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="zoo")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def bundle(ratings):
    return rating_bundle(ratings, test=0.2)


@pytest.fixture(scope="module")
def run(ratings_csv, tmp_path_factory):
    return zoo.train(
        "matrix_factorization", ratings_csv, model_options={"num_factors": 4}, epochs=40, lr=0.03, batch_size=64,
        data_options={"test": 0.2}, task_options={"regularisation": 0.02},
        out=tmp_path_factory.mktemp("runs") / "run", progress=False,
    )  # fmt: skip


def test_pairs_are_numbered_by_training_rows(ratings):
    """Fails if a user of the test rows gets a number, or numbers are of another user."""
    parts = ["train"] * 500 + ["test"] * 100
    frame = ratings.assign(split=parts)
    frame.loc[500, "user_id"] = 999
    bundle = rating_bundle(frame, validation=0.0)
    schema = bundle.preprocessing
    assert "999" not in schema.users
    pairs, target = bundle.test.tensors
    assert pairs[0, 0] == 0
    assert schema.users[pairs[1, 0] - 1] == str(frame["user_id"][501])
    assert schema.items[pairs[1, 1] - 1] == str(frame["item_id"][501])
    assert target[1] == np.float32(frame["rating"][501])
    assert schema.mean == pytest.approx(frame["rating"][:500].mean(), rel=1e-6)
    assert (schema.low, schema.high) == (frame["rating"][:500].min(), frame["rating"][:500].max())
    assert RatingSchema.from_dict(json.loads(json.dumps(schema.as_dict()))) == schema


def test_columns_are_found_by_name_or_named(ratings, caplog):
    """Fails if columns are taken by their place."""
    renamed = ratings.rename(columns={"user_id": "who", "item_id": "movieId", "rating": "Stars"})
    with pytest.raises(DataError, match=r"which column|Which column holds the user.*who, movieId, Stars"):
        rating_bundle(renamed)
    found = rating_bundle(renamed, user="who").preprocessing
    assert (found.user, found.item, found.rating) == ("who", "movieId", "Stars")
    with pytest.raises(DataError, match="'score' and 'rating' could be it"):
        rating_bundle(ratings.assign(score=1)[["user_id", "item_id", "score", "rating"]])
    with pytest.raises(UnknownNameError, match="'user_id'"):
        rating_bundle(ratings, user="user_i")
    with pytest.raises(DataError, match="three columns"):
        rating_bundle(ratings, user="user_id", item="user_id")


def test_rows_with_gaps_are_left_out_and_told(ratings, caplog):
    frame = ratings.copy()
    frame.loc[:2, "rating"] = np.nan
    bundle = rating_bundle(frame, validation=0.0)
    assert len(bundle.train) == 597
    assert "3 of 600 rows" in bundle.skipped[0][1]
    assert "3 of 600" in caplog.text
    with pytest.raises(DataError, match="must hold numbers"):
        rating_bundle(ratings.assign(rating="good"))


def test_the_origin_reads_the_same_again(ratings_csv):
    bundle = read_ratings(ratings_csv, test=0.1, seed=3)
    again = read_ratings(**json.loads(json.dumps(dict(bundle.origin))))
    assert again.fingerprint == bundle.fingerprint
    for part, source in bundle.parts.items():
        assert all(map(torch.equal, source.tensors, again.parts[part].tensors))


def test_the_loss_is_equation_5_by_hand(bundle):
    """Fails if lambda weighs the error, or the penalty is a sum over the batch."""
    task = Recommendation.from_bundle(bundle, regularisation=0.1)
    torch.manual_seed(0)
    model = MatrixFactorization(**task.model_arguments(None), num_factors=3)
    pairs, target = next(iter(bundle.train.batches(batch_size=50)))
    found = task.losses(model, (pairs, target))
    error = (model(pairs) - target).square().mean()
    torch.testing.assert_close(found["squared_error"], error)
    torch.testing.assert_close(found["loss"], error + 0.1 * model.penalty(pairs).mean())
    assert set(Recommendation.from_bundle(bundle).losses(model, (pairs, target))) == {"loss"}
    assert task.rows((pairs, target)) == 50


def test_predictions_stay_in_the_range_of_ratings(bundle):
    """Fails if a rating of 7 stars is judged or shown."""
    task = Recommendation.from_bundle(bundle)
    model = MatrixFactorization(**{**task.model_arguments(None), "mean": 9.0})
    pairs = bundle.test.tensors[0]
    assert {row["rating"] for row in task.predict(model, pairs)} == {task.ratings.high}
    assert task.evaluate(model, (pairs, None))[0].max() == task.ratings.high


def test_training_finds_the_taste(run):
    """Fails if factors do not learn: biases alone leave an error near 1, the tastes' size."""
    assert run.results["test"]["rmse"] < 0.45
    found = {name: judge(run.bundle, "test") for name, judge in run.task.baselines().items()}
    assert found["user and item biases"]["rmse"] > 0.8
    assert found["mean"]["r2"] == pytest.approx(0, abs=0.05)
    assert set(found["mean"]) == {"rmse", "mae", "r2", "loss"}


def test_predicts_for_pairs_users_and_strangers(run):
    """Fails if the best items are not the best, or an unseen item gets another's factors."""
    ((pair), (user)) = run.predict([{"user_id": 1, "item_id": 3}, {"user_id": 1}])
    assert pair.keys() == {"user", "item", "rating"}
    best = user["top"]
    assert len(best) == 10
    assert [item["rating"] for item in best] == sorted((item["rating"] for item in best), reverse=True)
    everything = [{"user_id": 1, "item_id": item} for item in run.task.ratings.items]
    rated = {row["item"]: row["rating"] for row in run.predict(everything)}
    assert best[0]["rating"] == max(rated.values())
    assert {item["item"] for item in best} <= {name for name, value in rated.items() if value >= best[-1]["rating"]}
    strangers = run.predict([{"user_id": 777, "item_id": 888}, {"user_id": "x", "item_id": None}])
    assert strangers[0]["rating"] == pytest.approx(run.task.ratings.mean, abs=1e-5)
    assert len(strangers[1]["top"]) == 10


def test_contributions_add_up_to_the_rating(run):
    """Fails if a part is left out or of another pair."""
    found = run.explain([{"user_id": 1, "item_id": 3}, {"user_id": 2, "item_id": 3}])
    ratings = run.predict([{"user_id": 1, "item_id": 3}, {"user_id": 2, "item_id": 3}])
    assert found.heat.shape == (2, 3)
    np.testing.assert_allclose(
        (found.heat.sum(1) + run.task.ratings.mean).clamp(run.task.ratings.low, run.task.ratings.high).numpy(),
        [row["rating"] for row in ratings], atol=1e-5,
    )  # fmt: skip
    assert abs(found.heat[0, 2]) > 0.5
    assert found.heat[0, 2] * found.heat[1, 2] < 0  # tastes of odd and even users differ
    assert found.title(0).startswith("1, 3: ")
    assert found.figure().axes
    with pytest.raises(UnknownNameError, match="contributions"):
        run.explain([{"user_id": 1, "item_id": 3}], method="grad_cam")
    with pytest.raises(DataError, match="both columns"):
        run.explain(["1"])


def test_a_reopened_run_judges_other_ratings_in_its_form(run, ratings, tmp_path):
    """Fails if other users take the numbers of the run's."""
    again = load_run(run.directory)
    ratings[::-1][:200].to_csv(tmp_path / "more.csv", index=False)
    values = again.evaluate(tmp_path / "more.csv")
    predicted = [row["rating"] for row in again.predict(tmp_path / "more.csv")]
    true = ratings[::-1][:200]["rating"].to_numpy()
    assert values["rmse"] == pytest.approx(np.sqrt(np.mean((true - predicted) ** 2)), rel=1e-5)
    with pytest.raises(DataError, match="numbered otherwise"):
        again.evaluate(rating_bundle(ratings[:300]))
    with pytest.raises(DataError, match="rating_bundle"):
        Recommendation.from_bundle(Bundle.from_arrays(np.zeros((4, 2)), np.ones(4), validation=0.0))


def test_strangers_are_told(run, caplog):
    """Fails if a misspelt user gets somebody's favourites without a word."""
    run.predict(["7", "8"])
    assert not caplog.records
    run.predict(["sieben"])
    assert "training has not seen the user_id 'sieben'" in caplog.text


def test_the_command_line_recommends(run, ratings_csv, tmp_path):
    """Fails if a user's name is taken for a file, or a missing file for a user."""
    found = command("predict", run.directory, "7", '{"user_id": 7, "item_id": 2}')
    assert found.exit_code == 0, found.output
    first, second = found.output.strip().splitlines()
    assert first.startswith("user_id 7: ")
    assert "item_id 2: rating " in second
    done = command("explain", run.directory, '{"user_id": 7, "item_id": 2}', "--out", tmp_path / "why.png")
    assert done.exit_code == 0, done.output
    refused = command("predict", run.directory, "none.csv")
    assert refused.exit_code != 0
    assert "no file none.csv" in " ".join(refused.output.split())
    pd.DataFrame({"who": [1]}).to_csv(tmp_path / "wrong.csv", index=False)
    refused = command("predict", run.directory, tmp_path / "wrong.csv")
    assert "wrong.csv lacks the column 'user_id'" in " ".join(refused.output.split())


def test_a_stopped_run_goes_on_bit_for_bit(ratings_csv, tmp_path):
    options = {
        "model_options": {"num_factors": 4}, "epochs": 4, "batch_size": 64, "checkpoint_every_steps": 5,
        "progress": False, "seed": 2,
    }  # fmt: skip
    whole = zoo.train("matrix_factorization", ratings_csv, out=tmp_path / "whole", **options)
    with pytest.raises(RuntimeError, match="killed"):
        zoo.train("matrix_factorization", ratings_csv, out=tmp_path / "broken", callbacks=[Stop()], **options)
    resumed = load_run(tmp_path / "broken").resume(progress=False)
    assert resumed.results == whole.results
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_biases_by_hand():
    """One user, one item, ratings 4 and 2 apart: fails if damping is left out or the turns are swapped."""
    train = ArraySource(np.array([[1, 1], [2, 1]]), np.array([4.0, 2.0], np.float32))
    found = biased_ratings(train, np.array([[1, 1], [2, 1], [0, 0]]), item_damping=0, user_damping=1, rounds=1)
    assert found.tolist() == [3.5, 2.5, 3.0]


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_regularisation_must_be_a_weight(bundle, value):
    with pytest.raises(ValueError, match="regularisation"):
        Recommendation.from_bundle(bundle, regularisation=value)


@pytest.mark.parametrize("inputs", [[], None, 5, [1, 2], pd.DataFrame({"who": [1]})])
def test_what_cannot_be_predicted_for_says_what_can(run, inputs):
    with pytest.raises(DataError, match="'user_id'"):
        run.task.predict(run.model, inputs)
