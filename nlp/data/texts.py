"""Labelled texts to bundles for classification."""

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch

from nlp.data.encoding import TextEncoder
from nlp.data.listing import LAYOUT, Listing, Record, is_table, list_folder, list_table, sorted_classes
from nlp.data.sources import TextSource
from nlp.data.tokenizers import Tokenizer, check_tokenizer, tokenizer_from_dict, train_tokenizer
from zoo.data import Bundle, group_split, split_fractions, stratified_split
from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.data.targets import check_classes
from zoo.errors import DataError, check_name, nearest
from zoo.records import TextPreprocessing

logger = logging.getLogger(__name__)

TASK = "nlp/classification"
DEFAULT_TOKENIZER = "whitespace"
OnError = Literal["raise", "skip"]
SHOWN = 5  # rows that an error lists


def read_texts(
    path: str | PathLike[str],
    *,
    preprocessing: TextPreprocessing | Mapping[str, Any] | None = None,
    tokenizer: str | Mapping[str, Any] | None = None,
    tokenizer_options: Mapping[str, Any] | None = None,
    max_length: int | None = None,
    classes: Sequence[str] | None = None,
    validation: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
    on_error: OnError = "raise",
    text_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
) -> Bundle:
    """Labelled texts to a bundle. `path` is one of

    - a .csv, .tsv or .parquet file with a column of texts and one of labels, and `split` if it is to decide;
    - a folder with one sub-folder of .txt files per class;
    - a folder with train/ and test/ (and validation/), each with such class folders, as IMDb comes.

    preprocessing: of the weights that will be used: names their tokenizer. A `tokenizer` goes over it.
    tokenizer:     name of one whose vocabulary is made of the training part, "whitespace" if None; or what `to_dict()`
                   of a finished one gave.
    tokenizer_options: of the tokenizer's training, such as min_frequency and max_size of "whitespace".
    max_length:    most tokens of a text; None: what `preprocessing` says, which it must not exceed, else any number.
    classes:       names in the order of the outputs, to fit a trained model; None: the labels found, sorted.
    validation:    share of texts to split off where the data do not name a validation part; `test` likewise.
    on_error:      "raise" stops at texts and labels that are missing; "skip" leaves them out and reports them in
                   `Bundle.skipped`.
    text_column:   and the other columns: None finds them by the names that are usual.
    group_column:  of a table, whose values are groups, such as authors: none is in two of the parts that are drawn.
    Returns:       a bundle whose `origin` gives the same bundle again by read_texts(**origin), and whose
                   `preprocessing` is the TextEncoder of its texts.
    Raises:        DataError naming the file and line at fault.
    """
    check_name("way to treat errors", on_error, ("raise", "skip"))
    split_fractions(validation=validation, test=test)  # for its checks
    record = TextPreprocessing(**preprocessing) if isinstance(preprocessing, Mapping) else preprocessing
    if isinstance(tokenizer, str):
        check_tokenizer(tokenizer, tokenizer_options or {})
    root = Path(os.path.abspath(path))
    columns = {
        "text_column": text_column,
        "label_column": label_column,
        "split_column": split_column,
        "group_column": group_column,
    }
    origin = {
        "path": str(root), "preprocessing": None if record is None else asdict(record), "tokenizer": tokenizer,
        "tokenizer_options": dict(tokenizer_options or {}), "max_length": max_length,
        "classes": None if classes is None else list(classes), "validation": validation, "test": test, "seed": seed,
        "on_error": on_error, **columns,
    }  # fmt: skip
    parts, names, listing = _listed(root, columns, classes, on_error, validation=validation, test=test, seed=seed)
    made = _tokenizer(tokenizer, tokenizer_options or {}, record, [row.text for row in parts[TRAIN]])
    encoder = TextEncoder(made, max_length=_longest(max_length, record), text_column=listing.text_column)
    return _bundle(parts, names, encoder, origin=origin, skipped=(*listing.problems, *listing.ignored))


def _listed(
    root: Path,
    columns: Mapping[str, str | None],
    classes: Sequence[str] | None,
    on_error: OnError,
    *,
    validation: float,
    test: float,
    seed: int,
) -> tuple[dict[str, list[Record]], tuple[str, ...], Listing]:
    """The usable records by part, the class names in the order of the outputs, and all that was found."""
    listing = _list(root, columns)
    names = _classes(listing, classes)
    _report(listing.problems, on_error)
    return _parts(listing.records, names, validation=validation, test=test, seed=seed), names, listing


def _bundle(
    parts: Mapping[str, Sequence[Record]],
    names: tuple[str, ...],
    encoder: TextEncoder,
    *,
    origin: Mapping[str, Any],
    skipped: tuple[tuple[str, str], ...],
) -> Bundle:
    sources = {part: _source(rows, names, encoder) for part, rows in parts.items()}
    check_classes({part: source.targets() for part, source in sources.items()}, "classification", names)
    return Bundle(
        train=sources[TRAIN],
        validation=sources.get(VALIDATION),
        test=sources.get(TEST),
        task=TASK,
        kind="classification",
        classes=names,
        preprocessing=encoder,
        skipped=skipped,
        origin=origin,
        fingerprint=_fingerprint(parts, encoder),
        groups=_groups(parts),
    )


