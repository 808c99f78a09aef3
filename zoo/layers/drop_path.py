"""Dropout of values, and of whole residual branches.

Source: dropout, Srivastava et al. 2014, Journal of Machine Learning Research 15, section 4; stochastic depth, Huang et
  al. 2016, arXiv:1603.09382, section 3.
Differs from the papers: what is kept is scaled up in training in place of scaling down at test time; a branch is
  dropped for each row by itself, not for the whole mini-batch.
Shapes: B rows, * any dimensions.
"""

from torch import Tensor, nn


class DropPath(nn.Module):
    """The output [B, *] of a residual branch, in training 0 for some rows and larger for the others.

    A row is dropped with the probability `rate`, and else divided by (1 - rate), so that the expected value of each
    row is the branch's own. In evaluation nothing is changed.

    Raises: ValueError for a rate outside [0, 1).
    """

    def __init__(self, *, rate: float) -> None:
        super().__init__()
        _check_rate(rate)
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """[B, *] to [B, *]."""
        if not self.training or self.rate == 0:
            return branch
        kept = branch.new_empty([len(branch), *(1 for _ in branch.shape[1:])]).bernoulli_(1 - self.rate)
        return branch * kept.div_(1 - self.rate)

    def extra_repr(self) -> str:
        """What the printed module shows."""
        return f"rate={self.rate}"


def drop_path_rates(*, depth: int, last: float) -> list[float]:
    """The rate of each of `depth` blocks by the paper's rule of linear decay: `last` times l / depth for block l.

    Source: Huang et al. 2016, arXiv:1603.09382, section 3, with l from 1 on.
    Differs from the paper: nothing known; timm's models start from 0 at the first block.
    """
    if depth < 1:
        raise ValueError(f"depth is {depth}; at least 1 block is needed.")
    _check_rate(last)
    return [last * block / depth for block in range(1, depth + 1)]


def dropout(*, rate: float = 0.5, inplace: bool = False) -> nn.Module:
    """Each value is 0 in training with the probability `rate`, and else divided by (1 - rate).

    Raises: ValueError for a rate outside [0, 1).
    """
    _check_rate(rate)
    return nn.Dropout(rate, inplace=inplace)


def _check_rate(rate: float) -> None:
    if not 0 <= rate < 1:
        raise ValueError(f"The rate of what is dropped is {rate}; give a probability in [0, 1), 0.1 for instance.")
