"""Hard attention: each query reads one place of the memory, sampled; trained with the score-function estimator.

Source: Xu et al. 2015, arXiv:1502.03044, section 4.1; the estimator is Williams' REINFORCE, 1992,
  doi:10.1007/BF00992696.
Differs from the paper: in evaluation the most probable place is read; the baseline is the mean of the batches before,
  without the present one, which would tie it to the sample and bias the gradient; no soft context stands in for half
  of the samples.
Shapes: B rows, K queries of each, S places of the memory, Q width of a query, M width of the memory.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.layers.attention import AttentionScore


class HardReading(NamedTuple):
    """What was read, and what the estimator must know of how it was chosen.

    context:  [B, K, M] the memory at the places read, 0 where there is nothing to read.
    place:    [B, K] which place, -1 where there is nothing to read.
    log_prob: [B, K] nats, the logarithm of the probability of that place, with a gradient; 0 where nothing is read.
    entropy:  [B, K] nats, of the distribution over the places, with a gradient.
    """

    context: Tensor
    place: Tensor
    log_prob: Tensor
    entropy: Tensor


class HardAttention(AttentionScore):
    """Queries [B, K, Q] and memory [B, S, M] to the memory at one place for each query.

    The context has a gradient to the memory and none to the choice: train with `ScoreFunctionLoss`.
    """

    def forward(
        self,
        query: Tensor,
        memory: Tensor,
        keys: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> HardReading:
        """One place for each query, in training drawn by its probability, in evaluation the most probable.

        keys:      those of `memory` where they are computed already.
        mask:      [B, S], True at what may be read.
        generator: of the draws, on the memory's device; None takes torch's global one.
        Raises:    ValueError for a memory without a single place.
        """
        if memory.shape[1] == 0:
            raise ValueError("The memory has no place to read: hard attention needs at least one, if a masked one.")
        energies = self.energies(query, self.keys(memory) if keys is None else keys)  # [B, K, S]
        energies = energies if energies.dtype == torch.float64 else energies.float()
        allowed = torch.ones_like(memory[..., 0], dtype=torch.bool) if mask is None else mask
        allowed = allowed[:, None]  # [B, 1, S]
        log_probs = energies.masked_fill(~allowed, torch.finfo(energies.dtype).min).log_softmax(dim=2)
        log_probs = log_probs.masked_fill(~allowed, 0.0)
        probs = log_probs.exp().masked_fill(~allowed, 0.0)
        with torch.no_grad():
            place = _draw(probs, generator) if self.training else probs.argmax(dim=2)  # [B, K]
            readable = allowed.any(dim=2).expand_as(place)
        index = place[..., None].expand(-1, -1, memory.shape[2])
        return HardReading(
            context=memory.gather(1, index) * readable[..., None],
            place=place.masked_fill(~readable, -1),
            log_prob=log_probs.gather(2, place[..., None])[..., 0],
            entropy=-(probs * log_probs).sum(dim=2),
        )


class ScoreFunctionLoss(nn.Module):
    """The mean of sampled losses [B], with a gradient that also goes to the choices which led to them.

    The gradient is the mean over the rows of
        grad(loss) + weight * (loss - baseline) * grad(log_prob) - entropy_weight * grad(entropy)
    where log_prob and entropy are summed over a row's choices. With a weight of 1 and an entropy_weight of 0 its
    expected value is the gradient of the expected loss. The value is the plain mean of the losses.

    baseline:       [] buffer, the moving average of the losses of the training batches so far, 0 at first.
    decay:          share of the old average that stays at each batch.
    weight:         of the choices; entropy_weight: of the entropy, which keeps the choices from settling too soon.
    Raises:         ValueError for a decay outside [0, 1), or a negative weight.
    """

    baseline: Tensor

    def __init__(self, *, decay: float = 0.9, weight: float = 1.0, entropy_weight: float = 0.0) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; a share in [0, 1) is needed, 0.9 as in the paper for instance.")
        for name, value in (("weight", weight), ("entropy_weight", entropy_weight)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} is {value}; it must not be negative, and finite.")
        self.decay = decay
        self.weight = weight
        self.entropy_weight = entropy_weight
        self.register_buffer("baseline", torch.zeros(()))

    def forward(self, losses: Tensor, reading: HardReading) -> Tensor:
        """[] the mean of `losses` [B], one for each row, each of what that row read; for cross-entropy
        `reduction="none"` gives them.

        Raises: ValueError for losses of another shape.
        """
        log_prob, entropy = reading.log_prob.flatten(1).sum(dim=1), reading.entropy.flatten(1).sum(dim=1)  # [B]
        if losses.shape != log_prob.shape:
            raise ValueError(
                f"The losses must be one for each row, {list(log_prob.shape)}; got {list(losses.shape)}. Take them "
                "with reduction='none', and sum or average each row's own."
            )
        cost = losses.detach()
        choices = self.weight * (cost - self.baseline) * log_prob - self.entropy_weight * entropy
        if self.training:
            self.baseline.lerp_(cost.mean().to(self.baseline.dtype), 1 - self.decay)
        return losses.mean() + (choices - choices.detach()).mean()


def _draw(probs: Tensor, generator: torch.Generator | None) -> Tensor:
    """Probabilities [B, K, S] to one place for each query [B, K]; any place where all are 0.

    The first of exponential clocks to ring: the smallest of E_s / p_s is s with the probability p_s.
    """
    clocks = torch.empty_like(probs).exponential_(generator=generator).clamp_min(torch.finfo(probs.dtype).tiny)
    return (probs / clocks).argmax(dim=2)