def _list(root: Path, columns: Mapping[str, str | None]) -> Listing:
    if not root.exists():
        raise DataError(f"There is nothing at {root}. {LAYOUT}")
    if root.is_dir():
        named = [name for name, value in columns.items() if value is not None]
        if named:
            raise DataError(f"{named[0]} is for tables, and {root} is a folder.")
        return list_folder(root)
    if not is_table(root):
        raise DataError(f"{root} is neither a folder nor a table. {LAYOUT}")
    return list_table(root, **columns)


def _classes(listing: Listing, classes: Sequence[str] | None) -> tuple[str, ...]:
    """The class names in the order of the outputs; texts of other classes than those given become problems."""
    if classes is None:
        return sorted_classes(record.label for record in listing.records if record.part in (None, TRAIN))
    listing.problems += [
        (
            record.place,
            f"is of the class {record.label!r}, which the model does not know. {nearest(record.label, classes)}",
        )
        for record in listing.records
        if record.label not in classes
    ]
    listing.records = [record for record in listing.records if record.label in classes]
    return tuple(classes)


def _report(problems: Sequence[tuple[str, str]], on_error: OnError) -> None:
    """Raises for problems, or logs how many texts are left out."""
    if not problems:
        return
    lines = [f"{place} {reason}" for place, reason in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"... and {len(problems) - SHOWN} more")
    count = "1 fault" if len(problems) == 1 else f"{len(problems)} faults"
    text = "\n  ".join(lines)
    if on_error == "raise":
        raise DataError(f'{count} in the texts; on_error="skip" leaves them out:\n  {text}')
    logger.warning("%s, left out:\n  %s", count, text)


def _parts(
    records: Sequence[Record], names: Sequence[str], *, validation: float, test: float, seed: int
) -> dict[str, list[Record]]:
    """Records by part: as they say themselves, and by a stratified draw from those of train or of none."""
    parts = {part: [record for record in records if record.part == part] for part in (VALIDATION, TEST)}
    splittable = [record for record in records if record.part in (None, TRAIN)]
    if not splittable:
        raise DataError("There are no texts left to train on.")
    codes = {name: code for code, name in enumerate(names)}
    for record in records:
        if record.label not in codes:
            raise DataError(f"{record.place} is of the class {record.label!r}, of which the training part has no text.")
    fractions = split_fractions(validation=0.0 if parts[VALIDATION] else validation, test=0.0 if parts[TEST] else test)
    found = {TRAIN: splittable}
    if len(fractions) > 1:
        labels = [codes[record.label] for record in splittable]
        groups = [record.group for record in splittable]
        if None in groups:
            drawn = stratified_split(labels, fractions=fractions, seed=seed, names=names)
        else:
            drawn = group_split(groups, fractions=fractions, seed=seed)
        found = {part: [splittable[row] for row in rows.tolist()] for part, rows in drawn.items()}
    return found | {part: rows for part, rows in parts.items() if rows}


def _tokenizer(
    wanted: str | Mapping[str, Any] | None,
    options: Mapping[str, Any],
    record: TextPreprocessing | None,
    texts: Sequence[str],
) -> Tokenizer:
    """The tokenizer asked for, trained on `texts` if it is to be made of them."""
    if isinstance(wanted, Mapping):
        return tokenizer_from_dict(wanted)
    if wanted is None and record is not None:
        check_tokenizer("hf", {**options, "reference": record.tokenizer})
        return train_tokenizer("hf", texts, **{**options, "reference": record.tokenizer})
    return train_tokenizer(wanted or DEFAULT_TOKENIZER, texts, **options)


def _longest(wanted: int | None, record: TextPreprocessing | None) -> int | None:
    """The most tokens of a text, as the user or the model's weights say."""
    limit = None if record is None else record.max_length
    if wanted is None or limit is None:
        return limit if wanted is None else wanted
    if wanted > limit:
        raise ValueError(f"max_length is {wanted}, and the model was built for {limit} tokens at most.")
    return wanted


def _groups(parts: Mapping[str, Sequence[Record]]) -> dict[str, torch.Tensor]:
    """By part the number of the group of each text [N]; nothing where texts have no groups."""
    names = sorted({record.group for records in parts.values() for record in records if record.group is not None})
    numbers = {name: number for number, name in enumerate(names)}
    if not names:
        return {}
    return {part: torch.tensor([numbers[str(record.group)] for record in records]) for part, records in parts.items()}


def _source(records: Sequence[Record], names: Sequence[str], encoder: TextEncoder) -> TextSource:
    codes = {name: code for code, name in enumerate(names)}
    texts = [record.text for record in records]
    targets = torch.tensor([codes[record.label] for record in records])
    return TextSource(texts, encoder.encode(texts), targets, pad=encoder.tokenizer.pad)


def _fingerprint(parts: Mapping[str, Sequence[Record]], encoder: TextEncoder) -> str:
    """Of the texts, their classes and parts, and the tokens made of them."""
    digest = hashlib.sha256(json.dumps(encoder.to_dict(), sort_keys=True).encode())
    for part, records in sorted(parts.items()):
        for record in records:
            digest.update(f"{part}|{record.label}|{len(record.text)}|{record.text}\n".encode())
    return digest.hexdigest()
