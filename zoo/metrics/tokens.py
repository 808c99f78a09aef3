"""How well a model predicts the tokens of a text: their mean negative log-likelihood, and perplexity.

Source: Jelinek et al. 1977, Perplexity, a measure of the difficulty of speech recognition tasks,
  doi:10.1121/1.2016299.
Differs from the paper: nothing known.
Shapes: V tokens of the vocabulary, * any dimensions, such as B texts and T places.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.metrics.base import Metric, undefined
from zoo.metrics.inputs import Inputs, check_inputs, check_probabilities, check_target

IGNORE_TOKEN = -100  # torch's own number for targets that count nothing
LARGEST_EXPONENT = 700  # float64 ends at exp(709)


class TokenLoss(Metric):
    """Mean negative log-likelihood of a target token, in nats.

    ignore_index: token number of targets that count nothing, such as those of padding.
    inputs:       what `outputs` are.
    """

    higher_is_better = False

    def __init__(self, *, ignore_index: int = IGNORE_TOKEN, inputs: Inputs = "logits") -> None:
        check_inputs(inputs, allowed=("logits", "probabilities"))
        zero = torch.zeros((), dtype=torch.float64)
        super().__init__({"nats": zero, "tokens": zero.clone()})
        self.ignore_index = ignore_index
        self.inputs = inputs

    def update(self, outputs: Tensor, target: Tensor) -> None:
        """Adds scores [*, V], the vocabulary last as language models have it, beside token numbers [*]."""
        check_target(target)
        if outputs.shape[:-1] != target.shape:
            raise ValueError(
                f"Scores [*, V] of shape {list(outputs.shape)} do not fit targets {list(target.shape)}. "
                "The vocabulary comes last; outputs [B, V, T] need outputs.movedim(1, -1)."
            )
        rows = outputs.detach().flatten(0, -2)  # [N, V]
        if self.inputs == "probabilities":
            check_probabilities(rows, class_dimension=True)
        rows = rows if rows.dtype == torch.float64 else rows.float()
        logs = rows.log_softmax(1) if self.inputs == "logits" else rows.log()
        flat = target.flatten().long()
        nats = F.nll_loss(logs, flat, ignore_index=self.ignore_index, reduction="none")
        self.add(nats.sum(dtype=self._open(rows.device)["nats"].dtype), (flat != self.ignore_index).sum())

    def add(self, nats: Tensor, tokens: Tensor) -> None:
        """Adds a batch by its sum of negative log-likelihoods [] and its number of target tokens []."""
        sums = self._open(nats.device)
        sums["nats"].add_(nats)
        sums["tokens"].add_(tokens)

    def compute(self) -> float:
        tokens = self._sums["tokens"].item()
        return self._sums["nats"].item() / tokens if tokens else undefined(self, "no token was seen")


class Perplexity(TokenLoss):
    """The exponential of the token loss: between how many equally likely tokens the model chooses."""

    def compute(self) -> float:
        loss = super().compute()
        return math.inf if loss > LARGEST_EXPONENT else math.exp(loss)


def perplexity(
    outputs: Tensor, target: Tensor, *, ignore_index: int = IGNORE_TOKEN, inputs: Inputs = "logits"
) -> float:
    """`Perplexity` of one batch."""
    metric = Perplexity(ignore_index=ignore_index, inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()
