"""Optimizers and learning-rate schedules by name."""

from zoo.optim.optimizers import make_optimizer, parameter_groups, takes_fused
from zoo.optim.rates import discriminative_rates
from zoo.optim.schedules import Schedule, apply_schedule, make_schedule
from zoo.parts.optimizers import OPTIMIZERS
from zoo.parts.schedules import SCHEDULES

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "Schedule",
    "apply_schedule",
    "discriminative_rates",
    "make_optimizer",
    "make_schedule",
    "parameter_groups",
    "takes_fused",
]
