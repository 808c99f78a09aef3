"""Training: phases and the step that runs them, the trainer, callbacks, checkpoints, runs, fine-tuning."""

from zoo.modes import evaluation_mode
from zoo.training.averaging import ExponentialMovingAverage, StochasticWeightAveraging
from zoo.training.batch_size import BatchSizes, find_batch_size
from zoo.training.callbacks import BestCheckpoint, Callback, EarlyStopping, EpochPictures
from zoo.training.comparison import Contestant, compare
from zoo.training.engine import Engine
from zoo.training.jobs import fine_tune, train
from zoo.training.loggers import CSVLogger, JSONLLogger, ProgressBar, TensorBoardLogger
from zoo.training.lr_finder import RateCurve, find_lr
from zoo.training.phases import Batch, Losses, Phase, Share, run_step
from zoo.training.recipe import Recipe, Stage
from zoo.training.run import Run, load_run
from zoo.training.task import Inputs, Item, Prediction, Task, evaluate
from zoo.training.trainer import Trainer

__all__ = [
    "Batch",
    "BatchSizes",
    "BestCheckpoint",
    "CSVLogger",
    "Callback",
    "Contestant",
    "EarlyStopping",
    "Engine",
    "EpochPictures",
    "ExponentialMovingAverage",
    "Inputs",
    "Item",
    "JSONLLogger",
    "Losses",
    "Phase",
    "Prediction",
    "ProgressBar",
    "RateCurve",
    "Recipe",
    "Run",
    "Share",
    "Stage",
    "StochasticWeightAveraging",
    "Task",
    "TensorBoardLogger",
    "Trainer",
    "compare",
    "evaluate",
    "evaluation_mode",
    "find_batch_size",
    "find_lr",
    "fine_tune",
    "load_run",
    "run_step",
    "train",
]
