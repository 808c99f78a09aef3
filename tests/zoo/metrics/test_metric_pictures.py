"""Pictures of curves and of calibration show the numbers that they are drawn from."""

import io

import pytest
import torch

from zoo.metrics import AveragePrecision, CalibrationError, RocAuc
from zoo.metrics.pictures import precision_recall_figure, reliability_figure, roc_figure

SCORES = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.5, 0.0], [0.0, 2.0, 0.0]])
TARGET = torch.tensor([0, 1, 1, 0])


def curves(metric):
    metric = metric(average="none")
    metric.update(SCORES, TARGET)
    return metric.curves()


def written(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()[:4] == b"\x89PNG"


@pytest.mark.parametrize(("metric", "draw"), [(RocAuc, roc_figure), (AveragePrecision, precision_recall_figure)])
def test_curves_are_drawn_with_their_areas(metric, draw):
    """Fails if x and y are swapped, names shifted by a class without a curve, or that class is drawn."""
    found = curves(metric)
    figure = draw(found, ["cat", "dog", "owl"])
    lines = [line for line in figure.axes[0].lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in lines] == [
        f"{name}  {curve.area:.3f}" for name, curve in zip(("cat", "dog"), found, strict=False)
    ]
    for line, curve in zip(lines, found, strict=False):
        assert line.get_xdata().tolist() == curve.x.tolist()
        assert line.get_ydata().tolist() == curve.y.tolist()
    assert written(figure)
    with pytest.raises(ValueError, match="3 curves need as many names"):
        draw(found, ["cat"])


def test_steps_of_precision_have_the_area():
    """Fails if steps are drawn from their beginning, or points are joined by straight lines."""
    figure = precision_recall_figure(curves(AveragePrecision)[:1])
    (line,) = (line for line in figure.axes[0].lines if len(line.get_xdata()) > 2)
    assert line.get_drawstyle() == "steps-pre"
    assert line.get_label().startswith("area")


def test_many_curves_have_no_legend():
    figure = roc_figure(curves(RocAuc)[:1] * 30)
    assert figure.axes[0].get_legend() is None
    assert written(figure)


def test_reliability_shows_every_bin():
    """Fails if bars stand at another confidence than they are of, or an empty bin has a point."""
    metric = CalibrationError(num_bins=5, inputs="probabilities")
    metric.update(torch.tensor([0.95, 0.9, 0.7, 0.65]), torch.tensor([1, 0, 1, 1]))
    figure = reliability_figure(metric.bins())
    axes = figure.axes[0]
    bars = [(round(bar.get_x(), 6), bar.get_height()) for bar in axes.patches]
    assert bars == [(0.0, 0), (0.2, 0), (0.4, 0), (0.6, 1), (0.8, 0.5)]
    points = next(line for line in axes.lines if line.get_marker() == "o")
    assert points.get_xdata() == pytest.approx([0.675, 0.925])
    assert points.get_ydata().tolist() == [1, 0.5]
    assert [bar.get_height() for bar in axes.child_axes[0].patches] == [0, 0, 0, 0.5, 0.5]
    assert written(figure)
    assert written(reliability_figure(CalibrationError().bins()))
