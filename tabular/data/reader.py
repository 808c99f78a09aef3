"""Tables to bundles for prediction, and new rows to what a trained model predicts for.

Shapes: N rows.
"""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tabular.data.encoding import encode, fit_categories, fit_dates, fit_number, strangers
from tabular.data.files import check_frame, file_digest, first_row, read_frame, read_parts, typed
from tabular.data.inference import Guess, Wishes, find_target, guess_columns
from tabular.data.leaks import giveaways
from tabular.data.options import COLUMN_LISTS, TableOptions
from tabular.data.report import describe, warnings_of
from tabular.data.schema import Column, ScaleMethod, TableSchema, check_columns
from tabular.data.source import TableSource
from tabular.data.splitting import explicit_parts, parts_of
from tabular.data.targets import ProblemChoice, Target, known_target, read_target
from tabular.data.values import dates, numbers
from zoo.data import Bundle, Source
from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

TASK = "tabular/prediction"


def read_table(
    path: str | PathLike[str],
    *,
    target: str | None = None,
    categorical: str | Sequence[str] = (),
    continuous: str | Sequence[str] = (),
    dates: str | Sequence[str] = (),
    ignore: str | Sequence[str] = (),
    problem: ProblemChoice = "auto",
    classes: Sequence[str] | None = None,
    encoding: ScaleMethod = "quantile",
    min_frequency: int = 2,
    missing: str | Sequence[str] = ("?",),
    validation: float = 0.2,
    test: float = 0.0,
    split_column: str = "split",
    group_column: str | None = None,
    time_column: str | None = None,
    seed: int = 0,
    schema: TableSchema | Mapping[str, Any] | None = None,
    show: bool = True,
) -> Bundle:
    """A .csv, .tsv or .parquet file, or a folder of train, validation and test files, to a bundle.

    What each column is, is inferred and shown (logged) before anything is trained.

    All options: see `tabular.data.options.TableOptions`.
    Returns:     a bundle whose `origin` gives the same bundle again by read_table(**origin), and whose `fingerprint`
                 tells whether the files have changed since.
    Raises:      DataError naming the file, column or row at fault; UnknownNameError for a choice that is none.
    """
    options = TableOptions(
        target=target, categorical=categorical, continuous=continuous, dates=dates, ignore=ignore, problem=problem,
        classes=classes, encoding=encoding, min_frequency=min_frequency, missing=missing, validation=validation,
        test=test, split_column=split_column, group_column=group_column, time_column=time_column, seed=seed,
        schema=schema, show=show,
    )  # fmt: skip
    root = Path(os.path.abspath(path))
    frame, parts = read_parts(root, missing=options.missing_texts)
    origin = {"path": str(root), **options.as_plain()}
    return _bundle(frame, parts, options, title=root.name, origin=origin, fingerprint=file_digest(root))


def table_bundle(
    frame: "pd.DataFrame",
    *,
    target: str | None = None,
    categorical: str | Sequence[str] = (),
    continuous: str | Sequence[str] = (),
    dates: str | Sequence[str] = (),
    ignore: str | Sequence[str] = (),
    problem: ProblemChoice = "auto",
    classes: Sequence[str] | None = None,
    encoding: ScaleMethod = "quantile",
    min_frequency: int = 2,
    validation: float = 0.2,
    test: float = 0.0,
    split_column: str = "split",
    group_column: str | None = None,
    time_column: str | None = None,
    seed: int = 0,
    schema: TableSchema | Mapping[str, Any] | None = None,
    show: bool = True,
) -> Bundle:
    """A data frame in memory to a bundle, as `read_table` does for files."""
    import pandas as pd

    options = TableOptions(
        target=target, categorical=categorical, continuous=continuous, dates=dates, ignore=ignore, problem=problem,
        classes=classes, encoding=encoding, min_frequency=min_frequency, missing=(), validation=validation,
        test=test, split_column=split_column, group_column=group_column, time_column=time_column, seed=seed,
        schema=schema, show=show,
    )  # fmt: skip
    check_frame(frame, "the frame")
    frame = typed(frame.rename(columns=str).reset_index(drop=True))
    digest = f"{int(pd.util.hash_pandas_object(frame.astype('string')).to_numpy().sum()):x}"
    return _bundle(frame, None, options, title="data frame", origin={}, fingerprint=digest)


def read_rows(items: Sequence[str | Path], schema: TableSchema) -> "tuple[pd.DataFrame, list[str]]":
    """Files, or rows written as JSON objects, to one frame with the schema's columns, and a name for each row.

    The target comes along where all items have it.
    Raises: DataError naming the item, and the columns that it lacks.
    """
    import pandas as pd

    frames, names = [], []
    for number, item in enumerate(items, 1):
        text = str(item).strip()
        if text.startswith("{"):
            frame, first, where = _json_row(text), None, f"row {number}"
        else:
            path = Path(item)
            frame, where = read_frame(path, missing=schema.missing), path.name
            first = first_row(path)
        check_columns(list(frame.columns), schema.names, where=where)
        extra = [name for name in frame.columns if name not in (*schema.names, *schema.dropped, schema.target)]
        if extra:
            logger.warning("%s: the run does not know the columns %s, and leaves them out", where, ", ".join(extra))
        kept = [*schema.names, *([schema.target] if schema.target in frame.columns else [])]
        encode(frame, schema, where=where)  # for its checks, while the file at fault is known
        _warn_of_strangers(frame, schema, where)
        frames.append(frame[kept].astype(object))
        names += [where] if first is None else [f"{where}:{index + first}" for index in range(len(frame))]
    common = [name for name in frames[0].columns if all(name in frame.columns for frame in frames)]
    return pd.concat([frame[common] for frame in frames], ignore_index=True), names


