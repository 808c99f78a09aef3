"""A classical classifier of sounds to compare with: logistic regression on the mean and deviation of the cepstra.

Shapes: B clips, N clips of a part, M cepstral coefficients, T frames.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audio.data.clips import as_clips
from audio.layers.frontend import MFCC
from audio.layers.masked import valid_positions
from zoo.data import Bundle, Source
from zoo.errors import DataError

BATCH = 64


def cepstral_regression(bundle: Bundle, split: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """Fits on the training clips as they are, without changes, and judges a part by `metrics` (new ones, by name)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if bundle.preprocessing is None:
        raise DataError("These data do not say their sample rate, so there are no cepstra to compute.")
    rate = bundle.preprocessing.sample_rate_hz
    inputs, targets = features(bundle.train.unaugmented(), sample_rate_hz=rate)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(inputs, targets)
    inputs, targets = features(bundle.parts[split].unaugmented(), sample_rate_hz=rate)
    found = model.predict_log_proba(inputs)  # [N, classes seen in training]
    logits = np.full((len(inputs), len(bundle.classes or ())), -1e4, dtype=np.float32)
    logits[:, model.classes_] = found
    values = {}
    for name, metric in metrics.items():
        metric.update(torch.from_numpy(logits), torch.from_numpy(targets))
        value = metric.compute()
        if not isinstance(value, Tensor) or value.ndim == 0:
            values[name] = float(value)
    return values


@torch.no_grad()
def features(source: Source, *, sample_rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """The clips of a source to mean and standard deviation of each cepstral coefficient over time.

    Returns: features [N, 2 M] and classes [N].
    """
    cepstra = MFCC(sample_rate_hz=sample_rate_hz)
    rows, targets = [], []
    for inputs, labels in source.batches(batch_size=BATCH):
        clips = as_clips(inputs)
        values = cepstra(clips)  # [B, M, T]
        frames = cepstra.num_frames(clips.lengths)[:, None]
        valid = valid_positions(frames[:, 0], values.shape[2])[:, None]
        mean = torch.where(valid, values, 0).sum(2) / frames
        spread = (torch.where(valid, values - mean[:, :, None], 0).square().sum(2) / frames).sqrt()
        rows.append(torch.cat([mean, spread], dim=1))
        targets.append(labels)
    return torch.cat(rows).numpy(), torch.cat(targets).numpy()


def baselines(metrics: Callable[[], Mapping[str, Any]]) -> dict[str, Callable[[Bundle, str], dict[str, float]]]:
    """The baselines of sound classification by name; `metrics` makes new metrics."""
    return {"mfcc_logistic_regression": lambda bundle, split: cepstral_regression(bundle, split, metrics())}
