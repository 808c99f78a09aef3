"""Activation functions as modules, each by a function that checks its options.

Source: of each, in `zoo/parts/activations.py` and its docstring here.
Differs from the papers: nothing known; the kernels are torch's.
Shapes: * any dimensions.
"""

import math
from typing import Literal, get_args

from torch import nn

GELUForm = Literal["exact", "tanh"]


def sigmoid() -> nn.Module:
    """1 / (1 + exp(-x)), in (0, 1). Source: Rumelhart et al. 1986, doi:10.1038/323533a0, equation 2."""
    return nn.Sigmoid()


def tanh() -> nn.Module:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)), in (-1, 1). Source: LeCun et al. 1998, section 4.4."""
    return nn.Tanh()


def relu(*, inplace: bool = False) -> nn.Module:
    """max(x, 0). Source: Nair and Hinton 2010 (ICML).

    inplace: whether the output overwrites the input, which saves memory; the same wherever it is an option.
    """
    return nn.ReLU(inplace=inplace)


def leaky_relu(*, slope: float = 0.01, inplace: bool = False) -> nn.Module:
    """x above 0, `slope` times x below. Source: Maas et al. 2013 (ICML workshop), equation 2."""
    _check_finite(slope=slope)
    return nn.LeakyReLU(negative_slope=slope, inplace=inplace)


def prelu(*, num_parameters: int = 1, slope: float = 0.25) -> nn.Module:
    """x above 0, a times x below, a learned. Source: He et al. 2015, arXiv:1502.01852, equation 1.

    num_parameters: 1 for one a, or the size of dimension 1 for one a a channel.
    slope:          of a at first.
    """
    if num_parameters < 1:
        raise ValueError(f"num_parameters is {num_parameters}; give 1, or the number of channels.")
    _check_finite(slope=slope)
    return nn.PReLU(num_parameters=num_parameters, init=slope)


def elu(*, alpha: float = 1.0, inplace: bool = False) -> nn.Module:
    """x above 0, alpha (exp(x) - 1) below. Source: Clevert et al. 2015, arXiv:1511.07289, section 3.

    alpha: above 0; the values below 0 come down to its negative.
    """
    _check_positive(alpha=alpha)
    return nn.ELU(alpha=alpha, inplace=inplace)


def selu(*, inplace: bool = False) -> nn.Module:
    """1.0507 x above 0, 1.7581 (exp(x) - 1) below: mean 0 and variance 1 are its fixed point.

    Source: Klambauer et al. 2017, arXiv:1706.02515, equation 2.
    """
    return nn.SELU(inplace=inplace)


def gelu(*, form: GELUForm = "exact") -> nn.Module:
    """x times the standard normal distribution function of x. Source: Hendrycks and Gimpel 2016, arXiv:1606.08415.

    form:   "exact" by the error function; "tanh" is the paper's approximation of it by a hyperbolic tangent, as GPT-2
            has it, at most 5e-4 away.
    Raises: ValueError for another form.
    """
    if form not in get_args(GELUForm):
        raise ValueError(f"form must be one of {', '.join(get_args(GELUForm))}; got {form!r}.")
    return nn.GELU(approximate="tanh" if form == "tanh" else "none")


def silu(*, inplace: bool = False) -> nn.Module:
    """x sigmoid(x), also called swish.

    Source: Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2; as swish Ramachandran et al. 2017, arXiv:1710.05941.
    """
    return nn.SiLU(inplace=inplace)


def mish(*, inplace: bool = False) -> nn.Module:
    """x tanh(log(1 + exp(x))). Source: Misra 2019, arXiv:1908.08681."""
    return nn.Mish(inplace=inplace)


def hard_swish(*, inplace: bool = False) -> nn.Module:
    """x min(max(x + 3, 0), 6) / 6. Source: Howard et al. 2019, arXiv:1905.02244, section 5.2."""
    return nn.Hardswish(inplace=inplace)


def softplus(*, beta: float = 1.0) -> nn.Module:
    """log(1 + exp(beta x)) / beta, above 0. Source: Dugas et al. 2000 (NIPS).

    beta: above 0; the larger, the closer to a ReLU. Where beta x is above 20 the output is x itself.
    """
    _check_positive(beta=beta)
    return nn.Softplus(beta=beta)


def softmax(*, dim: int) -> nn.Module:
    """exp(x) over its sum along `dim`: shares in [0, 1] that add up to 1, whatever offset x has.

    Source: Bridle 1990, doi:10.1007/978-3-642-76153-9_28.

    dim: there is no default: 1 are the classes of [B, C] and [B, C, H, W], -1 those of [B, T, C].
    """
    return nn.Softmax(dim=dim)


def _check_finite(**values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value}; a finite number is needed.")


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} is {value}; it must be above 0 and finite.")
