"""The reader of sentence pairs: from files to a bundle with tokenizers, a vocabulary and batches of like length."""

import logging
import os
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from nlp.data.parallel import LAYOUT, Column, Faults, OnError, Pairs, list_pairs
from nlp.data.tokenizers import Tokenizer, check_tokenizer, tokenizer_from_dict, train_tokenizer
from nlp.translation.options import PairOptions
from nlp.translation.pairs import PairDataset, PairTokenizers
from zoo.data import Bundle, DatasetSource, split_fractions
from zoo.data.bundle import fingerprint_of
from zoo.data.splits import TEST, TRAIN, VALIDATION, random_split
from zoo.errors import DataError, check_name
from zoo.records import TextPreprocessing

logger = logging.getLogger(__name__)

TASK = "nlp/translation"
# A tokenizer by name, to be trained; or as its own `to_dict`, as it is.
TokenizerChoice = str | Mapping[str, Any]
DEFAULT_OPTIONS: dict[str, dict[str, Any]] = {"whitespace": {"min_frequency": 2}}  # so that <unk> is learned too


def read_pairs(
    path: str | PathLike[str],
    *,
    target_path: str | PathLike[str] | None = None,
    source: Column | None = None,
    target: Column | None = None,
    tokenizer: str | Mapping[str, Any] | None = None,
    target_tokenizer: str | Mapping[str, Any] | None = None,
    tokenizer_options: Mapping[str, Any] | None = None,
    target_tokenizer_options: Mapping[str, Any] | None = None,
    joint: bool = False,
    max_length: int | None = None,
    validation: float = 0.1,
    test: float = 0.0,
    merge_answers: bool = False,
    seed: int = 0,
    on_error: OnError = "raise",
    preprocessing: TextPreprocessing | PairOptions | None = None,
) -> Bundle:
    """Sentence pairs to a bundle. `path` is one of

    - a folder with train.SOURCE and train.TARGET, and val.* and test.* where there are, such as train.de and train.en;
    - a file with a source on each line, with `target_path` for the targets;
    - a .tsv or .csv table. All files may be .gz.

    source, target:   endings of the files in a folder (None: of two the other, or both in alphabetical order), or the
                      columns of a table, by name where it has a first line of names, by number from 0 where not.
    tokenizer:        "whitespace", "character", "bpe", "wordpiece" or "hf" (or what `to_dict` of one gave), of both
                      sides unless `target_tokenizer` names another. Vocabularies come from the training part alone.
    tokenizer_options: of its training, such as vocab_size; "target_tokenizer_options" likewise.
    joint:            one tokenizer, trained on both sides together, for both.
    max_length:       most tokens, <eos> included; None: what `preprocessing` says. Training pairs that are longer on
                      a side are left out; other texts are cut, and judged by the whole right answer.
    validation, test: shares to split off where the data name no such part. Pairs with the same source stay together.
    merge_answers:    whether pairs of one source outside of the training part become one with several right answers.
    on_error:         "raise" stops at empty lines and lines without two columns; "skip" leaves them out and reports
                      them in `Bundle.skipped`.
    preprocessing:    of the model that will be trained; its tokenizer is taken where none is given.
    Returns:          a bundle whose `preprocessing` are the PairTokenizers.
    Raises:           DataError naming the file and line at fault.
    """
    check_name("way to treat errors", on_error, ("raise", "skip"))
    split_fractions(validation=validation, test=test)  # for its checks
    choice = _choose(
        tokenizer, target_tokenizer, tokenizer_options, target_tokenizer_options, joint, max_length, preprocessing
    )
    root = Path(os.path.abspath(path))
    other = None if target_path is None else Path(os.path.abspath(target_path))
    if not root.exists():
        raise DataError(f"There is nothing at {root}. {LAYOUT}")
    origin: dict[str, Any] = {
        "path": str(root), "target_path": None if other is None else str(other), "source": source, "target": target,
        **choice.options(), "validation": validation, "test": test, "merge_answers": merge_answers, "seed": seed,
        "on_error": on_error,
    }  # fmt: skip
    faults = Faults()
    parts = list_pairs(root, target_path=other, source=source, target=target, faults=faults)
    skipped = faults.check(on_error)
    parts = _split(parts, {VALIDATION: validation, TEST: test}, seed)
    return _bundle(parts, choice.tokenizers(parts[TRAIN]), merge_answers, origin, skipped)


