"""Losses of images by hand, against NumPy from the papers, and at extremes."""

import math

import numpy as np
import pytest
import torch

from zoo.losses import IMAGE_PRIORS, charbonnier, gram, gram_matrix, mae, make_loss, mse, pixel, total_variation


def maps(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_pixel_is_the_distance_it_is_told():
    """Fails if distances are exchanged, or epsilon is dropped."""
    one, other = maps(2, 3, 4, 5), maps(2, 3, 4, 5, seed=1)
    torch.testing.assert_close(pixel(one, other), mae(one, other))
    torch.testing.assert_close(make_loss("pixel", distance="squared")(one, other), mse(one, other))
    found = pixel(one, other, distance="charbonnier", epsilon=0.5)
    torch.testing.assert_close(found, charbonnier(one, other, epsilon=0.5))
    assert pixel(one, other, reduction="none").shape == one.shape
    with pytest.raises(ValueError, match="charbonnier"):
        pixel(one, other, distance="cubic")


def test_gram_matrix_is_its_definition():
    """Johnson et al.: sums of products over C H W; fails if the divisor lacks C, or channels and positions swap."""
    features = maps(2, 3, 4, 5)
    values = features.double().numpy()
    expected = np.einsum("bchw,bdhw->bcd", values, values) / (3 * 4 * 5)
    np.testing.assert_allclose(gram_matrix(features).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_gram_by_hand():
    """Two channels at one position, (1, 2) and (0, 0): products 1, 2, 2, 4 over 2, squared 1/4 + 1 + 1 + 4."""
    features = torch.tensor([[[1.0], [2.0]]])
    assert gram(features, torch.zeros(1, 2, 1)).item() == pytest.approx(6.25)
    both = gram(features.repeat(2, 1, 1), torch.stack([features[0], torch.zeros(2, 1)]), reduction="none")
    assert both.tolist() == pytest.approx([0, 6.25])


def test_style_does_not_see_places():
    """The property it is used for: shuffled positions and a map of another size have the same style."""
    features = maps(1, 4, 3, 6)
    shuffled = features.flatten(2)[..., torch.randperm(18)].reshape(1, 4, 6, 3)
    assert gram(features, shuffled).item() == pytest.approx(0, abs=1e-10)
    assert gram(features, features.repeat(1, 1, 2, 2)).item() == pytest.approx(0, abs=1e-10)
    assert gram(features, features.flip(1)).item() > 1e-3
    target = maps(1, 4, 5, 5, seed=2)
    batch = maps(3, 4, 3, 3, seed=3)
    torch.testing.assert_close(gram(batch, target), gram(batch, target.expand(3, -1, -1, -1)))


def test_variation_by_hand():
    """[[0, 1], [3, 3]]: down 3 and 2, right 1 and 0, over 4 pixels; lengths sqrt(10), 2, 0."""
    image = torch.tensor([[[[0.0, 1.0], [3.0, 3.0]]]])
    assert total_variation(image).item() == pytest.approx((3 + 2 + 1 + 0) / 4)
    found = IMAGE_PRIORS.make("total_variation", image, form="isotropic")
    assert found.item() == pytest.approx((math.sqrt(10) + 2) / 4)


def test_variation_is_the_definition():
    images = maps(2, 3, 5, 4)
    values = images.double().numpy()
    down, right = np.abs(np.diff(values, axis=2)).sum((1, 2, 3)), np.abs(np.diff(values, axis=3)).sum((1, 2, 3))
    np.testing.assert_allclose(total_variation(images, reduction="none").numpy(), (down + right) / 60, rtol=1e-5)


@pytest.mark.parametrize("form", ["anisotropic", "isotropic"])
def test_flat_images_vary_nowhere(form):
    """Fails if the length of a gradient of 0 has an infinite slope, or borders count; an offset changes nothing."""
    flat = torch.full((2, 1, 4, 4), 0.5, requires_grad=True)
    loss = total_variation(flat, form=form)
    loss.backward()
    assert loss.item() == 0
    assert flat.grad.abs().sum() == 0
    steps = (torch.arange(16.0).reshape(1, 1, 4, 4) / 16).requires_grad_()
    torch.testing.assert_close(total_variation(steps + 1024, form=form), total_variation(steps, form=form))
    smooth = maps(1, 2, 3, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: total_variation(x, form=form), smooth)


def test_bfloat16_extremes_and_nothing():
    """Fails if sums are made in 8 bits, or squares of large features overflow before they are scaled."""
    large = (1e4 * maps(1, 8, 64, 64)).bfloat16().requires_grad_()
    other = (1e4 * maps(1, 8, 64, 64, seed=1)).bfloat16()
    for loss in (gram(large, other), pixel(large, other), total_variation(large)):
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        assert torch.autograd.grad(loss, large)[0].isfinite().all()
    torch.testing.assert_close(gram(large, other), gram(large.float(), other.float()))
    none = torch.zeros(0, 3, 4, 4)
    assert pixel(none, none).isnan()
    assert gram(none, none).isnan()
    assert total_variation(none).isnan()


def test_what_does_not_fit_raises():
    with pytest.raises(ValueError, match="as many channels"):
        gram(torch.zeros(2, 3, 4), torch.zeros(2, 4, 4))
    with pytest.raises(ValueError, match="one target for each"):
        gram(torch.zeros(3, 3, 4), torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match=r"\[B, C, \*\]"):
        gram_matrix(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"\[B, C, H, W\]"):
        total_variation(torch.zeros(3, 4, 4))
    with pytest.raises(TypeError, match="floating"):
        total_variation(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="isotropic"):
        total_variation(torch.zeros(1, 3, 4, 4), form="round")
