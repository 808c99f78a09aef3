"""Gradient methods against captum, formulas worked by hand, and their theorems."""

import captum.attr
import pytest
import torch
from torch import nn

from zoo.errors import UnknownArgumentError, UnknownNameError
from zoo.explanation import GradCAM, IntegratedGradients, SmoothGrad, explain

TARGET = torch.tensor([4, 0, 2])


class WeightedSquares(nn.Module):
    """Images [B, C, H, W] to two logits: minus and plus the sum of `weight` times the squares."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, -3.0], [0.5, 2.0]]).view(1, 1, 2, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """To logits [B, 2]."""
        total = (self.weight * x**2).sum(dim=(1, 2, 3))
        return torch.stack([-total, total], dim=1)


def test_cases_by_hand():
    """Fails for a lost factor, the wrong sign, a mean over channels, or squares in place of the way."""
    model = WeightedSquares()
    image = torch.tensor([[[1.0, 2.0], [4.0, -1.0]], [[0.0, 1.0], [2.0, 3.0]]])  # [2, 2, 2]
    weight = model.weight.detach()[0, 0]
    names = ("saliency", "input_x_gradient", "integrated_gradients")
    found = {name: explain(model, image, method=name, target=1) for name in names}
    saliency = torch.tensor([[2.0, 12.0], [4.0, 12.0]])  # max over channels of |2 w x|
    torch.testing.assert_close(found["saliency"].heat[0], saliency)
    torch.testing.assert_close(found["input_x_gradient"].heat[0], (2 * weight * image**2).sum(dim=0))
    torch.testing.assert_close(found["integrated_gradients"].heat[0], (weight * image**2).sum(dim=0))
    against = explain(model, image, method="integrated_gradients", target=0)
    torch.testing.assert_close(against.heat, -found["integrated_gradients"].heat)


@pytest.mark.parametrize("method", ["saliency", "input_x_gradient", "integrated_gradients"])
def test_attributions_are_captums(gap_cnn, images, method):
    found = explain(gap_cnn, images, method=method, target=TARGET)
    leaf = images.clone().requires_grad_()
    if method == "saliency":
        expected = captum.attr.Saliency(gap_cnn).attribute(leaf, target=TARGET, abs=False)
    elif method == "input_x_gradient":
        expected = captum.attr.InputXGradient(gap_cnn).attribute(leaf, target=TARGET)
    else:
        expected = captum.attr.IntegratedGradients(gap_cnn).attribute(leaf, target=TARGET, n_steps=50)
    assert found.raw.abs().max() > 0.01
    torch.testing.assert_close(found.raw, expected.detach().float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("baseline", [0.3, torch.tensor([0.1, -0.2, 0.5]).view(3, 1, 1)])
def test_integrated_gradients_are_complete(gap_cnn, images, baseline):
    """Attributions add up to the score less the baseline's; fails for wrong nodes, or a baseline used once of twice."""
    model = nn.Sequential(*gap_cnn[:3], nn.Linear(6, 5), nn.Tanh())
    model[0][2] = model[0][5] = nn.Softplus()
    found = explain(model, images, method=IntegratedGradients(steps=30, baseline=baseline), target=TARGET)
    with torch.no_grad():
        scores = model(images) - model(torch.zeros_like(images) + baseline)
    expected = scores.gather(1, TARGET[:, None])[:, 0]
    torch.testing.assert_close(found.heat.sum(dim=(1, 2)), expected, atol=1e-5, rtol=1e-4)


