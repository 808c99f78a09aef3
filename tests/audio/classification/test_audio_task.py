"""The task of sound classification: losses, predictions, explanations, pictures, baselines."""

import json
import math

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from audio.classification.m5 import RawWaveformCNN
from audio.classification.outputs import logits_of
from audio.classification.spectrogram_cnn import SpectrogramCNN
from audio.classification.task import AudioClassification
from audio.data.clips import ClipBatch, pad_clips
from audio.data.reading import read_clips
from zoo.data import Bundle
from zoo.errors import DataError, UnknownNameError
from zoo.records import Entry
from zoo.registry import model_info
from zoo.training import evaluate

CLASSES = ("high", "low", "middle")


@pytest.fixture
def bundle(tones):
    return read_clips(tones, validation=0.25)


@pytest.fixture
def task(bundle):
    return AudioClassification.from_bundle(bundle)


@pytest.fixture
def spectrogram_model():
    torch.manual_seed(0)
    return SpectrogramCNN(num_classes=3, sample_rate_hz=8000, widths=(8, 8), num_mels=32)


@pytest.fixture
def waveform_model():
    torch.manual_seed(0)
    return RawWaveformCNN(num_classes=3, stem_width=8, widths=(8, 8), depths=(1, 1))


def test_the_schema_rebuilds_the_task(bundle):
    task = AudioClassification.from_bundle(bundle, label_smoothing=0.1, class_weights=[1.0, 2.0, 0.5])
    again = AudioClassification(**json.loads(json.dumps(task.schema())))
    assert again.schema() == task.schema()
    assert again.preprocessing == bundle.preprocessing
    assert task.seconds == pytest.approx(0.375)


def test_models_get_what_they_take(task):
    """Fails if a model on the raw waveform is given a sample rate, or one of fixed length none."""
    assert task.model_arguments(model_info("m5")) == {"num_classes": 3}
    assert task.model_arguments(model_info("panns_cnn10")) == {"num_classes": 3, "sample_rate_hz": 8000}
    assert task.model_arguments(model_info("logmel_backbone")) == {
        "num_classes": 3, "sample_rate_hz": 8000, "seconds": task.seconds,
    }  # fmt: skip


def test_speech_models_at_another_rate_are_warned_of(task, caplog):
    entry = Entry(
        name="hf:wav2vec2", task=task.name, builder="transformers:Wav2Vec2ForSequenceClassification", summary=""
    )
    assert task.model_arguments(entry) == {"num_classes": 3}
    assert "sample_rate_hz=16000" in caplog.text


def test_loss_is_weighted_cross_entropy(waveform_model, noises):
    """Fails if smoothing or weights do not reach the loss, or the batch's weight is not the sum of its rows'."""
    task = AudioClassification(classes=CLASSES, label_smoothing=0.2, class_weights=[1.0, 2.0, 0.5])
    batch = (pad_clips(noises), torch.tensor([0, 1, 1]))
    waveform_model.eval()
    expected = nn.functional.cross_entropy(
        waveform_model(batch[0]), batch[1], weight=torch.tensor([1.0, 2.0, 0.5]), label_smoothing=0.2
    )
    torch.testing.assert_close(task.losses(waveform_model, batch)["loss"], expected)
    assert float(task.mean_weight(batch)) == 5.0
    assert task.rows(batch) == 3


def test_predictions_are_sorted_and_alike_alone_and_together(task, waveform_model, noises):
    together = task.predict(waveform_model, pad_clips(noises), top=2)
    assert waveform_model.training  # as it was
    for clip, found in zip(noises, together, strict=True):
        (alone,) = task.predict(waveform_model, clip, top=2)
        assert alone["label"] == found["label"] == found["top"][0]["label"]
        assert alone["probability"] == pytest.approx(found["probability"], abs=1e-5)
        assert found["top"][0]["probability"] >= found["top"][1]["probability"]
    assert json.loads(json.dumps(together)) == together
    assert together[0]["label"] in task.describe(together[0])


def test_files_are_read_as_trained_on(task, tones, tmp_path, make_tone):
    import soundfile

    soundfile.write(tmp_path / "loud.wav", make_tone(300.0, 0.5, rate=16_000), 16_000)
    inputs = task.read_inputs([str(tones / "low" / "00.wav"), tmp_path / "loud.wav"])
    assert list(inputs.names) == ["00.wav", "loud.wav"]
    assert inputs.rows.lengths.tolist() == [1600, 4000]
    with pytest.raises(DataError, match="trained on arrays"):
        AudioClassification(classes=CLASSES).read_inputs(["a.wav"])


