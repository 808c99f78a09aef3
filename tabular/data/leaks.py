"""Columns that give the target away: what one of them alone predicts (near) perfectly, on rows it was not fitted to.

Such a column is often a copy of the target, or known only after it. Each is judged by a table of its own values: the
commonest class, or the mean rank of the target, of each value or narrow band of values.
Shapes: N rows, C classes.
"""

from typing import TYPE_CHECKING

import numpy as np

from tabular.data.inference import Guess
from tabular.data.values import Array, dates, numbers, texts
from zoo.data.randomness import mix

if TYPE_CHECKING:
    import pandas as pd

SUSPICIOUS = 0.99
MOST_ROWS = 20_000
ROWS_PER_BAND = 20


def giveaways(frame: "pd.DataFrame", guesses: list[Guess], target: Array, *, classes: int | None) -> dict[str, float]:
    """The columns that predict the target suspiciously well, with their power 0..1.

    target:  class numbers int64 [N], or values float64 [N].
    classes: C, or None for values.
    """
    rows = np.random.default_rng(mix(0, len(frame))).permutation(len(frame))[:MOST_ROWS]
    frame, target = frame.iloc[rows], target[rows]
    found = {}
    for guess in guesses:
        if guess.kind != "dropped":
            power = predictive_power(_bands_of(frame[guess.name], guess), target, classes=classes)
            if power >= SUSPICIOUS:
                found[guess.name] = power
    return found


def predictive_power(bands: Array, target: Array, *, classes: int | None) -> float:
    """How much of the target the bands [N] tell on the second half of the rows, learnt on the first: 0 nothing, 1 all.

    For classes, balanced accuracy less that of chance; for values, R2 of their ranks, so that any growing function of
    the target is found out.
    """
    half = len(bands) // 2
    if half < 2:
        return 0.0
    known, _ = np.unique(bands[:half], return_inverse=True)
    place = np.searchsorted(known, bands)
    place = np.where((place < len(known)) & (known[np.minimum(place, len(known) - 1)] == bands), place, len(known))
    if classes is not None:
        counts = np.zeros((len(known) + 1, classes))
        np.add.at(counts, (place[:half], target[:half]), 1)
        counts[-1] = counts.sum(0)  # for bands that the first half has not
        predicted, true = counts.argmax(1)[place[half:]], target[half:]
        recalls = [(predicted[true == index] == index).mean() for index in np.unique(true)]
        chance = 1 / max(len(recalls), 2)
        return float(max(0.0, (np.mean(recalls) - chance) / (1 - chance)))
    ranks = np.unique(target, return_inverse=True)[1].astype(np.float64)
    sums = np.bincount(place[:half], weights=ranks[:half], minlength=len(known) + 1)
    sizes = np.bincount(place[:half], minlength=len(known) + 1)
    means = np.where(sizes > 0, sums / np.maximum(sizes, 1), ranks[:half].mean())
    true = ranks[half:]
    spread = ((true - true.mean()) ** 2).sum()
    return float(max(0.0, 1 - ((true - means[place[half:]]) ** 2).sum() / spread)) if spread > 0 else 0.0


def _bands_of(series: "pd.Series", guess: Guess) -> Array:
    """Values to the numbers of bands, int64 [N]: one for each text, about `ROWS_PER_BAND` rows for each of numbers."""
    if guess.kind == "categorical":
        return texts(series)[0]
    if guess.kind == "date":
        moments = dates(series, guess.format, where="the table")
        values = np.where(np.isnat(moments), np.nan, moments.astype(np.float64))
    else:
        values = numbers(series, where="the table")
    seen = values[~np.isnan(values)]
    if len(np.unique(seen)) <= len(seen) // ROWS_PER_BAND:
        edges = np.unique(seen)
    else:
        edges = np.unique(np.quantile(seen, np.linspace(0, 1, max(2, len(seen) // ROWS_PER_BAND))))
    return np.where(np.isnan(values), -1, np.searchsorted(edges, values))
