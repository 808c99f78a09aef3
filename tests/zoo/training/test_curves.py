"""The picture of a run's history: every metric is readable beside the others."""

from zoo.training.pictures import curves_figure


def panels(history):
    return {
        axes.get_title(): {line.get_label() for line in axes.get_lines() if not line.get_label().startswith("_")}
        for axes in curves_figure(history).axes
    }


def test_metrics_of_one_scale_share_a_panel():
    """Fails if a perplexity of a thousand presses BLEU and shares of 1 flat on the axis."""
    history = [
        {"epoch": 0, "lr": 0.1, "loss": 7.0, "train_loss": 8.0, "bleu": 2.0, "chrf": 9.0, "exact": 0.0, "ppl": 1100.0},
        {"epoch": 1, "lr": 0.1, "loss": 2.0, "train_loss": 3.0, "bleu": 30.0, "chrf": 50.0, "exact": 0.2, "ppl": 7.4},
    ]
    assert panels(history) == {
        "loss": {"loss", "loss, training"},
        "metrics up to 1": {"exact"},
        "metrics up to 100": {"bleu", "chrf"},
        "metrics above 100": {"ppl"},
    }
    scales = [axes.get_yscale() for axes in curves_figure(history).axes]
    assert scales == ["linear", "linear", "linear", "log"]


def test_one_scale_is_one_panel():
    """Fails if a metric that was not a number, or is missing in an epoch, stops the picture."""
    history = [{"loss": 1.0, "accuracy": 0.5, "f1": float("nan")}, {"loss": 0.5, "accuracy": 0.75, "f1": None}]
    assert panels(history) == {"loss": {"loss"}, "metrics": {"accuracy", "f1"}}
    assert len(curves_figure([]).axes) == 1