def test_arrays_are_data_too(waveform_model):
    """Fails if waveforms of equal length in memory need files around them."""
    generator = np.random.default_rng(0)
    arrays = Bundle.from_arrays(generator.normal(size=(20, 900)), np.arange(20) % 3, task="audio/classification")
    task = AudioClassification.from_bundle(arrays)
    values, _ = evaluate(waveform_model, task, arrays.train.batches(batch_size=8))
    assert set(values) == {"accuracy", "loss", "precision", "recall", "f1"}
    with pytest.raises(DataError, match=r"a waveform of floats \[T\]"):
        AudioClassification.from_bundle(
            Bundle.from_arrays(np.zeros((20, 2, 9)), np.arange(20) % 3, task="audio/classification")
        )


@pytest.mark.parametrize(
    "method", ["grad_cam", "grad_cam_plus_plus", "mean_features", "integrated_gradients", "saliency"]
)
def test_heat_over_the_spectrogram(task, spectrogram_model, noises, method, tmp_path):
    """Fails if heat depends on the rest of the batch, or lies over something else than the model's own spectrogram."""
    options = {"steps": 4} if method == "integrated_gradients" else None
    found = task.explain(spectrogram_model, pad_clips(noises), method=method, options=options)
    frames = 4800 // 80 + 1
    assert found.heat.shape == (3, 32, frames)
    torch.testing.assert_close(found.inputs, spectrogram_model.frontend(pad_clips(noises)))
    alone = task.explain(spectrogram_model, noises[2], method=method, target=int(found.target[2]), options=options)
    torch.testing.assert_close(alone.heat[0], found.heat[2], atol=1e-5, rtol=1e-3)
    assert list(found.view.lengths) == [12, 41, 61]
    if method == "grad_cam":
        assert found.layer == "conv_block2"
        with pytest.raises(UnknownNameError, match=r"No layer is called 'conv_blok2'\. Did you mean 'conv_block2'"):
            task.explain(spectrogram_model, noises[0], layer="conv_blok2")
        found.save(tmp_path / "why.png")
        assert (tmp_path / "why.png").stat().st_size > 5000


def test_what_reading_changes_is_told_when_predicting_too(task, tmp_path, make_tone, caplog):
    """Fails if a file is resampled, or silence is classified, without a word."""
    soundfile.write(tmp_path / "ok.wav", make_tone(300.0, 0.3), 8000)
    with caplog.at_level("INFO"):
        task.read_inputs([tmp_path / "ok.wav"])
        assert not caplog.records
        soundfile.write(tmp_path / "cd.wav", make_tone(300.0, 0.3, rate=44_100), 44_100)
        soundfile.write(tmp_path / "quiet.wav", np.zeros(800), 8000)
        found = task.read_inputs([tmp_path / "cd.wav", tmp_path / "quiet.wav"])
    assert found.rows.lengths.tolist() == [2400, 800]
    assert "1 file resampled from 44100 Hz to 8000 Hz" in caplog.text
    assert "quiet.wav is silent" in caplog.text


def test_heat_is_where_the_sound_is(task, tones):
    """Fails if time or frequency are mirrored: a model that listens to one band in one half gets its heat there."""

    class Corner(nn.Module):
        def __init__(self):
            super().__init__()
            self.frontend = SpectrogramCNN(num_classes=3, sample_rate_hz=8000, widths=(8,), num_mels=32).frontend
            self.look = nn.Conv2d(1, 3, 1)

        def forward(self, clips):
            maps = self.look(self.frontend(clips)).relu()
            return torch.stack([maps[:, 0].mean((1, 2)), maps[:, 1, :8, :20].sum((1, 2)), maps[:, 2].mean((1, 2))], 1)

    found = task.explain(Corner(), torch.randn(1, 4000), method="saliency", target="low")
    assert float(found.heat[0, :8, :20].sum()) == pytest.approx(float(found.heat.sum()))
    assert found.heat.any()


@pytest.mark.parametrize("method", ["grad_cam", "integrated_gradients", "smooth_grad"])
def test_heat_over_the_waveform(task, waveform_model, noises, method, tmp_path):
    options = {"steps": 4} if method == "integrated_gradients" else None
    clips = pad_clips(noises)
    found = task.explain(waveform_model, clips, method=method, options=options, target="low")
    assert found.heat.shape == (3, 4800)
    assert found.target.tolist() == [1, 1, 1]
    assert not found.heat[0, 900:].any()  # nothing where the clip has ended
    if method != "smooth_grad":  # its noise is relative to each row's own range, and drawn for the batch's length
        alone = task.explain(waveform_model, noises[1], method=method, options=options, target=1)
        one, other = (heat[:3000] / heat[:3000].abs().max() for heat in (alone.heat[0], found.heat[1]))
        torch.testing.assert_close(one, other, atol=0.02, rtol=0)  # the size of a CAM depends on the map's length
    found.save(tmp_path / "why.png")
    assert (tmp_path / "why.png").stat().st_size > 5000


