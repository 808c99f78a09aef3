"""U-Nets on encoders: against segmentation_models_pytorch, sizes, weights of the encoder."""

import pytest
import torch
from safetensors.torch import save_file

import zoo
from vision.segmentation.catalog import MODELS
from vision.segmentation.encoder_unet import EncoderUNet
from zoo.heads import parts_above_body
from zoo.lookup import import_object


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.name)
def test_size_is_as_stated(entry):
    """Exact counts; logits of two classes over the image, less the margin."""
    model = import_object(entry.builder)(**entry.config)
    assert sum(parameter.numel() for parameter in model.parameters()) == entry.num_params
    channels, height, width = entry.input_shape
    if entry.name.startswith("unet_"):  # the paper's is tested on meta: it is slow at its size
        with torch.no_grad():
            assert model.eval()(torch.zeros(1, channels, 64, 96)).shape == (1, 2, 64, 96)
    assert (height, width) in ((572, 572), (256, 256))
    with pytest.raises(TypeError, match="num_clases"):
        import_object(entry.builder)(num_clases=2)


def test_outputs_are_those_of_segmentation_models():
    """With the same tensors, in the same names, in both modes."""
    library = pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(0)
    model = EncoderUNet(encoder="resnet34", num_classes=1)
    reference = library.Unet("resnet34", encoder_weights=None)
    assert sum(parameter.numel() for parameter in model.parameters()) == 24_436_369
    reference.load_state_dict(model.state_dict(), strict=True)
    x = torch.randn(2, 3, 64, 96)
    for training in (True, False):
        with torch.no_grad():
            torch.testing.assert_close(model.train(training)(x), reference.train(training)(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("encoder", ["resnet18", "resnet20_cifar", "timm:convnext_atto"])
@pytest.mark.parametrize("size", [(33, 50), (64, 64)])
def test_any_size_and_every_parameter(encoder, size):
    """Strides from 1, 2 and 4 on; fails if a map is handed over at the wrong size or a block is not used."""
    model = EncoderUNet(encoder=encoder, num_classes=3, in_channels=2)
    found = model(torch.randn(2, 2, *size))
    assert found.shape == (2, 3, *size)
    found.square().mean().backward()
    assert [name for name, value in model.named_parameters() if value.grad is None] == []


def test_each_skip_reaches_its_block():
    """Fails if maps are handed over in the wrong order, which equal channels would hide."""
    model = EncoderUNet(encoder="resnet18").eval()
    sizes = []
    for block in model.decoder.blocks:
        block.register_forward_hook(lambda _m, inputs, _o: sizes.append(tuple(inputs[0].shape[1:])))
    with torch.no_grad():
        model(torch.zeros(1, 3, 64, 64))
    assert sizes == [(512 + 256, 4, 4), (256 + 128, 8, 8), (128 + 64, 16, 16), (64 + 64, 32, 32), (32, 64, 64)]


def test_encoder_weights_come_from_a_file(tmp_path):
    trained = zoo.create_model("resnet18")
    save_file(trained.state_dict(), tmp_path / "resnet.safetensors")
    model = EncoderUNet(encoder="resnet18", encoder_weights=str(tmp_path / "resnet.safetensors"))
    for name, value in trained.state_dict().items():
        if not name.startswith("fc."):
            torch.testing.assert_close(model.encoder.state_dict()[name], value, rtol=0, atol=0)
    assert model.training


def test_everything_but_the_encoder_is_above_the_body():
    """Fine-tuning trains these first and fastest."""
    assert parts_above_body(EncoderUNet(encoder="resnet18")) == ("decoder", "segmentation_head")


def test_rows_do_not_depend_on_each_other():
    model = EncoderUNet(encoder="resnet18").eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[1:], model(x[1:]))


def test_too_few_widths_raise():
    with pytest.raises(ValueError, match="5 decoder_widths"):
        EncoderUNet(encoder="resnet18", decoder_widths=(64, 32))


@pytest.mark.parametrize("options", [{"num_classes": 0}, {"decoder_widths": (256, 128, 64, 32, 0)}])
def test_counts_below_one_raise(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        EncoderUNet(encoder="resnet18", **options)
