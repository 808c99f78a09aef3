"""What the parity tests of the classifiers share."""

from collections.abc import Callable

import pytest
import torch
from torch import nn


@pytest.fixture
def assert_parity() -> Callable[..., None]:
    """The check that a native network and a reference give the same logits with the same weights, loaded both ways."""

    def check(ours: nn.Module, reference: nn.Module, *, shape: tuple[int, ...]) -> None:
        torch.manual_seed(0)
        images = torch.randn(shape) + torch.arange(shape[0]).view(-1, 1, 1, 1)  # unlike in brightness
        for source, target in ((reference.eval(), ours.eval()), (ours, reference)):
            randomise(source)
            target.load_state_dict(source.state_dict())
            with torch.no_grad():
                logits = reference(images)
                torch.testing.assert_close(ours(images), logits, atol=1e-5, rtol=0)
            assert logits.std(dim=0).max() > 0.01, "the images must matter to the logits, or any network would pass"

    return check


@torch.no_grad()
def randomise(model: nn.Module) -> None:
    """Gives every tensor values of its own, so that none can be left out unseen and signals keep their size."""
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith("running_mean") or name.endswith("bias"):
            tensor.normal_(std=0.1)
        elif tensor.dim() > 1:
            nn.init.kaiming_normal_(tensor)
        elif tensor.is_floating_point():
            tensor.uniform_(0.5, 1.0)
