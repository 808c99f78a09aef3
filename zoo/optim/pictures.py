"""Pictures of schedules."""

from typing import TYPE_CHECKING

from zoo.optim.schedules import Schedule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# More points than a picture has columns of pixels show nothing more.
MOST_POINTS = 2000


def schedule_figure(schedule: Schedule, total_steps: int) -> "Figure":
    """A picture of the learning-rate factor over steps, with the momentum where the schedule has one.

    total_steps: optimizer steps to show, from step 0.
    Returns:     a matplotlib figure with no window behind it; `figure.savefig(path)` writes it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if total_steps < 1:
        raise ValueError(f"total_steps is {total_steps}; at least 1 is needed.")
    stride = -(-total_steps // MOST_POINTS)
    steps = sorted({*range(0, total_steps, stride), total_steps - 1})
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(steps, [schedule.lr_factor(step) for step in steps], color="C0", label="learning rate")
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("learning rate / base rate")
    axes.set_ylim(bottom=0)
    momenta = [value for step in steps if (value := schedule.momentum(step)) is not None]
    if momenta:
        right = axes.twinx()
        right.plot(steps, momenta, color="C1", linestyle="--", label="momentum")
        right.set_ylabel("momentum")
        figure.legend(loc="outside upper center", ncols=2)
    return figure
