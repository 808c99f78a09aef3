"""Columns that give the target away: what one of them alone predicts (near) perfectly, on rows it was not fitted to.

Such a column is often a copy of the target, or known only after it. Each is judged by a decision tree on it alone.
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
ROWS_PER_LEAF = 5


def giveaways(frame: "pd.DataFrame", guesses: list[Guess], target: Array, *, classes: int | None) -> dict[str, float]:
    """The columns that predict the target suspiciously well, with their power 0..1.

    target:  class numbers int64 [N], or values [N].
    classes: C, or None for values.
    """
    rows = np.random.default_rng(mix(0, len(frame))).permutation(len(frame))[:MOST_ROWS]
    frame, target = frame.iloc[rows], target[rows]
    found = {}
    for guess in guesses:
        if guess.kind != "dropped":
            power = predictive_power(_values_of(frame[guess.name], guess), target, classes=classes)
            if power >= SUSPICIOUS:
                found[guess.name] = power
    return found


def predictive_power(values: Array, target: Array, *, classes: int | None) -> float:
    """How much of the target the values [N] tell on the second half of the rows, learnt on the first: 0 nothing, 1 all.

    For classes, balanced accuracy less that of chance; for values, R2 of their ranks, so that any growing function of
    the target is found out.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    half = len(values) // 2
    if half < 2 * ROWS_PER_LEAF:
        return 0.0
    inputs = values.astype(np.float64)[:, None]
    if classes is not None:
        chooser = DecisionTreeClassifier(min_samples_leaf=ROWS_PER_LEAF, class_weight="balanced", random_state=0)
        chosen = chooser.fit(inputs[:half], target[:half]).predict(inputs[half:])
        true = target[half:]
        recalls = [(chosen[true == index] == index).mean() for index in np.unique(true)]
        chance = 1 / max(len(recalls), 2)
        return float(max(0.0, (np.mean(recalls) - chance) / (1 - chance)))
    ranks = np.unique(target, return_inverse=True)[1].astype(np.float64)
    tree = DecisionTreeRegressor(min_samples_leaf=ROWS_PER_LEAF, random_state=0).fit(inputs[:half], ranks[:half])
    errors, spread = ranks[half:] - tree.predict(inputs[half:]), ranks[half:] - ranks[half:].mean()
    return float(max(0.0, 1 - (errors**2).sum() / (spread**2).sum())) if spread.any() else 0.0


def _values_of(series: "pd.Series", guess: Guess) -> Array:
    """A column as numbers [N], NaN where missing; categories by the order in which they occur."""
    if guess.kind == "categorical":
        return texts(series)[0]
    if guess.kind == "date":
        moments = dates(series, guess.format, where="the table")
        return np.where(np.isnat(moments), np.nan, moments.astype(np.float64))
    return numbers(series, where="the table")
