"""The players: the reference architecture with the same weights, counts, sizes, initialisation, gradients."""

import pytest
import torch
from torch import nn

from vision.generation.catalog import MODELS
from vision.generation.dcgan import DCGANDiscriminator, DCGANGenerator, dcgan, pyramid
from vision.generation.gan import GAN, noise_of
from vision.generation.wgan_gp import ResidualBlock, wgan_gp_resnet
from zoo.errors import UnknownArgumentError
from zoo.lookup import check_arguments, import_object

NARROW = {"generator_width": 4, "discriminator_width": 4, "latent_dim": 6}
EVERY_MODEL = pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.name)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def plain_generator():
    """The generator of pytorch/examples, layer by layer, for noise of 100 numbers."""

    def up(channels_in, channels_out):
        return nn.ConvTranspose2d(channels_in, channels_out, 4, 2, 1, bias=False)

    return nn.Sequential(
        nn.ConvTranspose2d(100, 512, 4, 1, 0, bias=False), nn.BatchNorm2d(512), nn.ReLU(),
        up(512, 256), nn.BatchNorm2d(256), nn.ReLU(),
        up(256, 128), nn.BatchNorm2d(128), nn.ReLU(),
        up(128, 64), nn.BatchNorm2d(64), nn.ReLU(),
        up(64, 3), nn.Tanh(),
    )  # fmt: skip


def plain_discriminator():
    """Its discriminator, without the sigmoid."""

    def down(channels_in, channels_out):
        return nn.Conv2d(channels_in, channels_out, 4, 2, 1, bias=False)

    return nn.Sequential(
        down(3, 64), nn.LeakyReLU(0.2),
        down(64, 128), nn.BatchNorm2d(128), nn.LeakyReLU(0.2),
        down(128, 256), nn.BatchNorm2d(256), nn.LeakyReLU(0.2),
        down(256, 512), nn.BatchNorm2d(512), nn.LeakyReLU(0.2),
        nn.Conv2d(512, 1, 4, 1, 0, bias=False),
    )  # fmt: skip


@torch.no_grad()
def shaken(module):
    """Weights, scales and statistics of their own, so that none can be left out unseen."""
    for name, tensor in module.state_dict().items():
        if "running_var" in name or tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5)
        elif tensor.is_floating_point():
            tensor.normal_(std=0.05)
    return module


