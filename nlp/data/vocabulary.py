"""Tokens and their numbers."""

from collections.abc import Iterable, Sequence

from zoo.errors import DataError

PAD, UNKNOWN, BEGIN, END = range(4)
"""Numbers of the special tokens in every vocabulary of the zoo's own."""

SPECIAL = ("<pad>", "<unk>", "<bos>", "<eos>")
"""How they are written."""


class Vocabulary:
    """Tokens numbered from 0: the four special ones, then `tokens` in their order.

    Raises: DataError for a token that comes twice.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = (*SPECIAL, *tokens)
        self.numbers = {token: number for number, token in enumerate(self.tokens)}
        if len(self.numbers) < len(self.tokens):
            raise DataError("A vocabulary holds each token once; some came twice, or are written as a special one.")

    @classmethod
    def count(
        cls, rows: Iterable[Iterable[str]], *, min_frequency: int = 1, max_size: int | None = None
    ) -> "Vocabulary":
        """The tokens of `rows`, frequent ones first, and those of one frequency in alphabetical order.

        min_frequency: rarer tokens are left out, and become unknown.
        max_size:      most tokens, special ones included; None for any number.
        Raises:        DataError if nothing is left.
        """
        counts: dict[str, int] = {}
        for row in rows:
            for token in row:
                counts[token] = counts.get(token, 0) + 1
        kept = sorted(
            (token for token, number in counts.items() if number >= min_frequency and token not in SPECIAL),
            key=lambda token: (-counts[token], token),
        )
        if max_size is not None:
            kept = kept[: max(max_size - len(SPECIAL), 0)]
        if not kept:
            raise DataError(
                f"The vocabulary is empty: {len(counts)} different tokens were read, none of which is left with "
                f"min_frequency={min_frequency} and max_size={max_size}."
            )
        return cls(kept)

    def __len__(self) -> int:
        return len(self.tokens)

    def number(self, token: str) -> int:
        """The number of a token, that of <unk> for one that is not here; a text never becomes a special one."""
        found = self.numbers.get(token, UNKNOWN)
        return found if found >= len(SPECIAL) else UNKNOWN
