"""What is done to a bundle after it was read, by name, so that a run can do it again."""

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.data.bundle import Bundle
from zoo.data.preprocessing import Fitted, with_fitted
from zoo.errors import DataError
from zoo.lookup import import_object

# -- Functions of a bundle and options that JSON holds; each notes itself in the bundle's `changes`.
CHANGES = {
    "balance": "zoo.data.balancing:balance",
    "bootstrap": "zoo.ensembles.bagging:bootstrap",
    "fold": "zoo.data.folds:fold",
    "fold_as_test": "zoo.data.folds:fold_as_test",
    "preprocessing": "zoo.data.preprocessing:fit_preprocessing",
    "trained_on_all": "zoo.ensembles.stacking:trained_on_all",
}


def replay(bundle: Bundle, changes: Sequence[Mapping[str, Any]], *, fitted: Fitted | None = None) -> Bundle:
    """The bundle with all of `changes`, of which it may have the first ones already.

    changes: as `Bundle.changes` holds them, or as JSON gives them back.
    fitted:  the preprocessing that was fitted then; None fits it again.
    Raises:  DataError for a bundle that has others, and a change that cannot be made again.
    """
    done = [dict(change) for change in bundle.changes]
    if done != [dict(change) for change in changes[: len(done)]]:
        raise DataError(
            f"These data were changed by {_names(done)}, those of the run by {_names(changes)}. Pass the data as they "
            "were given to the run."
        )
    for change in changes[len(done) :]:
        options = {name: value for name, value in change.items() if name != "change"}
        if change["change"] == "fold" and "k" not in options:
            raise DataError(
                "The run was trained on a fold by groups given in memory. Make the folds again by "
                "zoo.data.folds(bundle, k, groups=...), and pass the bundle of this one."
            )
        if change["change"] == "preprocessing" and fitted is not None:
            bundle = with_fitted(bundle, fitted, options)
            continue
        bundle = import_object(CHANGES[change["change"]])(bundle, **options)
    return bundle


def _names(changes: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(str(change["change"]) for change in changes) or "nothing"
