"""Discriminative learning rates: smaller ones for the layers near the input, which change least in fine-tuning.

Source: Howard and Ruder 2018, arXiv:1801.06146, section 3.2; the forms of `lr` are those of fast.ai's `fit_one_cycle`.
Differs from the paper: the factor from group to group follows from both ends, where the paper takes 1 / 2.6.
"""

from collections.abc import Sequence

FALL = 10  # from the head's rate to the body's where one end is given, as in fast.ai


def discriminative_rates(lr: "float | slice | Sequence[float]", *, num_groups: int) -> list[float]:
    """The learning rate of each of `num_groups` layer groups, from the input to the head.

    lr:      a number, for all; slice(low, high), from `low` at the first group to `high` at the head by equal factors;
             slice(high), `high` at the head and a tenth of it elsewhere; or the rates themselves.
    Returns: rates for the groups of `zoo.training.surgery.layer_groups`, in their order.
    Raises:  ValueError for a rate that is not above 0 and finite, for ends that fall, or another number of rates.
    """
    if num_groups < 1:
        raise ValueError(f"num_groups is {num_groups}; a model has at least 1.")
    if isinstance(lr, slice):
        rates = _of_slice(lr, num_groups)
    elif isinstance(lr, Sequence):
        rates = [float(rate) for rate in lr]
        if len(rates) != num_groups:
            raise ValueError(f"{len(rates)} rates were given for {num_groups} layer groups.")
    else:
        rates = [float(lr)] * num_groups
    if not all(0 < rate < float("inf") for rate in rates):
        raise ValueError(f"Learning rates must be above 0 and finite; got {rates}.")
    return rates


def head_and_ratio(lr: float | slice | None, ratio: float) -> tuple[float | None, float]:
    """The rate of the head, and that of the first group over it: from slice(low, high), else both as they are."""
    return _ends(lr) if isinstance(lr, slice) else (lr, ratio)


def _ends(lr: slice) -> tuple[float, float]:
    low, high = lr.start, lr.stop
    if lr.step is not None or low is None or high is None or not 0 < low <= high < float("inf"):
        raise ValueError(f"A range of rates is slice(low, high) with 0 < low <= high; got {lr}.")
    return float(high), low / high


def _of_slice(lr: slice, num_groups: int) -> list[float]:
    if lr.start is None and lr.stop is not None and lr.step is None:
        return [lr.stop / FALL] * (num_groups - 1) + [float(lr.stop)]
    high, ratio = _ends(lr)
    if num_groups == 1:
        return [high]
    return [high * ratio ** ((num_groups - 1 - index) / (num_groups - 1)) for index in range(num_groups)]