def test_grad_cam_over_the_waveform_by_hand(task, waveform_model):
    """Fails if weights are not the mean gradients: for a mean over time and a linear layer they are its row over t."""
    clip = torch.randn(1, 4800)
    waveform_model.eval()
    found = task.explain(waveform_model, clip, target=2, layer="groups.0.0")
    assert found.raw.shape[-1] == math.ceil(1200 / 4)
    last = task.explain(waveform_model, clip, target=2)
    assert last.layer == waveform_model.last_map == "groups.1.0"
    seen = []
    handle = waveform_model.groups[1][0].register_forward_hook(lambda module, args, output: seen.append(output))
    features, _ = waveform_model.forward_features(clip)
    handle.remove()
    (maps,) = seen
    assert features.shape[2] == math.ceil(maps.shape[2] / 4)
    peaks = maps.detach().unfold(2, 4, 4).amax(3)[0]  # [D, t]: each peak passes its gradient on
    weights = waveform_model.classifier_layer.weight[2].detach() / features.shape[2]
    share = peaks.shape[1] / maps.shape[2]
    assert maps.shape[2] % 4 == 3  # the last, shorter pooling has a peak too
    expected = torch.einsum("d,dt->t", weights, maps[0].detach()).relu() * (share + 1 / maps.shape[2])
    torch.testing.assert_close(last.raw[0, 0], expected, atol=1e-6, rtol=1e-4)


def test_what_cannot_be_explained_is_told(task, waveform_model, noises):
    with pytest.raises(ValueError, match=r"'cam' does not explain RawWaveformCNN.*integrated_gradients"):
        task.explain(waveform_model, pad_clips(noises), method="cam")
    with pytest.raises(ValueError, match=r"expected one of .*middle"):
        task.explain(waveform_model, pad_clips(noises), target="midle")


def test_pictures_are_drawn(task, waveform_model, noises, tmp_path):
    clips = pad_clips(noises)
    figure = task.picture(waveform_model, clips, task.predict(waveform_model, clips))
    assert len(figure.axes) == 6
    assert figure.axes[0].get_xlim()[1] == pytest.approx(900 / 8000)
    figure.savefig(tmp_path / "predictions.png")


def test_the_baseline_tells_tones_apart(task, bundle):
    """Fails if cepstra are not computed over the clip alone, or classes are mixed up: these tones are easy."""
    (name, fit), *_ = task.baselines().items()
    assert name == "mfcc_logistic_regression"
    values = fit(bundle, "validation")
    assert values["accuracy"] == 1.0
    assert set(values) == {"accuracy", "loss", "precision", "recall", "f1"}


def test_other_data_must_fit(task, tones):
    assert task.reading() == {
        "classes": ["high", "low", "middle"], "leave_out": None, "test_where": None, "sample_rate_hz": 8000,
    }  # fmt: skip
    task.check_bundle(read_clips(tones, **task.reading()))
    with pytest.raises(DataError, match="trained on clips at 8000 Hz, and these are at 4000 Hz"):
        task.check_bundle(read_clips(tones, sample_rate_hz=4000))


@pytest.mark.parametrize(
    ("options", "error"),
    [({"classes": ["one"]}, DataError), ({"classes": CLASSES, "class_weights": [1.0]}, ValueError),
     ({"classes": CLASSES, "class_weights": [0.0, 0.0, 0.0]}, ValueError)],
)  # fmt: skip
def test_wrong_options_are_told(options, error):
    with pytest.raises(error):
        AudioClassification(**options)


def test_transformers_models_hear_normalised_waveforms(task, noises):
    """Fails if the waveform is not standardised, or the mask is left out where the model was trained with one."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8, 8),
        conv_stride=(5, 4), conv_kernel=(10, 8), num_feat_extract_layers=2, num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2, feat_extract_norm="layer", num_labels=3, classifier_proj_size=8,
    )  # fmt: skip
    model = Wav2Vec2ForSequenceClassification(config).eval()
    with torch.no_grad():
        together = logits_of(model, pad_clips(noises))
        alone = torch.cat([logits_of(model, pad_clips([clip])) for clip in noises])
        louder = logits_of(model, pad_clips([3 * clip + 0.1 for clip in noises]))
    assert together.shape == (3, 3)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together, louder, atol=1e-3, rtol=1e-3)
    assert task.predict(model, pad_clips(noises))[0]["label"] in CLASSES


def test_models_that_take_something_else_are_told(noises):
    from transformers import ASTConfig, ASTForAudioClassification

    model = ASTForAudioClassification(
        ASTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    )
    with pytest.raises(TypeError, match=r"feature extractor of its own.*hf:wav2vec2"):
        logits_of(model, pad_clips(noises))

    class Frames(nn.Module):
        def forward(self, clips: ClipBatch) -> torch.Tensor:
            return clips.waveforms[:, :, None]

    with pytest.raises(TypeError, match=r"must return logits \[B, C\]"):
        logits_of(Frames(), pad_clips(noises))