def _choose(
    source: TokenizerChoice | None,
    target: TokenizerChoice | None,
    options: Mapping[str, Any] | None,
    target_options: Mapping[str, Any] | None,
    joint: bool,
    max_length: int | None,
    preprocessing: TextPreprocessing | PairOptions | None,
) -> "_Choice":
    """What the user wants, and where nothing is said what the model wants."""
    if source is None and isinstance(preprocessing, TextPreprocessing):
        source, options, joint = "hf", {"reference": preprocessing.tokenizer}, True
    elif source is None and isinstance(preprocessing, PairOptions):
        source, joint = preprocessing.tokenizer, preprocessing.joint or joint
        options = options or preprocessing.tokenizer_options or None
    if max_length is None and preprocessing is not None:
        max_length = preprocessing.max_length
    return _Choice(source or "whitespace", target, options, target_options, joint, max_length)


class _Choice:
    """Which tokenizers the user wants, checked before a file is read."""

    def __init__(
        self,
        source: TokenizerChoice,
        target: TokenizerChoice | None,
        options: Mapping[str, Any] | None,
        target_options: Mapping[str, Any] | None,
        joint: bool,
        max_length: int | None,
    ) -> None:
        if joint and (target is not None or target_options is not None):
            raise ValueError("joint means one tokenizer: leave target_tokenizer and target_tokenizer_options out.")
        if max_length is not None and max_length < 2:
            raise ValueError(f"max_length must be 2 or more (a token and <eos>), got {max_length}.")
        if target is None:
            target = source
            target_options = options if target_options is None else target_options
        self.sides = [(source, self._checked(source, options)), (target, self._checked(target, target_options))]
        self.joint = joint
        self.max_length = max_length

    @staticmethod
    def _checked(choice: TokenizerChoice, options: Mapping[str, Any] | None) -> dict[str, Any]:
        if isinstance(choice, str):
            found = dict(DEFAULT_OPTIONS.get(choice, {}) if options is None else options)
            check_tokenizer(choice, found)
            return found
        if options:
            raise ValueError("tokenizer_options are for a tokenizer that is to be trained; this one is.")
        return {}

    def options(self) -> dict[str, Any]:
        """As arguments of the reader."""
        (source, options), (target, target_options) = self.sides
        made: dict[str, Any] = {"tokenizer": _plain(source), "tokenizer_options": options or None}
        if not self.joint:
            made |= {"target_tokenizer": _plain(target), "target_tokenizer_options": target_options or None}
        return {**made, "joint": self.joint, "max_length": self.max_length}

    def tokenizers(self, train: Pairs) -> PairTokenizers:
        """Trained on the training part, where they are not trained already."""
        texts: Sequence[Sequence[str]] = (train.sources, train.targets)
        if self.joint:
            both = self._made(0, [*train.sources, *train.targets])
            return PairTokenizers(both, both, joint=True, max_length=self.max_length)
        return PairTokenizers(self._made(0, texts[0]), self._made(1, texts[1]), max_length=self.max_length)

    def _made(self, side: int, texts: Sequence[str]) -> Tokenizer:
        choice, options = self.sides[side]
        return train_tokenizer(choice, texts, **options) if isinstance(choice, str) else tokenizer_from_dict(choice)


def _plain(choice: TokenizerChoice) -> str | dict[str, Any]:
    return choice if isinstance(choice, str) else dict(choice)


