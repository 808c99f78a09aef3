from collections.abc import Callable

import pytest
import torch
from torch import nn

from audio.data.clips import ClipBatch, pad_clips
from audio.layers.frontend import SpecAugment


def check_padding(model: nn.Module, clips: list[torch.Tensor]) -> None:
    """Asserts that the model answers alike to a clip alone, in a batch, and in a batch padded with garbage.

    In training a clip depends on its batch, by batch norm, but not on the padding; what is random is left out there.
    """
    with torch.no_grad():
        model.train()(pad_clips(clips))  # running statistics other than 0 and 1
        model.eval()
        batch = pad_clips(clips)
        together = model(batch)
        alone = torch.cat([model(pad_clips([clip])) for clip in clips])
        longer = nn.functional.pad(batch.waveforms, (0, 3001), value=0.7)
        garbage = model(ClipBatch(longer, batch.lengths))
        model.train()
        for module in model.modules():
            if isinstance(module, nn.Dropout | SpecAugment):
                module.eval()
        trained, trained_on_garbage = model(batch), model(ClipBatch(longer, batch.lengths))
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together, garbage, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(trained, trained_on_garbage, atol=1e-4, rtol=1e-4)


def check_training(model: nn.Module, *, rate: int = 8000) -> None:
    """Asserts that every parameter gets a gradient, and that a few steps on one batch lower the loss."""
    torch.manual_seed(0)
    batch = ClipBatch(0.1 * torch.randn(4, rate // 2), torch.tensor([rate // 2, rate // 3, rate // 4, rate // 5]))
    targets = torch.tensor([0, 1, 2, 0])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(6):
        loss = nn.functional.cross_entropy(model(batch), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    missing = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert not missing
    assert losses[-1] < losses[0]


@pytest.fixture
def padding_check() -> Callable[[nn.Module, list[torch.Tensor]], None]:
    """`check_padding`."""
    return check_padding


@pytest.fixture
def training_check() -> Callable[..., None]:
    """`check_training`."""
    return check_training


@pytest.fixture
def noises() -> list[torch.Tensor]:
    """Clips of 0.11, 0.4 and 0.6 s at 8 kHz; the first is shorter than what four poolings of a spectrogram need."""
    torch.manual_seed(0)
    return [0.1 * torch.randn(length) for length in (900, 3201, 4800)]
