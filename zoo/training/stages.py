"""A stage in progress: what of the model trains, on which data, by which phases."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from torch import nn

from zoo.data import Source
from zoo.optim import Schedule, make_schedule
from zoo.training.engine import Engine
from zoo.training.frozen import FrozenBody
from zoo.training.phases import Batch, Phase, check_optimizer
from zoo.training.recipe import Recipe, Stage
from zoo.training.surgery import freeze_all_but, layer_groups, rate_groups, train_mode
from zoo.training.task import Task


def check_schedule(schedule: Schedule, validation: Source | None) -> None:
    """Raises ValueError for a schedule that follows validation where there is none."""
    if schedule.follows_validation and validation is None:
        raise ValueError(
            "This schedule follows validation, and there are no validation data: give some, such as the reader's "
            "option validation=0.2, or take another schedule, such as 'cosine'."
        )


@dataclass
class ActiveStage:
    """The parts of a stage once it has begun.

    module:      what the task trains and judges, not wrapped: the model, or its head on cached features.
    modules:     its parts by name, set up for the run's devices.
    schedule:    of the learning rate, which all phases share.
    num_workers: processes that load data; None where the data say it themselves.
    first_epoch: epochs of the stages before, so that each epoch of a run has an order of its own.
    """

    model: nn.Module
    module: nn.Module
    modules: dict[str, nn.Module]
    phases: list[Phase]
    train: Source
    validation: Source | None
    recipe: Recipe
    engine: Engine
    num_workers: int | None
    first_epoch: int
    schedule: Schedule = field(init=False)

    @classmethod
    def start(
        cls,
        index: int,
        *,
        model: nn.Module,
        task: Task,
        train: Source,
        validation: Source | None,
        recipe: Recipe,
        engine: Engine,
        fingerprint: str | None,
        steps_before: int,
    ) -> "ActiveStage":
        """Frees and freezes the parameters of `model` for stage number `index`, and builds its phases.

        steps_before: optimizer steps of the stages before.
        """
        stage = recipe.stages[index]
        groups = layer_groups(model)
        trainable = groups if stage.trainable is None else groups[-stage.trainable :]
        freeze_all_but(model, trainable)
        module = model
        num_workers = recipe.num_workers
        if stage.cache_features:
            frozen = FrozenBody.compute(
                model, train=train, validation=validation, recipe=recipe, engine=engine, fingerprint=fingerprint
            )
            module, train, validation, num_workers = frozen.head, frozen.train, frozen.validation, 0
        elif recipe.compile:
            model.compile()
        active = cls(
            model=model, module=module, modules={}, phases=[], train=train, validation=validation, recipe=recipe,
            engine=engine, num_workers=num_workers, first_epoch=sum(done.epochs for done in recipe.stages[:index]),
        )  # fmt: skip
        active._build_phases(stage, task, trainable, steps_before)
        return active

    def _build_phases(self, stage: Stage, task: Task, trainable: list[list[nn.Parameter]], steps_before: int) -> None:
        recipe = self.recipe
        self.modules = {name: self.engine.setup_module(part) for name, part in task.modules(self.module).items()}
        steps = stage.epochs * math.ceil(self.batches_per_epoch / recipe.accumulate)
        if recipe.max_steps is not None:
            steps = max(1, min(steps, recipe.max_steps - steps_before))
        self.schedule = make_schedule(
            stage.schedule, total_steps=steps, warmup_steps=stage.warmup_steps, **stage.schedule_options
        )
        check_schedule(self.schedule, self.validation)
        groups = rate_groups(trainable, lr=stage.lr, lr_decay=stage.lr_decay, weight_decay=recipe.weight_decay)
        self.phases = task.phases(self.modules, groups, self.schedule, recipe)
        for phase in self.phases:
            check_optimizer(phase.optimizer, recipe)
            phase.optimizer = self.engine.setup_optimizer(phase.optimizer)

    @property
    def drop_last(self) -> bool:
        """Whether to leave the last batch out, as it gives a process one row: BatchNorm cannot train on that."""
        world_size = self.engine.world_size
        whole, rest = divmod(len(self.train), self.recipe.batch_size * world_size)
        return whole > 0 and 0 < rest < 2 * world_size

    @property
    def batches_per_epoch(self) -> int:
        """How many batches each process gets."""
        return self.train.num_batches(
            batch_size=self.recipe.batch_size, drop_last=self.drop_last, world_size=self.engine.world_size
        )

    def train_mode(self) -> None:
        """Training mode, but for what is frozen."""
        for module in self.modules.values():
            module.train()
        train_mode(self.model)

    def batches(self, *, epoch: int, start: int) -> Iterable[Batch]:
        """The batches of an epoch of the stage from number `start` on, in an order that the seed and it fix."""
        return self.train.batches(
            batch_size=self.recipe.batch_size, shuffle=True, seed=self.recipe.seed, epoch=self.first_epoch + epoch,
            start=start, drop_last=self.drop_last, rank=self.engine.rank, world_size=self.engine.world_size,
            num_workers=self.num_workers,
        )  # fmt: skip

    def validation_batches(self) -> Iterator[Batch]:
        """This rank's batches; the leader's also hold the rows that are too few to give every rank one."""
        source, engine, batch_size = self.validation, self.engine, self.recipe.batch_size
        assert source is not None, "there is validation data"
        yield from source.batches(
            batch_size=batch_size, rank=engine.rank, world_size=engine.world_size, num_workers=self.num_workers
        )
        left = len(source) % (batch_size * engine.world_size)
        if engine.leads and left < engine.world_size:
            yield from source.batches(batch_size=1, start=len(source) - left, num_workers=0)
