"""Matrix factorisation with biases: the rating is the average, what user and item are off it, and a matching of tastes.

Source: Koren, Bell and Volinsky 2009, doi:10.1109/MC.2009.263, equations 4 and 5.
Differs from the paper: trained in batches; a user or an item that training has not seen is at 0, so that only the
  other's bias counts.
Shapes: B pairs, D factors.
"""

import torch
from torch import Tensor, nn

UNSEEN = 0


class MatrixFactorization(nn.Module):
    """Pairs of a user and an item [B, 2] to ratings [B], in the unit of `mean`.

    num_users, num_items: that training has seen; they are numbered from 1, and 0 is any other.
    num_factors: D.
    mean:        of the training ratings.
    init_std:    of the factors at the start; biases start at 0.
    Raises:      ValueError for counts below 1.
    """

    mean: Tensor

    def __init__(
        self,
        *,
        num_users: int = 943,
        num_items: int = 1682,
        num_factors: int = 50,
        mean: float = 0.0,
        init_std: float = 0.02,
    ) -> None:
        super().__init__()
        for name, count in {"num_users": num_users, "num_items": num_items, "num_factors": num_factors}.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ValueError(f"{name}={count!r} is not valid: pass a whole number of at least 1.")
        self.register_buffer("mean", torch.tensor(float(mean)))
        self.user_bias = nn.Embedding(num_users + 1, 1, padding_idx=UNSEEN)
        self.item_bias = nn.Embedding(num_items + 1, 1, padding_idx=UNSEEN)
        self.user_factors = nn.Embedding(num_users + 1, num_factors, padding_idx=UNSEEN)
        self.item_factors = nn.Embedding(num_items + 1, num_factors, padding_idx=UNSEEN)
        for bias in (self.user_bias, self.item_bias):
            nn.init.zeros_(bias.weight)
        for factors in (self.user_factors, self.item_factors):
            nn.init.normal_(factors.weight, std=init_std)
            with torch.no_grad():
                factors.weight[UNSEEN].zero_()

    def forward(self, pairs: Tensor) -> Tensor:
        """Pairs [B, 2] to ratings [B]."""
        return self.parts(pairs).sum(1)

    def parts(self, pairs: Tensor) -> Tensor:
        """Pairs [B, 2] to what makes up their ratings [B, 4]: average, the user's bias, the item's, the taste."""
        users, items = pairs.unbind(1)
        taste = (self.user_factors(users) * self.item_factors(items)).sum(1, keepdim=True)
        return torch.cat([self.mean.expand(len(pairs), 1), self.user_bias(users), self.item_bias(items), taste], dim=1)

    def penalty(self, pairs: Tensor) -> Tensor:
        """Pairs [B, 2] to the squares of all their biases and factors [B], which equation 5 weighs by lambda."""
        users, items = pairs.unbind(1)
        tables = (
            (self.user_bias, users),
            (self.user_factors, users),
            (self.item_bias, items),
            (self.item_factors, items),
        )
        return torch.stack([table(numbers).square().sum(1) for table, numbers in tables]).sum(0)
