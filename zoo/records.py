"""The records that catalogues are made of: papers, preprocessing, weights, models, tasks.

Plain frozen data, written without importing torch, so that listing the zoo costs nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from zoo.parts.table import PartTable

Interpolation = Literal["nearest", "bilinear", "bicubic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """Where a model comes from. `id` is "arXiv:..." or "doi:..."."""

    title: str
    authors: str
    year: int
    id: str

    @property
    def url(self) -> str:
        """The address of the paper's page."""
        kind, _, number = self.id.partition(":")
        return f"https://arxiv.org/abs/{number}" if kind == "arXiv" else f"https://doi.org/{number}"

    def __str__(self) -> str:
        return f"{self.authors} {self.year}, {self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePreprocessing:
    """How an image file becomes the tensor that a network was trained to see.

    size:   height and width of the crop, pixels.
    resize: shorter side before the centre crop, pixels.
    mean, std: per channel, on the scale 0..1.
    """

    size: tuple[int, int] = (224, 224)
    resize: int = 256
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPreprocessing:
    """How a text becomes the token numbers that a network was trained to see.

    tokenizer:  folder or hub name of a transformers tokenizer.
    max_length: most tokens of one text, special ones included; None where any number will do.
    """

    tokenizer: str
    max_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioPreprocessing:
    """How a sound file becomes the waveform that a network was trained to hear.

    seconds: longest clip; None where any length will do.
    """

    sample_rate_hz: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """One file of trained weights and all that must be known to use it.

    source:         "https://...", "hf-hub:owner/repo/file", "file:/path", or "package:import_name/path"
                    for a file that an installed package ships.
    sha256:         all 64 hex digits, or as many leading ones as were published (8 at least).
    num_classes:    outputs of the head the file holds.
    labels:         "module:callable" that returns the class names in output order, or None.
    metrics:        what was measured, by name; accuracies in percent.
    protocol:       data, crop and recipe that measured `metrics`.
    key_conversion: "module:callable" from the file's state dict to the model's, or None if the names agree.
    """

    tag: str
    source: str
    sha256: str
    licence: str
    preprocessing: Any = field(default_factory=ImagePreprocessing)
    num_classes: int | None = None
    labels: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    protocol: str = ""
    key_conversion: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model of a catalogue.

    builder:     "module:callable", imported only when built; a callable too, for models registered by users.
    config:      keyword arguments that make the builder this entry; a user's own arguments go over them.
    input_shape: of one sample, without the batch dimension.
    num_params:  exact count at the default configuration; None only for models of other libraries.
    preprocessing: of raw inputs where no weights say so; None leaves it to the task's reader and `input_shape`.
    task_options: of the task where the user gives none, such as a loss of the paper's own.
    recipe:      options of training where the user gives none, such as the paper's learning rate: arguments of
                 `zoo.train`, by name.
    weight_arguments: arguments of the builder that name trained weights of a part, with the value that fine-tuning
                 uses where the user gives none, None where there are none to be had. They only fill the part, so a
                 finished run is built without them.
    """

    name: str
    task: str
    builder: Any
    summary: str
    paper: Paper | None = None
    num_params: int | None = None
    input_shape: tuple[int, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[Weights, ...] = ()
    preprocessing: Any = None
    task_options: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    weight_arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tags = [record.tag for record in self.weights]
        if len(tags) != len(set(tags)):
            raise ValueError(f"{self.name}: two weights share a tag among {tags}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEntry:
    """One task of a catalogue: which code reads its data, trains it and shows its explanations.

    builder: "module:callable" `(bundle, **options) -> Task`.
    reader:  "module:callable" `(path, **options) -> Bundle`.
    from_disk: whether the reader's `path` must exist; False where it is a name, such as that of an environment.
    """

    name: str
    builder: str
    reader: str
    summary: str
    from_disk: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What one package adds to the zoo, found through the entry-point group `zoo.catalogs`.

    demos: "module:callable" `(out, quick) -> None` by name, for `zoo demo`.
    parts: tables of what the domain adds to the toolkit, such as augmentations of its own.
    """

    models: tuple[Entry, ...] = ()
    tasks: tuple[TaskEntry, ...] = ()
    demos: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[PartTable, ...] = ()
