"""Tables of ratings: a user, an item and what the one gave the other.

Shapes: N rows.
"""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tabular.data.files import SUFFIXES, check_frame, file_digest, first_row, read_frame, read_parts
from tabular.data.options import listed
from tabular.data.schema import check_columns
from tabular.data.splitting import explicit_parts, split_rows
from tabular.data.targets import Target
from tabular.data.values import Array, numbers, texts
from zoo.data import ArraySource, Bundle, Source
from zoo.data.splits import TEST, TRAIN, VALIDATION
from zoo.errors import DataError, check_name

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

TASK = "tabular/recommendation"
MOST_NAMED = 5  # users in one warning
NAMES: Mapping[str, tuple[str, ...]] = {
    "user": ("user", "user_id", "userid", "uid", "customer", "customer_id", "reviewer", "reviewer_id"),
    "item": (
        "item", "item_id", "itemid", "iid", "movie", "movie_id", "movieid", "product", "product_id", "book_id", "isbn",
    ),
    "rating": ("rating", "ratings", "score", "stars", "overall"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingSchema:
    """What a run knows of its table of ratings.

    user, item, rating: names of the columns.
    users, items:       texts of those that training has seen, in the order of their numbers from 1 on.
    mean, low, high:    of the training ratings.
    """

    user: str
    item: str
    rating: str
    users: tuple[str, ...]
    items: tuple[str, ...]
    mean: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON-able data; `from_dict` reads it back."""
        return {**asdict(self), "users": list(self.users), "items": list(self.items)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RatingSchema":
        """The schema that `as_dict` wrote."""
        return cls(**{**values, "users": tuple(values["users"]), "items": tuple(values["items"])})

    def pairs(self, frame: "pd.DataFrame") -> Array:
        """The numbers of user and item of each row, int64 [N, 2], 0 for those that training has not seen."""
        found = [_numbers_of(frame[self.user], self.users), _numbers_of(frame[self.item], self.items)]
        return np.stack(found, axis=1)


def rating_schema_from(schema: RatingSchema | Mapping[str, Any]) -> RatingSchema:
    """The schema itself, or the one that a mapping from JSON holds."""
    return schema if isinstance(schema, RatingSchema) else RatingSchema.from_dict(schema)


def read_ratings(
    path: str | PathLike[str],
    *,
    user: str | None = None,
    item: str | None = None,
    rating: str | None = None,
    missing: str | Sequence[str] = ("?",),
    validation: float = 0.1,
    test: float = 0.0,
    split_column: str = "split",
    seed: int = 0,
    schema: RatingSchema | Mapping[str, Any] | None = None,
) -> Bundle:
    """A .csv, .tsv or .parquet file with a column each for users, items and ratings to a bundle.

    user, item, rating: names of the columns; None takes the one that is called so or alike (user_id, movie_id, stars).
    schema:             of a trained run, to read other rows in its form.
    missing:            texts that stand for a missing value, beside the usual ones.
    validation:         share of the rows to split off; `test` likewise. A column `split_column` of the values train,
                        validation and test goes before it.
    Raises:             DataError naming the file or column at fault.
    """
    root = Path(os.path.abspath(path))
    options: dict[str, Any] = {
        "user": user, "item": item, "rating": rating, "validation": validation, "test": test,
        "split_column": split_column, "seed": seed,
        "schema": None if schema is None else rating_schema_from(schema).as_dict(),
    }  # fmt: skip
    frame, parts = read_parts(root, missing=listed(missing))
    origin = {"path": str(root), **options, "missing": listed(missing)}
    return _bundle(frame, parts, title=root.name, origin=origin, fingerprint=file_digest(root), **options)


def rating_bundle(
    frame: "pd.DataFrame",
    *,
    user: str | None = None,
    item: str | None = None,
    rating: str | None = None,
    validation: float = 0.1,
    test: float = 0.0,
    split_column: str = "split",
    seed: int = 0,
    schema: RatingSchema | Mapping[str, Any] | None = None,
) -> Bundle:
    """A data frame in memory to a bundle, as `read_ratings` does for files."""
    import pandas as pd

    check_frame(frame, "the frame")
    frame = frame.rename(columns=str).reset_index(drop=True)
    digest = f"{int(pd.util.hash_pandas_object(frame.astype('string')).to_numpy().sum()):x}"
    return _bundle(
        frame, None, title="data frame", origin={}, fingerprint=digest, user=user, item=item, rating=rating,
        validation=validation, test=test, split_column=split_column, seed=seed, schema=schema,
    )  # fmt: skip


def read_pairs(items: Sequence[str | Path], schema: RatingSchema) -> "tuple[pd.DataFrame, list[str]]":
    """Files, JSON objects, or texts that name a user, to a frame with the schema's columns, and a name for each row.

    Rows without an item ask for the best ones of the user.
    """
    import pandas as pd

    frames, names = [], []
    for entry in items:
        text = str(entry).strip()
        path = Path(entry)
        if text.startswith("{"):
            frame, own = pd.DataFrame([_json_object(text)]), [text]
        elif path.is_file() or path.suffix.lower() in SUFFIXES:
            frame = read_frame(path)
            own = [f"{path.name}:{row}" for row in range(first_row(path), first_row(path) + len(frame))]
        else:
            frame, own = pd.DataFrame({schema.user: [text]}), [f"{schema.user} {text}"]
        check_columns(list(frame.columns), [schema.user], where=text if text.startswith("{") else path.name)
        strange = sorted(set(texts(frame[schema.user])[1]) - set(schema.users))
        if strange:
            logger.warning(
                "training has not seen the %s %s: answers are what holds for all users",
                schema.user, ", ".join(map(repr, strange[:MOST_NAMED])) + (" and more" if strange[MOST_NAMED:] else ""),
            )  # fmt: skip
        names += own
        frames.append(frame.reindex(columns=[schema.user, schema.item]).astype(object))
    return pd.concat(frames, ignore_index=True), names


def find_column(kind: str, given: str | None, columns: Sequence[str]) -> str:
    """The column of users, items or ratings: the one named, else the only one that is called so.

    Raises: DataError with all columns where none is, or several are; UnknownNameError for a wrong one.
    """
    if given is not None:
        check_name("column", given, columns)
        return given
    found = [name for name in columns if name.lower() in NAMES[kind]]
    if len(found) != 1:
        what = f"{' and '.join(map(repr, found))} could be it" if found else "no column is called so"
        raise DataError(
            f"Which column holds the {kind}? None was named, and {what}. Pass {kind}= (on the command line --data-set "
            f"{kind}=NAME) as one of: {', '.join(columns)}."
        )
    return found[0]


def _bundle(
    frame: "pd.DataFrame",
    parts: Sequence[str] | None,
    *,
    user: str | None,
    item: str | None,
    rating: str | None,
    validation: float,
    test: float,
    split_column: str,
    seed: int,
    schema: RatingSchema | Mapping[str, Any] | None,
    title: str,
    origin: Mapping[str, Any],
    fingerprint: str,
) -> Bundle:
    known = None if schema is None else rating_schema_from(schema)
    frame, given = explicit_parts(frame, parts, split_column=split_column)
    columns = [str(name) for name in frame.columns]
    if known is None:
        named = [
            find_column(kind, name, columns) for kind, name in (("user", user), ("item", item), ("rating", rating))
        ]
    else:
        named = [known.user, known.item, known.rating]
        check_columns(columns, named, where=title)
    whole = frame[named].notna().all(axis=1).to_numpy()
    skipped: tuple[tuple[str, str], ...] = ()
    if not whole.all():
        reason = f"{int((~whole).sum())} of {len(whole)} rows lack the user, the item or the rating"
        logger.warning("%s: %s and are left out", title, reason)
        skipped = ((title, reason),)
        frame, given = frame[whole].reset_index(drop=True), None if given is None else given[whole]
    if not len(frame):
        raise DataError(f"{title}: no row holds a user, an item and a rating.")
    ratings = numbers(frame[named[2]], where=title).astype(np.float32)
    if not np.isfinite(ratings).all():
        raise DataError(f"{title}: the column {named[2]!r} holds ratings that are not finite.")
    rows = split_rows(Target(ratings, None), given, validation=validation, test=test, seed=seed)
    if known is None:
        known = _fit(frame.iloc[rows[TRAIN]], named, ratings[rows[TRAIN]])
        _tell(frame, known, rows, title)
    pairs = known.pairs(frame)
    sources: dict[str, Source] = {part: ArraySource(pairs[index], ratings[index]) for part, index in rows.items()}
    return Bundle(
        train=sources[TRAIN], validation=sources.get(VALIDATION), test=sources.get(TEST), task=TASK, kind="regression",
        input_shape=(2,), preprocessing=known, skipped=skipped, origin=origin, fingerprint=fingerprint,
    )  # fmt: skip


def _fit(frame: "pd.DataFrame", named: Sequence[str], ratings: Array) -> RatingSchema:
    user, item, rating = named
    if len({user, item, rating}) < 3:
        raise DataError(f"User, item and rating must be three columns, got {', '.join(map(repr, named))}.")
    return RatingSchema(
        user=user, item=item, rating=rating, users=tuple(sorted(texts(frame[user])[1])),
        items=tuple(sorted(texts(frame[item])[1])), mean=float(ratings.mean(dtype=np.float64)),
        low=float(ratings.min()), high=float(ratings.max()),
    )  # fmt: skip


def _tell(frame: "pd.DataFrame", schema: RatingSchema, rows: Mapping[str, Array], title: str) -> None:
    counts = ", ".join(f"{len(index):,} {part}" for part, index in rows.items())
    density = len(rows[TRAIN]) / (len(schema.users) * len(schema.items))
    logger.info(
        "%s: ratings: %s; %d users (%r), %d items (%r), %.2f %% of all pairs; %r from %g to %g, mean %.3f",
        title, counts, len(schema.users), schema.user, len(schema.items), schema.item, 100 * density, schema.rating,
        schema.low, schema.high, schema.mean,
    )  # fmt: skip
    double = int(frame.duplicated([schema.user, schema.item]).sum())
    if double:
        logger.warning("%s: %d ratings are of a pair that is rated before; parts may share such pairs", title, double)


def _numbers_of(series: "pd.Series", known: Sequence[str]) -> Array:
    codes, names = texts(series)
    places = {text: index for index, text in enumerate(known, 1)}
    return np.array([places.get(name, 0) for name in names] + [0], dtype=np.int64)[codes]


def _json_object(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{text[:60]!r} is no JSON object of columns and values: {error}.") from error
    return found


def as_pairs(inputs: Any) -> torch.Tensor | None:
    """Pairs that are given as numbers [B, 2] already, else None."""
    if isinstance(inputs, ArraySource):
        return inputs.tensors[0]
    return inputs if isinstance(inputs, torch.Tensor) else None
