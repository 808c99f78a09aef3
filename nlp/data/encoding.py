"""From texts as users have them to rows of token numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from nlp.data.tokenizers import Tokenizer, tokenizer_from_dict


class TextEncoder:
    """A tokenizer and how it is used; what a run keeps so that new texts are read as those trained on.

    max_length:  most tokens of a text, special ones included; what comes after is cut off. None for any number.
    text_column: of the table trained on, to look for in other tables; None where texts came from files.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | Mapping[str, Any],
        *,
        max_length: int | None = None,
        text_column: str | None = None,
    ) -> None:
        if max_length is not None and max_length < 1:
            raise ValueError(f"max_length must be at least 1 token, or None for any number; got {max_length}.")
        self.tokenizer = tokenizer_from_dict(tokenizer) if isinstance(tokenizer, Mapping) else tokenizer
        self.max_length = max_length
        self.text_column = text_column

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token numbers of each text, one at least: a text without any known piece is one unknown token."""
        nothing = [self.tokenizer.pad if self.tokenizer.unk is None else self.tokenizer.unk]
        return [row or nothing for row in self.tokenizer.encode_all(texts, max_length=self.max_length)]

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text as readable text, one for each number that `encode` gives."""
        return self.tokenizer.tokens(text, max_length=self.max_length) or [text]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able arguments of the constructor."""
        return {
            "tokenizer": self.tokenizer.to_dict(),
            "max_length": self.max_length,
            "text_column": self.text_column,
        }
