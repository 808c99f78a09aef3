"""What a sequence-to-sequence model takes, gives, and keeps between two steps of decoding.

Shapes: B sentences, S source tokens, T target tokens, N hypotheses (the same number for each sentence), V vocabulary.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from torch import Tensor


class Seq2SeqBatch(NamedTuple):
    """Source sentences [B, S], and the target's tokens [B, T] from <bos> on, each with a mask that is True at tokens.

    Padding stands at the end of a row.
    """

    source: Tensor
    source_mask: Tensor
    target_in: Tensor
    target_mask: Tensor


class State(NamedTuple):
    """Where decoding stands.

    memory: what the sources give, of B rows: tensors, nested in tuples.
    cache:  what the tokens so far give, of N rows, hypotheses of one sentence side by side.
    """

    memory: Any
    cache: Any


class Seq2SeqModel(Protocol):
    """A model that decoding can run one token at a time."""

    def __call__(self, batch: Seq2SeqBatch) -> Tensor:
        """Logits [B, T, V]: at each place those of the next token, given the tokens up to it."""
        ...

    def encode(self, source: Tensor, source_mask: Tensor) -> State:
        """The state before the first token, with one hypothesis for each sentence."""
        ...

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits [N, V] of the next token after `tokens` [N], and the state with these tokens in it."""
        ...


def map_tensors(change: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The same nesting of tuples with each tensor changed."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, tuple):
        parts = [map_tensors(change, part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return tree


def select_sentences(state: State, rows: Tensor, *, width: int = 1) -> State:
    """The state of the sentences `rows` [B'] only, in that order; `width` hypotheses of each."""

    def of_hypotheses(tensor: Tensor) -> Tensor:
        return tensor.unflatten(0, (-1, width)).index_select(0, rows).flatten(0, 1)

    return State(
        map_tensors(lambda tensor: tensor.index_select(0, rows), state.memory),
        map_tensors(of_hypotheses, state.cache),
    )


def select_hypotheses(state: State, rows: Tensor) -> State:
    """The state of the hypotheses `rows` [N'], as many for each sentence, which stay in order."""
    return State(state.memory, map_tensors(lambda tensor: tensor.index_select(0, rows), state.cache))