def _warn_of_strangers(frame: "pd.DataFrame", schema: TableSchema, where: str) -> None:
    for sentence in strangers(frame, schema):
        logger.warning("%s: %s", where, sentence)


def _json_row(text: str) -> "pd.DataFrame":
    import pandas as pd

    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{text[:60]!r} is no JSON object of columns and values: {error}.") from error
    return typed(pd.DataFrame([row]))


def _bundle(
    frame: "pd.DataFrame",
    parts: Sequence[str] | None,
    options: TableOptions,
    *,
    title: str,
    origin: Mapping[str, Any],
    fingerprint: str,
) -> Bundle:
    known = options.known
    frame, given = explicit_parts(frame, parts, split_column=options.split_column)
    name = find_target(list(frame.columns), options.target) if known is None else known.target
    check_columns(list(frame.columns), [name], where=title)
    frame, given, skipped = _without_target(frame, given, name, title)
    answers = (
        read_target(frame[name], problem=options.problem, classes=options.classes)
        if known is None
        else known_target(frame, known)
    )
    rows, groups = parts_of(frame, answers, given, options, where=title)
    if known is None:
        wishes = Wishes(**{**{kind: getattr(options, kind) for kind in COLUMN_LISTS}, "ignore": options.left_out})
        guesses = guess_columns(frame, target=name, wishes=wishes)
        known = _fit(frame.iloc[rows[TRAIN]], guesses, name, answers.of(rows[TRAIN]), options)
        if options.show:
            _tell(frame, guesses, known, answers, rows, title=title)
    table = encode(frame, known, where=title)
    if options.known is not None:
        _warn_of_strangers(frame, known, title)
    hashes = row_numbers(frame, [*known.names, known.target]) if len(rows) > 1 else None
    sources: dict[str, Source] = {
        part: TableSource(
            table.rows(torch.from_numpy(index)), torch.from_numpy(answers.values[index]),
            hashes=None if hashes is None else hashes[index],
        )
        for part, index in rows.items()
    }  # fmt: skip
    return Bundle(
        train=sources[TRAIN], validation=sources.get(VALIDATION), test=sources.get(TEST), task=TASK,
        kind="regression" if known.classes is None else "classification", classes=known.classes,
        input_shape=(len(known.columns),), preprocessing=known, skipped=skipped, origin=origin,
        fingerprint=fingerprint, groups={} if groups is None else {part: groups[index] for part, index in rows.items()},
    )  # fmt: skip


def row_numbers(frame: "pd.DataFrame", columns: Sequence[str]) -> "np.ndarray[Any, Any]":
    """A number for each row, uint64 [N], equal for rows whose values in these columns are equal."""
    import pandas as pd

    kept = frame[[name for name in columns if name in frame.columns]]
    found: np.ndarray[Any, Any] = pd.util.hash_pandas_object(kept, index=False).to_numpy()
    return found


def _without_target(
    frame: "pd.DataFrame", parts: "np.ndarray[Any, Any] | None", target: str, title: str
) -> "tuple[pd.DataFrame, np.ndarray[Any, Any] | None, tuple[tuple[str, str], ...]]":
    """The rows that have a target, their parts, and what was left out."""
    there = frame[target].notna().to_numpy()
    if not there.any():
        raise DataError(f"{title}: the target {target!r} has no value in any row.")
    if there.all():
        return frame, parts, ()
    reason = f"{int((~there).sum())} of {len(there)} rows have no target {target!r}"
    logger.warning("%s: %s and are left out", title, reason)
    return frame[there].reset_index(drop=True), None if parts is None else parts[there], ((title, reason),)


def _fit(
    frame: "pd.DataFrame",
    guesses: Sequence[Guess],
    name: str,
    target: Target,
    options: TableOptions,
) -> TableSchema:
    """The schema from the training rows."""
    dropped = {guess.name: guess.note for guess in guesses if guess.kind == "dropped"}
    columns: list[Column] = []
    for guess in guesses:
        series = frame[guess.name]
        if guess.kind == "dropped":
            continue
        if not series.notna().any():
            dropped[guess.name] = "empty in the training rows"
        elif guess.kind == "continuous":
            columns.append(fit_number(guess.name, numbers(series, where="the table"), method=options.encoding))
        elif guess.kind == "date":
            moments = dates(series, guess.format, where="the table")
            columns.append(fit_dates(guess.name, moments, format=guess.format, method=options.encoding))
        else:
            columns.append(fit_categories(guess.name, series, min_frequency=options.min_frequency))
    if not columns:
        raise DataError(f"No column is left to predict {name!r} from: all are empty in the training rows.")
    mean, std = target.moments()
    return TableSchema(
        columns=tuple(columns), target=name, problem="regression" if target.classes is None else "classification",
        classes=target.classes, target_mean=mean, target_std=std, dropped=dropped,
        missing=tuple(options.missing_texts),
    )  # fmt: skip


def _tell(
    frame: "pd.DataFrame",
    guesses: list[Guess],
    schema: TableSchema,
    target: Target,
    rows: "Mapping[str, np.ndarray[Any, Any]]",
    *,
    title: str,
) -> None:
    """Logs what was found, and warns of what to look at."""
    index = rows[TRAIN]
    classes = None if schema.classes is None else len(schema.classes)
    leaks = giveaways(frame.iloc[index], guesses, target.values[index], classes=classes)
    counts = {part: len(found) for part, found in rows.items()}
    logger.info("%s", describe(title, guesses, schema, target=target.values[index], parts=counts, leaks=leaks))
    for sentence in warnings_of(guesses, leaks):
        logger.warning("%s: %s", title, sentence)