def _split(parts: dict[str, Pairs], shares: Mapping[str, float], seed: int) -> dict[str, Pairs]:
    """The parts with shares of the training part for those that the data do not name, by source.

    Raises: DataError for a part without pairs, and too few different sources.
    """
    for name, pairs in parts.items():
        if not len(pairs):
            raise DataError(f"{pairs.file} has no pair for the {name} part.")
    wanted = {name: share for name, share in shares.items() if share and name not in parts}
    if not wanted:
        return parts
    whole = parts[TRAIN]
    numbers: dict[str, int] = {}
    for text in whole.sources:
        numbers.setdefault(text, len(numbers))
    fractions = {TRAIN: 1 - sum(wanted.values()), **wanted}
    if len(numbers) < len(fractions):
        raise DataError(f"{whole.file} has {len(numbers)} different sources, too few for {' and '.join(fractions)}.")
    where = [""] * len(numbers)
    for name, rows in random_split(len(numbers), fractions=fractions, seed=seed).items():
        for row in rows.tolist():
            where[row] = name
    made = {name: Pairs(whole.file) for name in fractions}
    for text, answer, line in zip(whole.sources, whole.targets, whole.lines, strict=True):
        made[where[numbers[text]]].add(text, answer, line)
    return {**parts, **made}


def _bundle(
    parts: Mapping[str, Pairs],
    tokenizers: PairTokenizers,
    merge_answers: bool,
    origin: Mapping[str, Any],
    skipped: tuple[tuple[str, str], ...],
) -> Bundle:
    sources: dict[str, DatasetSource] = {}
    for name, pairs in parts.items():
        texts: list[str] = pairs.sources
        answers: Sequence[str | tuple[str, ...]] = pairs.targets
        if merge_answers and name != TRAIN:
            merged: dict[str, list[str]] = {}
            for text, answer in zip(pairs.sources, pairs.targets, strict=True):
                merged.setdefault(text, []).append(answer)
            texts, answers = list(merged), [tuple(found) for found in merged.values()]
        elif tokenizers.max_length is not None and name == TRAIN:
            texts, answers = _short_ones(pairs, tokenizers)
        dataset = PairDataset(tokenizers, texts, answers)
        sources[name] = DatasetSource(dataset, collate=dataset.collate, lengths=dataset.lengths())
    sizes = ", ".join(f"{len(found)} pairs for {name}" for name, found in sources.items())
    left, right = tokenizers.source.vocab_size, tokenizers.target.vocab_size
    logger.info("%s; vocabularies of %d and %d tokens", sizes, left, right)
    return Bundle(
        train=sources[TRAIN],
        validation=sources.get(VALIDATION),
        test=sources.get(TEST),
        task=TASK,
        kind=None,
        preprocessing=tokenizers,
        skipped=skipped,
        origin=origin,
        fingerprint=fingerprint_of(
            *((name, pairs.sources, pairs.targets) for name, pairs in sorted(parts.items())), tokenizers.to_dict()
        ),
    )


def _short_ones(pairs: Pairs, tokenizers: PairTokenizers) -> tuple[list[str], list[str]]:
    """The training pairs without those that have more than `max_length` tokens on a side."""
    longest = tokenizers.max_length
    assert longest is not None, "asked for with a largest length only"
    whole = PairTokenizers(tokenizers.source, tokenizers.target, joint=tokenizers.joint)
    kept = [
        (text, answer)
        for text, answer in zip(pairs.sources, pairs.targets, strict=True)
        if len(whole.source_ids(text)) <= longest and len(whole.target_ids(answer)) <= longest
    ]
    if len(kept) < len(pairs):
        logger.info("left out %d training pairs of more than %d tokens", len(pairs) - len(kept), longest)
    if not kept:
        raise DataError(f"No pair of {pairs.file} has {longest} tokens or fewer on both sides.")
    return [text for text, _ in kept], [answer for _, answer in kept]