def test_smooth_grad_is_captums_mean_over_the_same_noise(gap_cnn, images):
    """Fails for a noise scale that is not that of the row, a missing mean, or absolute values before the mean."""
    method = SmoothGrad(num_samples=4, noise_level=0.2, seed=5)
    found = explain(gap_cnn, images, method=method, target=TARGET)
    generator = torch.Generator().manual_seed(5)
    spread = torch.stack([row.max() - row.min() for row in images]).view(3, 1, 1, 1)
    copies = [images + 0.2 * spread * torch.randn(images.shape[1:], generator=generator) for _ in range(4)]
    saliency = captum.attr.Saliency(gap_cnn)
    expected = torch.stack(
        [saliency.attribute(copy.requires_grad_(), target=TARGET, abs=False) for copy in copies]
    ).mean(dim=0)
    torch.testing.assert_close(found.raw, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.heat, expected.abs().amax(dim=1), atol=1e-5, rtol=1e-5)


def test_smooth_grad_agrees_with_captums_noise_tunnel(gap_cnn, images):
    """Other noise, same statistics: two means over 300 copies lie near each other and not near the plain gradient."""
    image, noise = images[:1], 0.5
    found = explain(gap_cnn, image, method=SmoothGrad(num_samples=300, noise_level=noise), target=1).raw
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(gap_cnn))
        expected = tunnel.attribute(
            image.clone().requires_grad_(), target=1, abs=False, nt_type="smoothgrad", nt_samples=300,
            nt_samples_batch_size=100, stdevs=noise * float(image.max() - image.min()),
        )  # fmt: skip
    plain = explain(gap_cnn, image, method="saliency", target=1).raw
    assert (found - expected).norm() < 0.25 * (plain - expected).norm()


def test_smooth_grad_seed_and_rows(gap_cnn, images):
    """Fails if the noise comes from the global generator, or a row's noise depends on the batch."""
    first = explain(gap_cnn, images, method="smooth_grad", options={"num_samples": 2}, target=1)
    torch.rand(7)
    again = explain(gap_cnn, images[2], method="smooth_grad", options={"num_samples": 2}, target=1)
    other = explain(gap_cnn, images, method="smooth_grad", options={"num_samples": 2, "seed": 1}, target=1)
    torch.testing.assert_close(again.heat[0], first.heat[2])
    assert not torch.allclose(other.heat, first.heat)


def test_smooth_grad_without_noise_is_the_gradient(gap_cnn, images):
    plain = explain(gap_cnn, images, method="saliency")
    smooth = explain(gap_cnn, images, method=SmoothGrad(num_samples=3, noise_level=0.0))
    torch.testing.assert_close(smooth.heat, plain.heat)


def test_columns_of_a_table():
    """Rows of a table [B, F] get heat [B, F]; fails if the columns are taken for channels and summed."""
    model = nn.Linear(4, 3)
    rows = torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, -1.0, 1.0, 2.0]])
    found = explain(model, rows, method="integrated_gradients", target=2)
    torch.testing.assert_close(found.heat, (model.weight[2] * rows).detach())


def test_names_and_options():
    """Fails if a misspelt option is swallowed."""
    model, rows = nn.Linear(4, 3), torch.ones(1, 4)
    with pytest.raises(UnknownNameError, match="Did you mean 'grad_cam'"):
        explain(model, rows, method="gradcam")
    with pytest.raises(UnknownArgumentError, match="Did you mean 'num_samples'"):
        explain(model, rows, method="smooth_grad", options={"num_sample": 3})
    with pytest.raises(TypeError, match=r"GradCAM\(...\)"):
        explain(model, rows, method=GradCAM(), options={"steps": 3})
    with pytest.raises(TypeError, match="must be a name or a Method"):
        explain(model, rows, method=GradCAM)
    with pytest.raises(ValueError, match="leave layer out"):
        explain(model, rows, method="saliency", layer="0")
    with pytest.raises(ValueError, match=r"does not broadcast to inputs \[1, 4\]"):
        explain(model, rows, method=IntegratedGradients(baseline=torch.zeros(3)))


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("smooth_grad", {"num_samples": 0}),
        ("smooth_grad", {"noise_level": -0.1}),
        ("integrated_gradients", {"steps": 0}),
    ],
)
def test_options_out_of_range(method, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        explain(nn.Linear(4, 3), torch.ones(1, 4), method=method, options=options)
