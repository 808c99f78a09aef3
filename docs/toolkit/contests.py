"""The form of most studies: contestants that differ in one thing, several seeds of each, a table with verdicts."""

from collections.abc import Callable, Mapping
from typing import Any

from docs.toolkit.setting import Result, Setting, spread, verdict
from zoo.training import Run

Options = Mapping[str, Any]
Judge = Callable[[Run], float]


def contest(
    setting: Setting,
    name: str,
    contestants: Mapping[str, Options],
    *,
    judge: Judge | None = None,
    figure: str = "test accuracy",
    percent: bool = True,
    higher_is_better: bool = True,
    shared: Options | None = None,
) -> tuple[Result, dict[str, list[Run]]]:
    """Trains each contestant with each seed and compares all with the first.

    name:   of the study, under which the runs are kept.
    judge:  the figure of a run; its test accuracy if not given.
    shared: options of all.
    """
    runs = {
        title: [
            setting.train(f"{name}/{_file(title)}-{seed}", seed=seed, **{**(shared or {}), **options})
            for seed in setting.seeds
        ]
        for title, options in contestants.items()
    }
    values = {title: [(judge or setting.test)(run) for run in found] for title, found in runs.items()}
    return compared(values, figure=figure, percent=percent, higher_is_better=higher_is_better), runs


def compared(
    values: Mapping[str, list[float]], *, figure: str, percent: bool = True, higher_is_better: bool = True
) -> Result:
    """A table of figures by contestant with verdicts against the first, and a sentence that sums them up."""
    first = next(iter(values))
    said = {
        title: verdict(values[first], found, higher_is_better=higher_is_better)
        for title, found in values.items()
        if title != first
    }
    rows = [
        (title, spread(found, percent=percent), said.get(title, "what the others are compared with"))
        for title, found in values.items()
    ]
    return Result(("", figure, "against the first"), rows, summed_up(said))


def summed_up(said: Mapping[str, str]) -> str:
    """ "Helps here: a and b. No difference seen: c." """
    titles: dict[str, list[str]] = {}
    for title, word in said.items():
        titles.setdefault(word, []).append(title)
    return " ".join(
        f"{word[0].upper()}{word[1:]}{' here' if word in ('helps', 'hurts') else ''}: {', '.join(titles[word])}."
        for word in ("helps", "better", "no difference seen", "equal", "worse", "hurts")
        if word in titles
    )


def _file(title: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in title.lower()).strip("_")
