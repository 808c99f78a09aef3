"""How a model's data are read where the user does not say; plain data, no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions:
    """Tokenizers of sentence pairs, as arguments of `read_pairs`; they hold where the user names no tokenizer.

    max_length: most tokens that the model can read; it holds where the user names none.
    """

    tokenizer: str = "whitespace"
    tokenizer_options: Mapping[str, Any] = field(default_factory=dict)
    joint: bool = False
    max_length: int | None = None
