"""Spectral normalisation: weights divided by their largest singular value, which bounds a layer's Lipschitz constant.

Source: Miyato et al. 2018, arXiv:1802.05957, section 2.1 and algorithm 1.
Differs from the paper: nothing known; the power iteration is torch's parametrization. As in the paper's code, the
  weight of a convolution counts as the matrix [out, in times kernel]: sigma is that matrix's, not the convolution's.
"""

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm as parametrize_by_sigma
from torch.nn.utils.parametrize import is_parametrized

WRAPPED = (nn.Linear, nn.modules.conv._ConvNd)


def spectral_norm(module: nn.Module, *, num_iterations: int = 1, eps: float = 1e-12) -> nn.Module:
    """The same `module`, every linear layer and convolution in it with its weight divided by its spectral norm.

    A weight is then kept as `parametrizations.weight.original`, beside the vectors of the power iteration; each
    forward pass in training moves these on, evaluation leaves them. `remove_parametrizations` of torch makes it a plain
    weight again.

    module:         a layer or a whole network, such as the discriminator of a GAN; changed in place.
    num_iterations: of the power method in each forward pass.
    eps:            added to norms against a division by 0.
    Raises:         ValueError if there is no such layer in it, or one of them has a parametrized weight already.
    """
    if num_iterations < 1:
        raise ValueError(f"num_iterations is {num_iterations}; at least 1 is needed.")
    layers = [(name, part) for name, part in module.named_modules() if isinstance(part, WRAPPED)]
    if not layers:
        raise ValueError(
            f"{type(module).__name__} has no linear layer and no convolution. Pass a module that has, before it is "
            "wrapped for a device."
        )
    for name, part in layers:
        if is_parametrized(part, "weight"):
            raise ValueError(
                f"The weight of {name or type(part).__name__!r} is parametrized already. Wrap each layer once."
            )
    for _, part in layers:
        parametrize_by_sigma(part, "weight", n_power_iterations=num_iterations, eps=eps)
    return module
