"""COCO annotations: one .json for all images of a part.

Source: Lin et al. 2014, arXiv:1405.0312; the format of cocodataset.org.
Boxes are x, y, width, height there, in pixels from the top left corner.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vision.data.box_listing import Box, BoxListing, ImageRecord
from zoo.data.listing import PARTS
from zoo.errors import DataError, nearest

ROBOFLOW = "_annotations.coco.json"
WANTED = ("images", "annotations", "categories")


def find_coco_files(root: Path) -> dict[Path, str | None]:
    """The annotation files of a folder, or the file itself, with the part that each is of; None where it names none.

    Raises: DataError if two files are of one part.
    """
    if root.is_file():
        return {root: None} if root.suffix.lower() == ".json" else {}
    places = [*sorted(root.glob("*.json")), *sorted((root / "annotations").glob("*.json")), *root.glob(f"*/{ROBOFLOW}")]
    found: dict[Path, str | None] = {}
    for place in places:
        part = _part(place)
        if part is not None:
            other = next((file for file, taken in found.items() if taken == part), None)
            if other is not None:
                raise DataError(f"{other} and {place} are both of the part {part!r}. Pass one of them as the path.")
            found[place] = part
    return found or {place: None for place in places if len(places) == 1}


def list_coco(files: Mapping[Path, str | None], *, root: Path, images: Path | None) -> BoxListing:
    """The images and boxes of COCO files; no image is opened here.

    images: folder of the images; None looks for it.
    Raises: DataError for a file that is no JSON or lacks a part of it, and for files whose classes differ.
    """
    listing = BoxListing()
    seen: dict[str, Path] = {}
    for file, part in files.items():
        content = _content(file)
        classes = _classes(file, content["categories"])
        names = tuple(classes[number] for number in sorted(classes))
        if listing.classes is not None and names != listing.classes:
            raise DataError(f"{file} has the classes {', '.join(names)}, others have {', '.join(listing.classes)}.")
        listing.classes = names
        folders = [images] if images is not None else _image_folders(file, root)
        boxes = _boxes(file, content, classes, listing)
        for image in content["images"]:
            _add(listing, file, image, part, boxes, folders, seen)
    return listing


def _add(
    listing: BoxListing,
    file: Path,
    image: Mapping[str, Any],
    part: str | None,
    boxes: Mapping[Any, list[Box]],
    folders: Sequence[Path],
    seen: dict[str, Path],
) -> None:
    name = str(image["file_name"])
    path = next((str(folder / name) for folder in folders if (folder / name).is_file()), None)
    if path is None:
        looked = ", ".join(map(str, folders[:3]))
        listing.problems.append((name, f"is named by {file} and is not there; looked in {looked}"))
    elif path in seen:
        listing.problems.append((path, f"is named twice, by {seen[path]} and {file}"))
    else:
        seen[path] = file
        height, width = image.get("height"), image.get("width")
        size = (int(height), int(width)) if height and width else None
        listing.records.append(ImageRecord(path, tuple(boxes.get(image["id"], ())), part, str(file), size))


def _content(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError) as error:
        raise DataError(f"{file} is no JSON: {error}") from error
    if not isinstance(content, dict) or any(not isinstance(content.get(key), list) for key in WANTED):
        keys = list(content) if isinstance(content, dict) else [type(content).__name__]
        raise DataError(
            f"{file} is no COCO file: it needs the lists {', '.join(WANTED)} and has {', '.join(keys[:6])}."
        )
    for key, fields in (("images", ("id", "file_name")), ("categories", ("id", "name"))):
        for row in content[key]:
            missing = [name for name in fields if not isinstance(row, dict) or name not in row]
            if missing:
                raise DataError(f"{file}: one of its {key} has no {missing[0]!r}: {str(row)[:80]}")
    return content


def _classes(file: Path, categories: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    classes = {row["id"]: str(row["name"]) for row in categories}
    if len(set(classes.values())) < len(categories) or not classes:
        names = [str(row["name"]) for row in categories]
        twice = next((name for name in names if names.count(name) > 1), None)
        raise DataError(f"{file} has {'no categories' if twice is None else f'the category {twice!r} twice'}.")
    return classes


def _boxes(
    file: Path, content: Mapping[str, Any], classes: Mapping[int, str], listing: BoxListing
) -> dict[Any, list[Box]]:
    """The boxes by the number of their image; what cannot be one is noted in `listing`."""
    known = {image["id"] for image in content["images"]}
    boxes: dict[Any, list[Box]] = {}
    for number, row in enumerate(content["annotations"]):
        where = f"annotation {row.get('id', number) if isinstance(row, dict) else number}"
        missing = [key for key in ("image_id", "category_id", "bbox") if not isinstance(row, dict) or key not in row]
        if missing:
            listing.problems.append((str(file), f"has no {missing[0]!r} in {where}"))
        elif row["image_id"] not in known:
            listing.problems.append(
                (str(file), f"has the image {row['image_id']!r} in {where}, which it does not list")
            )
        elif row["category_id"] not in classes:
            hint = nearest(str(row["category_id"]), map(str, classes))
            listing.problems.append((str(file), f"has the category {row['category_id']!r} in {where}. {hint}"))
        elif not _is_box(row["bbox"]):
            listing.problems.append((str(file), f"has the bbox {row['bbox']!r} in {where}; four numbers are needed"))
        else:
            x, y, width, height = map(float, row["bbox"])
            box = Box(classes[row["category_id"]], (x, y, x + width, y + height), crowd=bool(row.get("iscrowd", 0)))
            boxes.setdefault(row["image_id"], []).append(box)
    return boxes


def _is_box(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(number, int | float) and not isinstance(number, bool) for number in value)
    )


def _part(file: Path) -> str | None:
    """The part that a file is of by its name or, of Roboflow's, by its folder: "instances_train2017.json" is train."""
    name = file.parent.name if file.name == ROBOFLOW else file.stem
    return next((PARTS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in PARTS), None)


def _image_folders(file: Path, root: Path) -> list[Path]:
    """Where the images of a file may lie, best first."""
    base = root if root.is_dir() else file.parent
    stem = re.sub(r"^(instances|annotations)_", "", file.stem)
    places = [file.parent, base / stem, base / "images" / stem, base / "images", base]
    if not root.is_dir():
        places += [file.parent.parent / stem, file.parent.parent / "images" / stem, file.parent.parent / "images"]
    return [place for place in dict.fromkeys(places) if os.path.isdir(place)]
