"""Votes and averages, by hand and against scikit-learn."""

import numpy as np
import pytest
import torch

from zoo.ensembles import average, vote
from zoo.ensembles.rows_file import read_rows_file, write_rows_file
from zoo.errors import RunError

PROBS = torch.tensor([[[0.6, 0.4, 0.0]], [[0.0, 0.55, 0.45]], [[0.1, 0.5, 0.4]]])  # [M=3, N=1, C=3]


def test_average_by_hand():
    torch.testing.assert_close(average(PROBS), torch.tensor([[0.7, 1.45, 0.85]]) / 3)
    torch.testing.assert_close(average(PROBS, weights=[2, 1, 1]), torch.tensor([[1.3, 1.85, 0.85]]) / 4)
    assert torch.equal(average(PROBS, weights=[0, 5, 0]), PROBS[1])


def test_vote_by_hand():
    torch.testing.assert_close(vote(PROBS), torch.tensor([[1 / 3, 2 / 3, 0.0]]))
    torch.testing.assert_close(vote(PROBS, weights=[3, 1, 1]), torch.tensor([[0.6, 0.4, 0.0]]))
    tie = torch.tensor([[[0.0, 0.1, 0.9]], [[0.2, 0.8, 0.0]]])
    assert vote(tie).argmax(1).item() == 1  # the lower number


class Fixed:
    """A fitted classifier of scikit-learn's kind that says what it is told."""

    def __init__(self, probs):
        self.probs, self.classes_ = probs, np.arange(probs.shape[1])

    def predict(self, inputs):
        return self.probs.argmax(1)

    def predict_proba(self, inputs):
        return self.probs


@pytest.mark.parametrize("weights", [None, [0.5, 3.0, 1.0, 0.0]])
def test_scikit_learn_combines_alike(weights):
    """Fails if weights are left out, or a tie goes to the higher class."""
    from sklearn.ensemble import VotingClassifier
    from sklearn.preprocessing import LabelEncoder

    probs = torch.rand(4, 200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    probs /= probs.sum(2, keepdim=True)
    for kind, ours in (("soft", average), ("hard", vote)):
        theirs = VotingClassifier([(str(i), None) for i in range(4)], voting=kind, weights=weights)
        theirs.estimators_, theirs.le_ = [Fixed(one.numpy()) for one in probs], LabelEncoder().fit(range(3))
        found = ours(probs, weights=weights)
        assert (found.argmax(1).numpy() == theirs.predict(np.zeros((200, 1)))).all()
        if kind == "soft":
            np.testing.assert_allclose(found, theirs.predict_proba(np.zeros((200, 1))), rtol=1e-12)


def test_probabilities_stay_probabilities_in_half_precision():
    probs = torch.rand(7, 50, 4, generator=torch.Generator().manual_seed(1)).softmax(2).bfloat16()
    torch.testing.assert_close(average(probs).float().sum(1), torch.ones(50), rtol=0, atol=2e-2)
    torch.testing.assert_close(average(torch.full((3, 2, 1), 1e3)), torch.full((2, 1), 1e3))


@pytest.mark.parametrize("weights", [[1.0], [1, 1, -1], [0, 0, 0], [1, 1, float("nan")], [1, 1, float("inf")]])
def test_bad_weights(weights):
    with pytest.raises(ValueError, match="weights"):
        average(PROBS, weights=weights)


def test_rows_come_back_exactly(tmp_path):
    """Fails if digits of float32 are lost, or columns are taken for one another."""
    answers = torch.rand(20, 3, generator=torch.Generator().manual_seed(0))
    targets, groups = torch.arange(20) % 3, torch.arange(20) % 5
    write_rows_file(tmp_path / "a.csv", answers, targets, groups=groups, classes=("x, y", "b", "prediction"))
    found = read_rows_file(tmp_path / "a.csv")
    assert torch.equal(found.answers, answers)
    assert torch.equal(found.folds, groups)
    values = torch.rand(20, 2, generator=torch.Generator().manual_seed(1)) * 1e-7
    write_rows_file(tmp_path / "b.csv", values, values, groups=groups, classes=None, rows=torch.arange(20) + 7)
    found = read_rows_file(tmp_path / "b.csv")
    assert torch.equal(found.answers, values)
    assert found.rows.tolist() == list(range(7, 27))
    (tmp_path / "b.csv").write_text((tmp_path / "b.csv").read_text()[:-30])
    with pytest.raises(RunError, match="damaged"):
        read_rows_file(tmp_path / "b.csv")
