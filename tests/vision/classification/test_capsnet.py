import math

import pytest
import torch
from torch import nn

from vision.classification.capsnet import (
    CapsNet,
    CapsuleOutputs,
    capsule_losses,
    log_odds,
    margin_loss,
    route,
    squash,
)


@pytest.fixture
def small():
    """A network of 4 x 32 primary capsules, on images of 20 pixels."""
    torch.manual_seed(0)
    return CapsNet(num_classes=3, image_size=20)


def test_squash_by_hand():
    """Fails if the length is |x|^2 / (1 + |x|) or the direction is lost: [3, 4] of length 5 becomes 25 / 26 long."""
    got = squash(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    torch.testing.assert_close(got, torch.tensor([[0.6 * 25 / 26, 0.8 * 25 / 26], [0.0, 0.0]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [0.0, 1e-4, 1e4])
def test_squash_and_log_odds_stay_finite(size, dtype):
    """Fails for a division by the length of an empty capsule, or log-odds taken from a length that rounds to 1."""
    x = torch.full((2, 4), size, dtype=dtype, requires_grad=True)
    squash(x).sum().backward()
    assert x.grad.isfinite().all()
    x.grad = None
    odds = log_odds(x)
    odds.sum().backward()
    assert odds.dtype == dtype
    assert odds.isfinite().all()
    assert x.grad.isfinite().all()
    assert (x.grad.abs().sum() > 0) == (size > 0)


@pytest.mark.parametrize(("num_routing", "total"), [(1, 0.5), (2, 0.549834), (3, 0.606384)])
def test_routing_by_hand(num_routing, total):
    """One input predicts 1 for class 0 and 0 for class 1.

    Shares are 1/2, so s = 0.5 and v = 0.25 / 1.25 = 0.2; then the share is sigmoid(0.2) = 0.549834, v = 0.232138; then
    sigmoid(0.432138) = 0.606384. Fails if the shares are softmaxed over the inputs or the agreement does not add up.
    """
    predictions = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1)
    torch.testing.assert_close(
        route(predictions, num_routing=num_routing), torch.tensor([[[total], [0.0]]]), atol=1e-6, rtol=0
    )


def test_routing_follows_procedure_1():
    """Against the pseudo-code written as loops over inputs i and classes j."""
    torch.manual_seed(0)
    predictions = torch.randn(1, 3, 5, 4, dtype=torch.float64)
    u = predictions[0]
    b = torch.zeros(5, 3, dtype=torch.float64)
    for _ in range(4):
        s = []
        for j in range(3):
            s.append(sum(torch.softmax(b[i], 0)[j] * u[j, i] for i in range(5)))
        v = [x * x.norm() / (1 + x.norm() ** 2) for x in s]
        for i in range(5):
            for j in range(3):
                b[i, j] += u[j, i] @ v[j]
    torch.testing.assert_close(route(predictions, num_routing=4)[0], torch.stack(s))


def test_each_input_gives_one_in_all():
    """Where all classes get the same prediction, each gets N / K of it, however often it is routed."""
    prediction = torch.randn(1, 1, 1, 4).expand(2, 5, 10, 4)
    torch.testing.assert_close(route(prediction, num_routing=3), 2.0 * prediction[:, :, 0])


def test_margin_loss_by_hand():
    """(0.1^2 + 0.5 * 0.2^2 = 0.03 and 0.85^2 + 0.5 * 0.85^2 = 1.08375) / 2; fails if the margins are swapped."""
    lengths = torch.tensor([[0.8, 0.3], [0.95, 0.05]])
    assert margin_loss(lengths, torch.tensor([0, 1])).item() == pytest.approx(0.556875)


def test_margin_loss_is_zero_within_the_margins():
    """Fails if a right answer beyond its margin still costs."""
    assert margin_loss(torch.tensor([[0.95, 0.02, 0.1]]), torch.tensor([0])).item() == pytest.approx(0.0, abs=1e-12)


def test_parameter_counts_are_the_paper_s():
    """8.2 million in all and 6.8 million without the decoder (section 4); fails for shared routing matrices."""
    with torch.device("meta"):
        model = CapsNet()
    decoder = sum(p.numel() for p in model.decoder.parameters())
    assert sum(p.numel() for p in model.parameters()) == 8_215_568
    assert decoder == 160 * 512 + 512 + 512 * 1024 + 1024 + 1024 * 784 + 784
    assert model.digit_capsules.weight.shape == (1152, 10, 8, 16)


def test_primary_capsules_are_groups_of_eight_channels(small):
    """Fails if a capsule is made of eight places in place of eight channels."""
    images = torch.rand(2, 1, 20, 20)
    grid = small.forward_features(images)[-1]  # [2, 256, 2, 2]
    primary = torch.stack([grid[:, 8 * t : 8 * t + 8, y, x] for t in range(32) for y in (0, 1) for x in (0, 1)], dim=1)
    torch.testing.assert_close(small.capsules(images), squash(small.digit_capsules(squash(primary))))


def test_logits_are_log_odds_of_the_lengths(small):
    """Fails if lengths or squared lengths are returned as logits."""
    images = torch.rand(4, 1, 20, 20)
    lengths = small.capsules(images).norm(dim=-1)
    torch.testing.assert_close(small(images).sigmoid(), lengths, atol=1e-4, rtol=0)
    assert small(images).shape == (4, 3)


def test_only_the_target_s_capsule_is_drawn(small):
    """Fails if the mask is left out or picks another class; the paper's pixels are on 0..1."""
    capsules, targets = torch.randn(2, 3, 16), torch.tensor([2, 0])
    other = capsules.clone()
    other[0, :2], other[1, 1:] = 9.0, 9.0
    drawn = small.reconstruct(capsules, targets)
    assert drawn.shape == (2, 1, 20, 20)
    assert torch.equal(drawn, small.reconstruct(other, targets))
    assert not torch.equal(drawn, small.reconstruct(capsules, targets.flip(0)))
    assert drawn.min() > 0
    assert drawn.max() < 1


def test_losses_call_the_model_once_and_add_up(small):
    """Fails if a wrapped model would miss a call, or the reconstruction is averaged over pixels or not weighted."""
    calls = []

    class Wrapped(nn.Module):
        def forward(self, images, targets):
            calls.append(small(images, targets))
            return calls[-1]

    images, targets = torch.rand(4, 1, 20, 20), torch.tensor([0, 1, 2, 0])
    losses = capsule_losses(Wrapped(), (images, targets))
    assert len(calls) == 1
    outputs = calls[0]
    assert isinstance(outputs, CapsuleOutputs)
    torch.testing.assert_close(outputs.logits, small(images))
    squared = sum((outputs.reconstruction[i] - images[i]).square().sum() for i in range(4)) / 4
    torch.testing.assert_close(losses["reconstruction"], squared)
    torch.testing.assert_close(losses["margin"], margin_loss(small.capsules(images).norm(dim=-1), targets))
    torch.testing.assert_close(losses["loss"], losses["margin"] + 0.0005 * squared)


def test_a_few_steps_lower_the_loss(small):
    """Fails if the loss is not differentiable or its sign is wrong."""
    batch = torch.rand(6, 1, 20, 20), torch.tensor([0, 1, 2, 0, 1, 2])
    optimizer = torch.optim.Adam(small.parameters(), lr=1e-3)
    seen = []
    for _ in range(5):
        loss = capsule_losses(small, batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    assert all(math.isfinite(loss) for loss in seen)
    assert seen[-1] < 0.9 * seen[0]


def test_linear_decoder_can_draw_normalised_images():
    """Fails if the last sigmoid stays."""
    model = CapsNet(num_classes=2, in_channels=3, image_size=18, decoder_output="linear")
    drawn = model.reconstruct(torch.randn(8, 2, 16) * 30, torch.zeros(8, dtype=torch.int64))
    assert drawn.shape == (8, 3, 18, 18)
    assert drawn.min() < 0


def test_bfloat16_autocast_and_weights(small):
    """Fails if the routing forces a dtype that the decoder does not have."""
    images, targets = torch.rand(2, 1, 20, 20), torch.tensor([0, 1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = capsule_losses(small, (images, targets))
    assert losses["loss"].dtype == torch.float32
    losses["loss"].backward()
    assert all(p.grad.isfinite().all() for p in small.parameters())
    outputs = small.to(torch.bfloat16)(images.to(torch.bfloat16), targets)
    assert all(x.isfinite().all() and x.dtype == torch.bfloat16 for x in outputs)


def test_images_of_another_size_name_the_remedy(small):
    """Fails if the mismatch comes up as an einsum error."""
    with pytest.raises(ValueError, match="image_size"):
        small(torch.rand(2, 1, 28, 28))


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [({"image_size": 16}, "17 or more"), ({"decoder_output": "tanh"}, "sigmoid"), ({"num_routing": 0}, "at least 1")],
)
def test_a_bad_argument_names_the_remedy(arguments, remedy):
    """Fails if a bad value is taken in silence."""
    with pytest.raises(ValueError, match=remedy):
        CapsNet(**arguments)
