"""What the reader of sound files may be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from audio.data.clips import STRENGTHS, Augment
from audio.data.splitting import Split
from zoo.data import split_fractions
from zoo.errors import check_name

OnError = Literal["raise", "skip"]


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """The options of `read_clips`, checked.

    sample_rate_hz: rate of the clips; None: the model's, else that of most files.
    seconds:        longest clip: of longer ones a part is taken, at random for training, else the middle. None: the
                    model's, else whole clips.
    classes:        names in the order of the outputs, to fit a trained model; None: the names found, sorted.
    validation:     share of clips to split off where the data do not name a validation part; `test` likewise.
    split:          "stratified" by class, or "grouped": no value of `group_column` is in two parts.
    pattern:        names of the files of one folder: "{label}_{speaker}_{index}.wav".
    group_column:   field of the pattern, or column of the table, that says what belongs together.
    leave_out:      groups that are the test part: "jackson" leaves out one speaker.
    test_where:     values that make a clip part of the test part, by field or column: {"index": [0, 1, 2, 3, 4]}.
    augment:        how much training clips are changed at random: cut, shifted, made louder or softer, noise.
                    None is "none", which is how the command line reads that word.
    on_error:       "raise" stops at files that are unusable; "skip" reads every file once beforehand, leaves the bad
                    ones out and reports them in `Bundle.skipped`. Silent clips are found where files are read.
    shortest_seconds, longest_seconds: of a usable file; the second does not count where `seconds` is given.
    by_length:      makes training batches of clips of like length, which need little padding; None does so for clips
                    that are not in memory. Where length goes with class or speaker, as it does in small data sets,
                    mixed batches learn more from each epoch.
    in_memory:      keeps all clips in memory; None does so up to 512 MB. Otherwise files are read as they are needed.
    num_workers:    processes that read files during training.
    path_column, label_column, split_column: of a table.
    """

    sample_rate_hz: int | None
    seconds: float | None
    classes: Sequence[str] | None
    validation: float
    test: float
    seed: int
    split: Split
    pattern: str | None
    group_column: str
    leave_out: str | Sequence[str] | None
    test_where: Mapping[str, Any] | None
    augment: Augment
    on_error: OnError
    shortest_seconds: float
    longest_seconds: float
    by_length: bool | None
    in_memory: bool | None
    num_workers: int
    path_column: str
    label_column: str
    split_column: str

    def __post_init__(self) -> None:
        check_name("augmentation", self.augment, ("none", *STRENGTHS))
        check_name("way to treat errors", self.on_error, ("raise", "skip"))
        check_name("way to split", self.split, ("stratified", "grouped"))
        split_fractions(validation=self.validation, test=self.test)  # for its checks

    @property
    def columns(self) -> dict[str, str]:
        """The names of a table's columns."""
        names = ("path_column", "label_column", "split_column")
        return {name: getattr(self, name) for name in names}

    @property
    def groups_left_out(self) -> list[str] | None:
        """The groups that are the test part."""
        if self.leave_out is None:
            return None
        return [self.leave_out] if isinstance(self.leave_out, str) else list(self.leave_out)

    def as_plain(self) -> dict[str, Any]:
        """All of them, as JSON gives them back."""
        options = dict(vars(self))
        options["classes"] = None if self.classes is None else list(self.classes)
        options["leave_out"] = self.groups_left_out
        if self.test_where is not None:
            options["test_where"] = {name: _plain(values) for name, values in self.test_where.items()}
        return options


def _plain(values: Any) -> Any:
    return values if isinstance(values, str | int) else [str(value) for value in values]
