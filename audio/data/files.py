"""Sound files and their classes as a dataset.

Shapes: T samples.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from audio.data.clips import AugmentStrength, augmented, cut, read_clip
from zoo.records import AudioPreprocessing


class ClipFiles(Dataset):
    """Sound files and their classes: waveforms float32 [T], of lengths that differ, and class numbers.

    strength:  how training clips are changed, by torch's generator; None changes nothing, and takes the middle of clips
               that are longer than `preprocessing.seconds`.
    seconds:   of each file, whole.
    waveforms: of the files, whole, if they are in memory.
    """

    def __init__(
        self,
        paths: Sequence[str],
        targets: Tensor,
        *,
        preprocessing: AudioPreprocessing,
        seconds: Sequence[float],
        strength: AugmentStrength | None = None,
        waveforms: Sequence[Tensor] | None = None,
    ) -> None:
        self.paths = list(paths)
        self.targets = targets
        self.preprocessing = preprocessing
        self.seconds = seconds
        self.strength = strength
        self.waveforms = waveforms

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        seconds, rate = self.preprocessing.seconds, self.preprocessing.sample_rate_hz
        longest = None if seconds is None else round(seconds * rate)
        position = 0.5 if self.strength is None else float(torch.rand(()))
        if self.waveforms is not None:
            waveform = cut(self.waveforms[index], longest, position)
        else:
            waveform = read_clip(self.paths[index], preprocessing=self.preprocessing, position=position)
        if self.strength is not None:
            waveform = augmented(waveform, self.strength, sample_rate_hz=rate)
            waveform = cut(waveform, longest, 0.5)
        return waveform, int(self.targets[index])

    def unaugmented(self) -> "ClipFiles":
        """The same files, as they are evaluated."""
        return ClipFiles(
            self.paths, self.targets, preprocessing=self.preprocessing, seconds=self.seconds, waveforms=self.waveforms
        )

    def joined(self, other: "ClipFiles") -> "ClipFiles":
        """These files and then those of `other`, all changed as these are."""
        both = self.waveforms is not None and other.waveforms is not None
        return ClipFiles(
            [*self.paths, *other.paths], torch.cat([self.targets, other.targets]), preprocessing=self.preprocessing,
            seconds=[*self.seconds, *other.seconds], strength=self.strength,
            waveforms=[*(self.waveforms or ()), *(other.waveforms or ())] if both else None,
        )  # fmt: skip

    @property
    def longest_seconds(self) -> float:
        """The length of the longest clip, as it is read."""
        longest = max(self.seconds)
        return longest if self.preprocessing.seconds is None else min(longest, self.preprocessing.seconds)
