"""Optimizers and learning-rate schedules by name."""

from zoo.optim.optimizers import OPTIMIZERS, make_optimizer, parameter_groups
from zoo.optim.schedules import SCHEDULES, Schedule, apply_schedule, make_schedule

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "Schedule",
    "apply_schedule",
    "make_optimizer",
    "make_schedule",
    "parameter_groups",
]
