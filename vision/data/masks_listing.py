"""Which image goes with which mask, in a folder; no pixel is read here."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vision.data.listing import EXTENSIONS
from zoo.data.listing import PARTS
from zoo.errors import DataError

IMAGE_FOLDERS = frozenset(("images", "image", "imgs", "img", "jpegimages", "frames"))
MASK_FOLDERS = frozenset(
    ("masks", "mask", "labels", "label", "annotations", "annotation", "segmentationclass", "groundtruth", "gt")
)
MASK_SUFFIXES = ("_mask", "-mask", "_masks", "_label", "_labels", "_labelids", "_seg", "_segmentation", "_gt", "_l")
VOLUME = re.compile(r"(?P<name>.*?)[-_ ]?(?P<kind>volumes?|images?|labels?|masks?)", re.IGNORECASE)
TIFF = frozenset((".tif", ".tiff"))
LAYOUT = (
    "Expected the folders images/ and masks/ with files of equal names, or train/, val/ and test/ with both in them, "
    "or images/train/ and masks/train/ and so on; masks/<class>/ or masks/<name>_<class>.png for a mask of each class; "
    "or multi-page files train-volume.tif and train-labels.tif."
)


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and its masks.

    masks: (class name, file); the name is None for one file that holds all classes.
    part:  None where the part is still to be drawn.
    page:  of a multi-page file, from 0; None for a file of one image.
    """

    image: str
    masks: tuple[tuple[str | None, str], ...]
    part: str | None
    page: int | None = None

    @property
    def name(self) -> str:
        """The image in words, for errors."""
        return self.image if self.page is None else f"{self.image}, page {self.page}"


@dataclass(slots=True)
class Pairs:
    """What was found. `problems` are faults of the data, `ignored` what is no data; both are (file, reason)."""

    pairs: list[Pair] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)


def list_pairs(root: Path) -> Pairs:
    """The images of a folder with their masks, in the natural order of their names.

    Raises: DataError if `root` is not readable or holds neither of the known layouts.
    """
    found = Pairs()
    try:
        folders, files = _entries(root, found)
        images, masks = _image_and_mask_folder(folders)
        parts = {folder: PARTS[name.lower()] for name, folder in folders.items() if name.lower() in PARTS}
        if images is not None and masks is not None:
            _list_two_folders(images, masks, found)
        elif parts:
            for folder, part in parts.items():
                _list_part(folder, part, found)
        else:
            _list_volumes(files, found)
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be read: {error.strerror or error}.") from error
    if not found.pairs and not found.problems:
        holds = ", ".join(sorted(os.listdir(root))[:8]) or "nothing"
        raise DataError(f"{root} holds no images with masks, but {holds}. {LAYOUT}")
    return found


def natural_order(name: str) -> tuple[tuple[int, str], ...]:
    """A key that puts slice2 before slice10."""
    return tuple((int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name))


def _image_and_mask_folder(folders: Mapping[str, Path]) -> tuple[Path | None, Path | None]:
    images = [folder for name, folder in folders.items() if name.lower() in IMAGE_FOLDERS]
    masks = [folder for name, folder in folders.items() if name.lower() in MASK_FOLDERS]
    for kind, several in (("images", images), ("masks", masks)):
        if len(several) > 1:
            names = " and ".join(folder.name for folder in several)
            raise DataError(f"{several[0].parent} holds {names}; which one are the {kind}? {LAYOUT}")
    return (images[0] if images else None), (masks[0] if masks else None)


def _list_part(folder: Path, part: str, found: Pairs) -> None:
    """The pairs of train/, val/ or test/."""
    folders, _ = _entries(folder, found)
    images, masks = _image_and_mask_folder(folders)
    if images is None or masks is None:
        found.problems.append((str(folder), f"holds no folder of {'images' if images is None else 'masks'}"))
        return
    _pair_up(images, masks, part, found)


def _list_two_folders(images: Path, masks: Path, found: Pairs) -> None:
    """The pairs of images/ and masks/, which may hold train/, val/ and test/ each."""
    folders, files = _entries(images, found)
    if folders and not any(_is_image(name) for name in files):
        inner, _ = _entries(masks, found)
        by_part = {PARTS[name.lower()]: folder for name, folder in inner.items() if name.lower() in PARTS}
        for name, folder in folders.items():
            part = PARTS.get(name.lower())
            if part is None or part not in by_part:
                found.problems.append(
                    (str(folder), f"has no folder of that name in {masks}, or is no train, val, test")
                )
            else:
                _pair_up(folder, by_part[part], part, found)
        return
    _pair_up(images, masks, None, found)


