"""How trained weights are fitted to new data, as the stages of a recipe.

Source: Howard and Ruder 2018, arXiv:1801.06146, sections 3.2 (discriminative rates) and 3.3 (gradual unfreezing).
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

from zoo.training.recipe import Stage

Strategy = Literal["two_stage", "head", "gradual", "full"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
GRADUAL_STEPS = 4


def fine_tuning_stages(
    strategy: Strategy,
    *,
    num_groups: int,
    epochs: int,
    head_epochs: int,
    lr: float,
    body_lr_ratio: float,
    schedule: str,
    schedule_options: Mapping[str, Any] | None = None,
    cache_features: bool = False,
) -> tuple[Stage, ...]:
    """The stages of a strategy for a model of `num_groups` layer groups, the head counted as one.

    Rates fall by the same factor from group to group, from `lr` at the head to `lr * body_lr_ratio` at the first.
    Raises: ValueError for a value out of range, or `cache_features` where no stage trains the head alone.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy is {strategy!r}; expected one of {', '.join(STRATEGIES)}.")
    if not 0 < body_lr_ratio <= 1:
        raise ValueError(f"body_lr_ratio is {body_lr_ratio}; it must be in (0, 1].")
    for name, count in (("epochs", epochs), ("head_epochs", head_epochs)):
        if count < 1:
            raise ValueError(f"{name} is {count}; at least 1 is needed. strategy='full' trains no head alone.")
    if cache_features and strategy == "full":
        raise ValueError("cache_features needs a stage with a frozen body; strategy='full' has none.")
    decay = body_lr_ratio ** (1 / max(1, num_groups - 1))

    def stage(name: str, *, epochs: int, trainable: int | None = None) -> Stage:
        return Stage(
            name=name, epochs=epochs, lr=lr, trainable=trainable, lr_decay=decay, schedule=schedule,
            schedule_options=dict(schedule_options or {}), cache_features=cache_features and trainable == 1,
        )  # fmt: skip

    if strategy == "head":
        return (stage("head", epochs=epochs, trainable=1),)
    if strategy == "full":
        return (stage("all", epochs=epochs),)
    if strategy == "two_stage":
        return stage("head", epochs=head_epochs, trainable=1), stage("all", epochs=epochs)
    steps = min(GRADUAL_STEPS, epochs, num_groups)
    ends = [epochs * (index + 1) // steps for index in range(steps)]
    shares = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    groups = [1, *(math.ceil(num_groups * (index + 1) / steps) for index in range(1, steps))]
    stages = [
        stage(f"last {count}", epochs=share, trainable=count) for count, share in zip(groups, shares, strict=True)
    ]
    return (*stages[:-1], stage("all", epochs=shares[-1]))
