"""CNN6, CNN10 and CNN14 on log-mel spectrograms."""

import pytest
import torch
from torch.nn import functional as F

import zoo
from audio.classification.spectrogram_cnn import SpectrogramCNN, from_panns
from zoo.weights import load_weights

# As published with the checkpoints; the front end's fixed matrices are not counted.
COUNTS = {"panns_cnn6": 4_837_455, "panns_cnn10": 5_219_279, "panns_cnn14": 80_753_615}
SMALL = {"num_classes": 3, "sample_rate_hz": 8000, "widths": (4, 8), "num_mels": 16}


@pytest.mark.parametrize("name", COUNTS)
def test_sizes_are_the_papers(name):
    with torch.device("meta"):
        model = zoo.create_model(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == COUNTS[name]


def panns(state, levels, *, double, pools):
    """The authors' network in evaluation mode, written from the paper, on decibels [B, 1, T, F]: logits."""

    def norm(x, name):
        return F.batch_norm(
            x, state[f"{name}.running_mean"], state[f"{name}.running_var"], state[f"{name}.weight"],
            state[f"{name}.bias"],
        )  # fmt: skip

    x = norm(levels.transpose(1, 3), "bn0").transpose(1, 3)
    for number, pool in enumerate(pools, 1):
        for layer in (1, 2) if double else (1,):
            kernel = state[f"conv_block{number}.conv{layer}.weight"]
            x = F.conv2d(x, kernel, padding=kernel.shape[-1] // 2)
            x = F.relu(norm(x, f"conv_block{number}.bn{layer}"))
        x = F.avg_pool2d(x, pool)
    x = x.mean(3)  # over frequency
    x = x.amax(2) + x.mean(2)
    x = F.relu(F.linear(x, state["fc1.weight"], state["fc1.bias"]))
    return F.linear(x, state["fc_audioset.weight"], state["fc_audioset.bias"])


@pytest.mark.parametrize(("kernel_size", "pool_last"), [(5, True), (3, True), (3, False)])
def test_answers_are_those_of_the_authors_network(kernel_size, pool_last):
    """Fails if a layer stands elsewhere, pooling takes the mean for the maximum, or kernels are not turned."""
    torch.manual_seed(0)
    options = {**SMALL, "kernel_size": kernel_size, "pool_last": pool_last}
    theirs = SpectrogramCNN(**options).state_dict()
    for value in theirs.values():
        if value.is_floating_point():
            value.copy_(0.2 + 0.5 * torch.rand_like(value) - 0.3 * (value.ndim > 1))
    model = SpectrogramCNN(**options).eval()
    extra = {"spectrogram_extractor.stft.conv_real.weight": torch.zeros(3), "logmel_extractor.melW": torch.zeros(3)}
    report = load_weights(model, {**theirs, **extra}, key_conversion=from_panns, strict=True)
    assert report.num_tensors == report.total_tensors
    waveform = 0.1 * torch.randn(2, 3000)
    levels = model.frontend(waveform).transpose(2, 3)  # [B, 1, T, F]
    expected = panns(theirs, levels, double=kernel_size == 3, pools=(2, 2) if pool_last else (2, 1))
    with torch.no_grad():
        torch.testing.assert_close(model(waveform), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_padding_changes_nothing(kernel_size, padding_check, noises):
    torch.manual_seed(0)
    padding_check(SpectrogramCNN(**{**SMALL, "widths": (4, 4, 8, 8), "kernel_size": kernel_size}), noises)


def test_padding_changes_no_training_loss(noises):
    """Fails if padding enters the statistics of batch norm: the same clips would train otherwise beside a long one."""
    from audio.data.clips import ClipBatch, pad_clips

    model = SpectrogramCNN(**SMALL, dropout=0.0, head_dropout=0.0)
    model.spec_augment.eval()
    batch = pad_clips(noises)
    longer = ClipBatch(F.pad(batch.waveforms, (0, 4000)), batch.lengths)
    torch.testing.assert_close(model(longer), model(batch), atol=1e-4, rtol=1e-4)


def test_learns(training_check):
    torch.manual_seed(0)
    training_check(SpectrogramCNN(**SMALL, dropout=0.0, head_dropout=0.0))


def test_only_the_front_end_follows_the_rate():
    slow, fast = SpectrogramCNN(**SMALL), SpectrogramCNN(**{**SMALL, "sample_rate_hz": 16_000})
    fast.load_state_dict(slow.state_dict())
    assert (slow.frontend.hop, fast.frontend.hop) == (80, 160)


@pytest.mark.parametrize("options", [{"kernel_size": 4}, {"widths": ()}, {"num_mels": 2, "widths": (4, 4)}])
def test_wrong_sizes_are_told(options):
    with pytest.raises(ValueError, match=r"kernel_size must be|bands at least"):
        SpectrogramCNN(**options)


@pytest.mark.parametrize(
    ("frames", "layer"), [(1000, "conv_block4"), (49, "conv_block3"), (17, "conv_block2"), (3, "conv_block1")]
)
def test_the_explained_map_has_cells_enough(frames, layer):
    """Fails if heat over a short clip is of two cells by three."""
    assert SpectrogramCNN(**{**SMALL, "widths": (2, 2, 2, 2), "num_mels": 64}).explained_layer(frames) == layer