def _list_volumes(files: Mapping[str, Path], found: Pairs) -> None:
    """Multi-page TIFF files train-volume.tif and train-labels.tif; a volume without labels is left out."""
    kinds: dict[str, dict[str, Path]] = {}
    for name, path in files.items():
        match = VOLUME.fullmatch(Path(name).stem)
        if match and path.suffix.lower() in TIFF:
            kind = "image" if match["kind"].lower().startswith(("v", "i")) else "mask"
            kinds.setdefault(match["name"].lower(), {})[kind] = path
    for name, both in kinds.items():
        if len(both) == 2:
            part = PARTS.get(name) if len(kinds) > 1 else None
            found.pairs.append(Pair(str(both["image"]), ((None, str(both["mask"])),), part))
        else:
            found.ignored.append((str(next(iter(both.values()))), "has no partner"))
    if len({pair.part for pair in found.pairs}) == 1:  # all of them are to be split
        found.pairs = [Pair(pair.image, pair.masks, None) for pair in found.pairs]


def _pair_up(images: Path, masks: Path, part: str | None, found: Pairs) -> None:
    """Each image of one folder with its mask, or its masks by class, of the other."""
    stems = _by_stem(images, found)
    folders, files = _entries(masks, found)
    single = _by_stem(masks, found, files)
    by_class = {name: _by_stem(folder, found) for name, folder in folders.items()}
    used: set[str] = set()
    named = _masks_by_class(stems, single)
    for stem in sorted(stems, key=natural_order):
        own = next((single[name] for name in _mask_names(stem) if name in single), None)
        if own is not None:
            chosen: list[tuple[str | None, str]] = [(None, own)]
        else:
            chosen = [(name, files[stem]) for name, files in by_class.items() if stem in files]
            chosen += named.get(stem, [])
        if chosen:
            used.update(path for _, path in chosen)
            found.pairs.append(Pair(stems[stem], tuple(sorted(chosen, key=lambda item: item[0] or "")), part))
        else:
            found.problems.append((stems[stem], f"has no mask: {stem}.png or another image {stem}.* in {masks}"))
    every = [*single.values(), *(path for files in by_class.values() for path in files.values())]
    found.problems += [(path, f"has no image in {images}") for path in every if path not in used]


def _masks_by_class(stems: Iterable[str], single: Mapping[str, str]) -> dict[str, list[tuple[str | None, str]]]:
    """Masks "<stem>_<class>" by the longest stem of an image that their name begins with."""
    known = set(stems)
    found: dict[str, list[tuple[str | None, str]]] = {}
    for name, path in single.items():
        pieces = [match.start() for match in re.finditer("_", name)]
        stem = next((name[:end] for end in reversed(pieces) if name[:end] in known), None)
        if stem is not None and name not in known:
            found.setdefault(stem, []).append((name[len(stem) + 1 :], path))
    return found


def _mask_names(stem: str) -> list[str]:
    """The names that the mask of an image may have, without suffix."""
    cased = [suffix.upper() for suffix in MASK_SUFFIXES]
    return [stem, *(stem + suffix for suffix in (*MASK_SUFFIXES, *cased))]


def _by_stem(folder: Path, found: Pairs, files: Mapping[str, Path] | None = None) -> dict[str, str]:
    """The image files of a folder by their name without suffix; two of one name are a problem."""
    if files is None:
        _, files = _entries(folder, found)
    stems: dict[str, str] = {}
    for name, path in files.items():
        stem = Path(name).stem
        if not _is_image(name):
            found.ignored.append((str(path), "is no image by its name"))
        elif stem in stems:
            found.problems.append((str(path), f"has the name of {stems[stem]}"))
        else:
            stems[stem] = str(path)
    return stems


def _entries(folder: Path, found: Pairs) -> tuple[dict[str, Path], dict[str, Path]]:
    """The folders and the files in `folder`, without hidden ones."""
    folders, files = {}, {}
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith((".", "__MACOSX")):
                found.ignored.append((entry.path, "is hidden"))
            elif entry.is_dir():
                folders[entry.name] = folder / entry.name
            else:
                files[entry.name] = folder / entry.name
    return folders, files


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in EXTENSIONS
