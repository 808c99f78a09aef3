"""Confusion matrices against scikit-learn, and their picture."""

import io

import pytest
import torch
from sklearn.metrics import confusion_matrix as reference

from zoo.metrics import confusion_matrix, make_metric
from zoo.metrics.pictures import confusion_figure


def test_confusion_against_scikit_learn():
    """Fails if rows and columns are swapped, or a class that never occurs is cut away."""
    torch.manual_seed(0)
    logits, target = torch.randn(70, 5), torch.randint(4, (70,))
    counts = confusion_matrix(logits, target, num_classes=5)
    assert counts.dtype == torch.int64
    assert counts.tolist() == reference(target, logits.argmax(1), labels=range(5)).tolist()


def test_confusion_of_pixels():
    """Fails if only the first target of each image is counted."""
    logits, target = torch.randn(2, 3, 4, 5), torch.randint(3, (2, 4, 5))
    counts = confusion_matrix(logits, target, num_classes=3)
    assert counts.tolist() == reference(target.flatten(), logits.argmax(1).flatten(), labels=range(3)).tolist()


def test_no_samples_count_nothing():
    assert (
        confusion_matrix(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), num_classes=3).tolist() == [[0] * 3] * 3
    )


@pytest.mark.parametrize(("labels", "target"), [([3, 0], [0, 1]), ([0, 1], [-1, 1]), ([0, 0], [3, 0])])
def test_labels_out_of_range(labels, target):
    """Fails if target * C + label lands in another class's row."""
    metric = make_metric("confusion_matrix", num_classes=3, inputs="labels")
    metric.update(torch.tensor(labels), torch.tensor(target))
    with pytest.raises(ValueError, match=r"1 targets or predictions lay outside 0\.\.2"):
        metric.compute()


def test_the_result_is_a_copy():
    """Fails if a later update changes a matrix that was handed out."""
    metric = make_metric("confusion_matrix", num_classes=2)
    metric.update(torch.eye(2), torch.tensor([0, 1]))
    first = metric.compute()
    metric.update(torch.eye(2), torch.tensor([0, 1]))
    assert first.tolist() == [[1, 0], [0, 1]]


def test_figure_shows_counts_and_shares():
    """Fails if colours are normalised over columns, counts are transposed, or a class without samples divides by 0."""
    matrix = torch.tensor([[3, 1, 0], [2, 2, 0], [0, 0, 0]])
    figure = confusion_figure(matrix, ["cat", "dog", "owl"])
    axes = figure.axes[0]
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    texts = {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "3", (0, 1): "1", (1, 0): "2", (1, 1): "2"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "owl"]
    file = io.BytesIO()
    figure.savefig(file, format="png")
    assert file.getvalue()[:4] == b"\x89PNG"


def test_figure_is_checked():
    with pytest.raises(ValueError, match=r"\[C, C\]"):
        confusion_figure(torch.zeros(2, 3), ["a", "b"])
    with pytest.raises(ValueError, match="2 classes need as many names"):
        confusion_figure(torch.zeros(2, 2), ["a"])
