"""What a training run is told: one record for the whole run, one for each of its stages. Plain data, no torch."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from zoo.errors import UnknownArgumentError, check_name, nearest
from zoo.parts.initialisations import INITIALISATIONS

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
PARALLEL = ("auto", "ddp", "fsdp")
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stretch of training with one set of trainable parameters, one optimizer and one schedule.

    epochs:         passes over the training data; `max_steps` of the recipe may end it earlier.
    lr:             learning rate of the head, or of everything where `lr_decay` is 1.
    trainable:      how many of the last layer groups train, the head counted as one; None trains all. What is
                    frozen keeps its BatchNorm statistics too.
    lr_decay:       factor on the learning rate from one layer group to the one before it.
    cache_features: with only the head trainable: compute the body's features once and keep them on disk.
    """

    name: str = "train"
    epochs: int = 1
    lr: float = 1e-3
    trainable: int | None = None
    lr_decay: float = 1.0
    schedule: str = "cosine"
    schedule_options: Mapping[str, Any] = field(default_factory=dict)
    warmup_steps: int = 0
    cache_features: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"Stage {self.name!r}: epochs is {self.epochs}; at least 1 is needed.")
        if self.trainable is not None and self.trainable < 1:
            raise ValueError(f"Stage {self.name!r}: trainable is {self.trainable}; give at least 1, or None.")
        if not 0 < self.lr < float("inf"):
            raise ValueError(f"Stage {self.name!r}: lr is {self.lr}; it must be above 0 and finite.")
        if not 0 < self.lr_decay <= 1:
            raise ValueError(f"Stage {self.name!r}: lr_decay is {self.lr_decay}; it must be in (0, 1].")
        if self.cache_features and self.trainable != 1:
            raise ValueError(
                f"Stage {self.name!r}: cached features need a frozen body; set trainable=1 (the head alone)."
            )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train: what holds for every stage.

    batch_size:             rows a process takes at a time.
    optimizer:              a name of `zoo list-parts --kind optimizer`, such as "adamw" or "lbfgs", or "timm:nadamw";
                            optimizer_options: what that one takes.
    accumulate:             batches whose gradients make one optimizer step, equal to one batch of all their rows.
    weight_decay:           the optimizer's own, of matrices and kernels, not of biases and norms: apart from the
                            gradient in "adamw", an L2 penalty in "adam", "momentum", "nesterov" and "sgd".
    l1:                     strength of a penalty on the sum of |w| that is part of the loss, of the same weights.
    l2:                     strength of a penalty on half the sum of w^2, likewise; with "sgd" it equals weight_decay.
    clip_norm:              largest L2 norm of all gradients together, or None.
    ema:                    decay per step of the averaged weights that are evaluated and kept, or None.
    swa:                    share of the last stage's epochs, such as 0.75, after which the weights at the ends of
                            epochs are averaged (stochastic weight averaging), evaluated and kept, or None.
    swa_lr:                 constant learning rate of those epochs; None keeps the schedule's.
    precision:              "32-true", "bf16-mixed" or "16-mixed" (the last on GPUs).
    compile:                whether torch.compile makes kernels of the model, which takes a while at first.
    channels_last:          whether images are laid out with the channels last.
    initialisation:         how the weights start in training from scratch: "kaiming", "lsuv", "normal", "orthogonal",
                            "xavier" or "zero_gamma"; None leaves it to the model.
    gradient_checkpointing: whether activations inside blocks are computed again in the backward pass, which takes less
                            memory and about a third more time.
    max_steps:              optimizer steps after which the run ends, or None.
    patience:               epochs without a better `monitor` before training stops, or None.
    checkpoint_every_steps: beside the ends of epochs.
    checkpoint_seconds:     least time between checkpoints at the ends of epochs, so that epochs of milliseconds are
                            not spent on writing files; the end of a stage is always kept.
    num_workers:            processes that load data which are not in memory; None leaves it to how the data were read.
    accelerator:            "auto", "cpu", "cuda" or "mps".
    devices:                how many; more than 1 starts processes through Lightning Fabric.
    parallel:               "auto", "ddp" for distributed data parallel, or "fsdp" for parameters that are sharded too.
    tensorboard:            whether to write logs for TensorBoard too.
    """

    stages: tuple[Stage, ...] = (Stage(),)
    batch_size: int = 32
    accumulate: int = 1
    optimizer: str = "adamw"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    weight_decay: float = 0.01
    l1: float = 0.0
    l2: float = 0.0
    clip_norm: float | None = None
    ema: float | None = None
    swa: float | None = None
    swa_lr: float | None = None
    precision: Precision = "32-true"
    compile: bool = False
    channels_last: bool = False
    initialisation: str | None = None
    gradient_checkpointing: bool = False
    seed: int = 0
    max_steps: int | None = None
    patience: int | None = None
    checkpoint_every_steps: int | None = None
    checkpoint_seconds: float = 5.0
    log_every_steps: int = 50
    num_workers: int | None = None
    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    parallel: str = "auto"
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "accumulate", "log_every_steps", "devices", "num_nodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is needed.")
        for name in ("max_steps", "patience", "checkpoint_every_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; give at least 1, or None.")
        for name in ("weight_decay", "l1", "l2", "num_workers", "checkpoint_seconds"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} is {value}; it must not be negative.")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm is {self.clip_norm}; give a norm above 0, or None.")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}; expected one of {', '.join(PRECISIONS)}.")
        if self.parallel not in PARALLEL:
            raise ValueError(f"parallel is {self.parallel!r}; expected one of {', '.join(PARALLEL)}.")
        if not self.stages:
            raise ValueError("A recipe needs at least one stage.")
        self._check_averages()
        self._check_together()

    def _check_averages(self) -> None:
        if self.ema is not None and not 0 <= self.ema < 1:
            raise ValueError(f"ema is {self.ema}; a decay per step in [0, 1) is needed, 0.999 for instance.")
        if self.swa is not None and not 0 <= self.swa < 1:
            raise ValueError(f"swa is {self.swa}; a share of the epochs in [0, 1) is needed, 0.75 for instance.")
        if self.swa_lr is not None and self.swa is None:
            raise ValueError("swa_lr is the rate of the epochs that swa averages; give swa too, 0.75 for instance.")
        if self.swa_lr is not None and not 0 < self.swa_lr < float("inf"):
            raise ValueError(f"swa_lr is {self.swa_lr}; it must be above 0 and finite, or None.")

    def _check_together(self) -> None:
        """Raises ValueError for options that do not go together, UnknownNameError for an initialisation."""
        if self.initialisation is not None:
            check_name("initialisation", self.initialisation, INITIALISATIONS)
        if self.gradient_checkpointing and self.compile:
            raise ValueError("gradient_checkpointing and compile do not go together; leave one of them out.")
        if self.parallel != "fsdp":
            return
        if self.precision == "16-mixed" or self.compile or self.channels_last:
            raise ValueError(
                'parallel="fsdp" goes with precision "32-true" or "bf16-mixed", and without compile and channels_last.'
            )
        frozen = [stage.name for stage in self.stages if stage.trainable is not None]
        if frozen:
            raise ValueError(
                f'parallel="fsdp" trains all parameters, and the stage {frozen[0]!r} only some: fine-tune with '
                'strategy="full", or use parallel="ddp".'
            )

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain JSON-able data; `Recipe.from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """The recipe that `as_dict` wrote."""
        check_options("Recipe", values, cls.option_names())
        stages = tuple(Stage(**stage) for stage in values.get("stages", ()))
        return cls(**{**values, "stages": stages or (Stage(),)})

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """The names of all options."""
        return tuple(cls.__dataclass_fields__)


def check_options(what: str, given: Mapping[str, Any], known: tuple[str, ...], *, others: Iterable[str] = ()) -> None:
    """Raises UnknownArgumentError with the nearest names for the first of `given` that is not `known`.

    others: names that exist beside the `known`, to be suggested too.
    """
    for name in given:
        if name not in known:
            raise UnknownArgumentError(f"{what} has no option {name!r}. {nearest(name, (*known, *others))}")
