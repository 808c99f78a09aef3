"""Multilayer perceptron on numbers and on learned vectors of categories ("entity embeddings").

Source: Guo and Berkhahn 2016, arXiv:1604.06737, section 3; the perceptron as Gorishniy et al. 2021, arXiv:2106.11959,
  section 3.1; the sizes of the vectors as Howard and Gugger 2020, doi:10.3390/info11020108, section 3.4.
Differs from the paper: Guo and Berkhahn end in a sigmoid, this in raw outputs; the vectors of a category that is
  unknown or missing start at 0, so that they count nothing where training has none.
Shapes: B rows, F continuous inputs, K categorical ones, D inputs of the perceptron, C outputs.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from tabular.data.schema import FIRST

# -- Adult's columns, and those of the default configuration: categories with "unknown" and "missing" (Kohavi 1996).
ADULT_CARDINALITIES = (10, 18, 9, 16, 8, 7, 4, 43)
ADULT_CONTINUOUS = 6


class TableMLP(nn.Module):
    """Rows (continuous [B, F], categories [B, K]) to raw outputs [B, num_outputs].

    num_continuous:  F.
    cardinalities:   of each categorical input, K numbers, unknown and missing counted.
    embedding_sizes: of the vectors of each, K numbers; None takes `embedding_size`.
    widths:          of the hidden layers.
    dropout:         after each hidden layer, probability.
    embedding_dropout: of the whole vector of categories, probability.
    Raises:          ValueError for a table without inputs, or for values that are out of range.
    """

    classifier: ClassVar[str] = "head"

    def __init__(
        self,
        *,
        num_continuous: int = ADULT_CONTINUOUS,
        cardinalities: Sequence[int] = ADULT_CARDINALITIES,
        num_outputs: int = 2,
        embedding_sizes: Sequence[int] | None = None,
        widths: Sequence[int] = (256, 256, 256),
        dropout: float = 0.2,
        embedding_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check(num_continuous, cardinalities, num_outputs, embedding_sizes, widths, dropout, embedding_dropout)
        self.embedding = TableEmbedding(
            num_continuous=num_continuous, cardinalities=cardinalities, sizes=embedding_sizes, dropout=embedding_dropout
        )
        layers: list[nn.Module] = []
        size = self.embedding.num_features
        for width in widths:
            layers += [nn.Linear(size, width), nn.ReLU(inplace=True), nn.Dropout(dropout)]
            size = width
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(size, num_outputs)

    def forward(self, continuous: Tensor, categories: Tensor) -> Tensor:
        """Rows (continuous [B, F], categories [B, K]) to raw outputs [B, num_outputs]."""
        return self.head(self.layers(self.embedding(continuous, categories)))


class TableEmbedding(nn.Module):
    """Rows (continuous [B, F], categories [B, K]) to one vector each [B, D]: the numbers, then the categories' vectors.

    Arguments as of `TableMLP`.
    """

    def __init__(
        self, *, num_continuous: int, cardinalities: Sequence[int], sizes: Sequence[int] | None, dropout: float
    ) -> None:
        super().__init__()
        sizes = [embedding_size(number) for number in cardinalities] if sizes is None else sizes
        self.tables = nn.ModuleList(nn.Embedding(*shape) for shape in zip(cardinalities, sizes, strict=True))
        self.dropout = nn.Dropout(dropout)
        self.num_continuous = num_continuous
        self.sizes = tuple(sizes)
        self.num_features = num_continuous + sum(sizes)
        for table in self.tables:
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, std=table.embedding_dim**-0.5)
            with torch.no_grad():
                table.weight[:FIRST].zero_()

    def forward(self, continuous: Tensor, categories: Tensor) -> Tensor:
        """Rows (continuous [B, F], categories [B, K]) to vectors [B, D]."""
        if not self.tables:
            return continuous
        vectors = [table(numbers) for table, numbers in zip(self.tables, categories.unbind(1), strict=True)]
        return torch.cat([continuous, self.dropout(torch.cat(vectors, dim=1))], dim=1)


def embedding_size(cardinality: int) -> int:
    """Numbers in the vector of a category: 1.6 times the 0.56th power of how many categories there are, 600 at most."""
    return min(600, round(1.6 * cardinality**0.56))


def _check(
    num_continuous: int,
    cardinalities: Sequence[int],
    num_outputs: int,
    sizes: Sequence[int] | None,
    widths: Sequence[int],
    dropout: float,
    embedding_dropout: float,
) -> None:
    """Raises ValueError for the first argument of TableMLP that cannot be used."""
    if num_continuous < 0 or num_continuous + len(cardinalities) == 0:
        raise ValueError(f"num_continuous={num_continuous}, cardinalities={tuple(cardinalities)}: there is no input.")
    if sizes is not None and len(sizes) != len(cardinalities):
        raise ValueError(f"embedding_sizes={tuple(sizes)} must be {len(cardinalities)} numbers, one an input.")
    counts = {
        "cardinalities": cardinalities,
        "embedding_sizes": sizes or (),
        "widths": widths,
        "num_outputs": [num_outputs],
    }
    for name, values in counts.items():
        if any(isinstance(value, bool) or not isinstance(value, int) or value < 1 for value in values):
            raise ValueError(f"{name}={tuple(values)} is not valid: pass whole numbers of at least 1.")
    for name, probability in (("dropout", dropout), ("embedding_dropout", embedding_dropout)):
        if not 0 <= probability < 1:
            raise ValueError(f"{name}={probability!r} is not valid: pass a number from 0 up to, not including, 1.")
