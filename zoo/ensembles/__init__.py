"""Several models in place of one: folds, votes, averages, bags, stacks, snapshots and soups."""

from zoo.ensembles.bagging import bag, bootstrap_rows
from zoo.ensembles.combining import average, vote
from zoo.ensembles.cross_validation import CrossValidation, cross_validate
from zoo.ensembles.ensemble import Ensemble, open_run
from zoo.ensembles.outputs import outputs_of
from zoo.ensembles.snapshots import Snapshots, snapshot_ensemble
from zoo.ensembles.soups import greedy_soup, uniform_soup
from zoo.ensembles.stacking import MetaModel, stack

__all__ = [
    "CrossValidation",
    "Ensemble",
    "MetaModel",
    "Snapshots",
    "average",
    "bag",
    "bootstrap_rows",
    "cross_validate",
    "greedy_soup",
    "open_run",
    "outputs_of",
    "snapshot_ensemble",
    "stack",
    "uniform_soup",
    "vote",
]
