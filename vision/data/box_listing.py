"""The records that readers of boxes make, whatever the format of the annotations."""

from dataclasses import dataclass, field

Corners = tuple[float, float, float, float]
Problem = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Box:
    """One object.

    corners:   x1, y1, x2, y2 in pixels of the upright image, from its top left corner.
    difficult: hard to see, which Pascal VOC does not count; crowd: a box around many, which COCO does not count.
    """

    label: str
    corners: Corners
    difficult: bool = False
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image.

    part:   None where it is still to be drawn.
    source: the file with its annotation.
    size:   height and width, pixels: as the annotation says, or None where it does not; after checking the file's own.
    check:  bytes and checksum of the file's end, once it was looked at.
    """

    path: str
    boxes: tuple[Box, ...]
    part: str | None
    source: str
    size: tuple[int, int] | None = None
    check: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class BoxListing:
    """What was found. `problems` are faults of the data, `ignored` what is no data; both are (file, reason).

    classes: in the order that the annotations give, or None where they give none.
    """

    records: list[ImageRecord] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    ignored: list[Problem] = field(default_factory=list)
    classes: tuple[str, ...] | None = None