@pytest.mark.parametrize("training", [True, False])
def test_the_reference_architecture_with_the_same_weights(training):
    """Fails if a layer, stride, slope or norm differs, or the tensors have other names or another order."""
    torch.manual_seed(0)
    model = dcgan()
    reference_generator = shaken(plain_generator()).train(training)
    reference_discriminator = shaken(plain_discriminator()).train(training)
    renamed = {f"generator.main.{name}": value for name, value in reference_generator.state_dict().items()}
    renamed |= {f"discriminator.main.{name}": value for name, value in reference_discriminator.state_dict().items()}
    model.load_state_dict(renamed)
    model.train(training)
    noise, images = torch.randn(4, 100), torch.rand(4, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(model(noise), reference_generator(noise[..., None, None]), atol=1e-5, rtol=0)
        scores = model.discriminator(images)
        torch.testing.assert_close(scores, reference_discriminator(images).flatten(), atol=1e-4, rtol=1e-5)
    assert scores.std() > 0.01


def test_counts_of_the_reference():
    """The counts that pytorch/examples' networks have."""
    model = dcgan()
    assert (count(model.generator), count(model.discriminator)) == (3_576_704, 2_765_568)


@EVERY_MODEL
def test_the_catalogue_counts(entry):
    """Fails if a count, or one of the two that the summary names, is not that of the model."""
    model = import_object(entry.builder)(**entry.config)
    assert count(model) == entry.num_params
    for player in (model.generator, model.discriminator):
        assert f"{count(player):,}" in entry.summary
    assert model.generator.image_shape == entry.input_shape
    model.eval()
    with torch.no_grad():
        assert model.discriminator(model.sample(1)).shape == (1,)


@EVERY_MODEL
def test_a_misspelt_argument_raises(entry):
    with pytest.raises(UnknownArgumentError, match="latent_dim"):
        check_arguments(entry.name, import_object(entry.builder), {"latent_din": 3})


@EVERY_MODEL
@pytest.mark.parametrize(("size", "channels"), [(8, 3), (28, 1), (32, 3), (40, 1)])
def test_sizes_and_channels(entry, size, channels):
    model = import_object(entry.builder)(**{**entry.config, **NARROW, "image_size": size, "channels": channels})
    images = model(torch.randn(2, 6))
    assert images.shape == (2, channels, size, size)
    assert images.abs().max() <= 1
    assert model.discriminator(images).shape == (2,)


@pytest.mark.parametrize(("size", "wanted"), [(8, (4, 1)), (28, (7, 2)), (32, (4, 3)), (64, (4, 4)), (96, (6, 4)),
                                              (128, (4, 5))])  # fmt: skip
def test_pyramid(size, wanted):
    assert pyramid(size) == wanted


@pytest.mark.parametrize("size", [-8, 0, 1, 4, 7, 9, 30, 36])
def test_sizes_that_cannot_be(size):
    """Fails if the network would draw images of another size than was asked for."""
    with pytest.raises(ValueError, match="32, 48, 64"):
        DCGANGenerator(image_size=size)


@pytest.mark.parametrize("options", [{"channels": 0}, {"latent_dim": 0}, {"generator_width": 0},
                                     {"discriminator_norm": "instance"}])  # fmt: skip
def test_options_that_cannot_be(options):
    for builder in (dcgan, wgan_gp_resnet):
        with pytest.raises(ValueError, match=next(iter(options)).rpartition("_")[2]):
            builder(**options)


@EVERY_MODEL
def test_every_parameter_gets_a_gradient(entry):
    """Fails if a layer is built and not used."""
    torch.manual_seed(0)
    model = import_object(entry.builder)(**{**entry.config, **NARROW, "image_size": 16})
    model.discriminator(model(torch.randn(4, 6))).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@EVERY_MODEL
def test_rows_do_not_depend_on_each_other_in_evaluation(entry):
    torch.manual_seed(0)
    model = import_object(entry.builder)(**{**entry.config, **NARROW, "image_size": 16}).eval()
    noise = torch.randn(3, 6)
    with torch.no_grad():
        together = model(noise)
        torch.testing.assert_close(model(noise[1:2]), together[1:2])
        torch.testing.assert_close(model.discriminator(together)[2:], model.discriminator(together[2:]))


def test_a_critic_of_layer_norms_scores_each_image_by_itself_in_training():
    """Fails if its norms see the batch, which a gradient penalty does not allow; batch norm does see it."""
    torch.manual_seed(0)
    images = torch.randn(4, 3, 16, 16)
    for norm, alone in (("layer", True), ("none", True), ("batch", False)):
        critic = DCGANDiscriminator(image_size=16, width=4, norm=norm)
        assert torch.allclose(critic(images)[:2], critic(images[:2]), atol=1e-6) is alone


def test_initialisation():
    """Fails if torch's own initialisation is left: its deviation would be 0.0078 for the largest layer, not 0.02."""
    torch.manual_seed(0)
    model = dcgan()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert module.weight.mean().item() == pytest.approx(0, abs=2e-3)
        elif isinstance(module, nn.BatchNorm2d):
            assert module.weight.mean().item() == pytest.approx(1, abs=0.02)
            assert 0.005 < module.weight.std().item() < 0.04
            assert not module.bias.any()


@pytest.mark.parametrize("resample", ["none", "up", "down"])
def test_residual_block_by_hand(resample):
    """With the branch silenced a block is its shortcut: the mean of 2 x 2 pixels, each pixel four times, or itself."""
    block = ResidualBlock(2, 2, resample=resample, norm="none")
    with torch.no_grad():
        nn.init.zeros_(block.conv2.weight)
        if resample != "none":
            block.shortcut.weight.copy_(torch.eye(2)[:, :, None, None])
        x = torch.arange(8.0).reshape(1, 2, 2, 2)
        y = block(x)
    wanted = {
        "none": x,
        "up": x.repeat_interleave(2, 2).repeat_interleave(2, 3),
        "down": x.mean((2, 3), keepdim=True),
    }
    torch.testing.assert_close(y, wanted[resample])


# -- Noise and samples


def test_noise_of_a_seed_is_its_own():
    """Fails if noise depends on its place in the batch, or two seeds share theirs."""
    many = noise_of(torch.arange(100), size=16)
    torch.testing.assert_close(noise_of(torch.tensor([7, 3]), size=16), many[[7, 3]])
    assert len({tuple(row.tolist()) for row in many}) == 100


def test_noise_is_standard_normal():
    """Fails if uniform draws are not turned into normal ones, or one of them becomes infinite."""
    values = noise_of(torch.arange(20_000), size=16)
    assert values.isfinite().all()
    torch.testing.assert_close(values.mean(0), torch.zeros(16), atol=0.03, rtol=0)
    torch.testing.assert_close(torch.cov(values.T), torch.eye(16), atol=0.05, rtol=0)
    assert (values.abs() < 1).float().mean().item() == pytest.approx(0.6827, abs=0.005)
    assert values.double().pow(4).mean().item() == pytest.approx(3, abs=0.1)


def test_the_ends_of_the_noise(monkeypatch):
    """Fails if the least or the largest draw becomes infinite, or the two are not alike."""
    ends = torch.tensor([[0.0, 1 - 2**-24]])
    monkeypatch.setattr("vision.generation.gan.row_uniforms", lambda rows, **options: ends)
    low, high = noise_of(torch.tensor([0]), size=2)[0].tolist()
    assert low == pytest.approx(-5.4, abs=0.1)
    assert high == pytest.approx(-low)


def test_samples_begin_with_the_same_images():
    """Fails if sample(5) shows other images than sample(2), or leaves a trace in torch's generator."""
    model = dcgan(image_size=8, **NARROW).eval()
    state = torch.get_rng_state()
    images = model.sample(5, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert not images.requires_grad
    torch.testing.assert_close(model.sample(2, seed=3), images[:2])
    torch.testing.assert_close(model.sample(1, seed=5), images[2:3])
    with pytest.raises(ValueError, match="at least 1"):
        model.sample(0)


def test_a_gan_of_own_players():
    """Fails if the module asks more of its players than it says."""

    class Player(nn.Module):
        latent_dim = 2

        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, noise):
            return (noise * self.scale)[:, :, None, None]

    model = GAN(generator=Player(), discriminator=nn.Identity())
    assert model.sample(3).shape == (3, 2, 1, 1)
