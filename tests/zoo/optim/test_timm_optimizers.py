"""Optimizers of timm by name: what they take, and that each resumes exactly."""

import io

import pytest
import torch
from timm.optim import list_optimizers
from torch import nn

from zoo.errors import UnknownArgumentError, UnknownNameError
from zoo.optim import make_optimizer
from zoo.optim.timm_optimizers import NOT_RESUMABLE

ELSEWHERE = ("bnb", "fused")  # need a GPU and another library
USABLE = [name for name in list_optimizers() if not name.startswith(ELSEWHERE) and name not in NOT_RESUMABLE]


def weights():
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape)) for shape in ((4, 3), (5,), (2, 3, 2, 2))]


def steps(optimizer, parameters, first, last):
    for step in range(first, last):
        for index, parameter in enumerate(parameters):
            generator = torch.Generator().manual_seed(100 * step + index)
            parameter.grad = torch.randn(parameter.shape, generator=generator) + 0.1 * parameter.detach()
        optimizer.step()


@pytest.mark.parametrize("name", USABLE)
def test_resume_is_exact(name):
    """Fails if an optimizer keeps state that its state_dict lacks, as those in NOT_RESUMABLE do."""
    whole, broken = weights(), weights()
    before = whole[0].detach().clone()
    steps(make_optimizer(f"timm:{name}", whole, lr=0.01), whole, 0, 6)
    assert not torch.equal(whole[0], before)
    first = make_optimizer(f"timm:{name}", broken, lr=0.01)
    steps(first, broken, 0, 3)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    resumed = [nn.Parameter(value.detach().clone()) for value in broken]
    second = make_optimizer(f"timm:{name}", resumed, lr=0.01)
    second.load_state_dict(torch.load(file, weights_only=True))
    steps(second, resumed, 3, 6)
    assert all(torch.equal(one, other) for one, other in zip(whole, resumed, strict=True))


def test_momentum_and_settings_are_timms():
    """Fails if what timm's factory sets for a name is lost: Nesterov's form, the caution of a "c" name."""
    group = make_optimizer("timm:nesterovw", weights(), lr=0.1).param_groups[0]
    assert (group["nesterov"], group["momentum"]) == (True, 0.9)
    assert make_optimizer("timm:cadamw", weights(), lr=0.1).param_groups[0]["caution"] is True
    assert make_optimizer("timm:cadamw", weights(), lr=0.1, caution=False).param_groups[0]["caution"] is False


def test_mistakes_name_the_remedy():
    """Fails if an option is dropped in silence, as create_optimizer_v2 drops the eps of Lion."""
    with pytest.raises(UnknownNameError, match="'timm:nadamw'"):
        make_optimizer("timm:nadamv", weights(), lr=0.1)
    with pytest.raises(UnknownArgumentError, match="'eps'"):
        make_optimizer("timm:lion", weights(), lr=0.1, eps=1e-6)
    with pytest.raises(UnknownArgumentError, match="'betas'"):
        make_optimizer("timm:nadamw", weights(), lr=0.1, beta=0.5)
    with pytest.raises(ValueError, match="the zoo's own 'adahessian'"):
        make_optimizer("timm:adahessian", weights(), lr=0.1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there it depends on what is installed")
def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match="timm:bnbadam cannot be used here"):
        make_optimizer("timm:bnbadam", weights(), lr=0.1)
