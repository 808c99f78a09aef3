"""The sound classifiers of the zoo, as data: importing this file imports no torch."""

from collections.abc import Mapping
from typing import Any

from zoo.records import AudioPreprocessing, Entry, Paper, TaskEntry

RAW_WAVEFORMS = Paper(
    title="Very deep convolutional neural networks for raw waveforms",
    authors="Dai et al.",
    year=2016,
    id="arXiv:1610.00087",
)
PANNS = Paper(
    title="PANNs: large-scale pretrained audio neural networks for audio pattern recognition",
    authors="Kong et al.",
    year=2019,
    id="arXiv:1912.10211",
)
RETHINKING = Paper(
    title="Rethinking CNN models for audio classification",
    authors="Palanisamy, Singhania and Yao",
    year=2020,
    id="arXiv:2007.11154",
)
TASK = "audio/classification"
AT_8_KHZ = AudioPreprocessing(sample_rate_hz=8000)
WIDTHS = (64, 128, 256, 512)


def _raw(name: str, num_params: int, summary: str, config: Mapping[str, Any]) -> Entry:
    """A network on the raw waveform; the paper trains with Adam and an L2 penalty."""
    return Entry(
        name=name, task=TASK, builder="audio.classification.m5:RawWaveformCNN", summary=summary, paper=RAW_WAVEFORMS,
        num_params=num_params, config=config, preprocessing=AT_8_KHZ,
        recipe={"optimizer": "adam", "weight_decay": 1e-4},
    )  # fmt: skip


def _panns(name: str, num_params: int, summary: str, config: Mapping[str, Any]) -> Entry:
    """A network on a log-mel spectrogram of any sample rate."""
    builder = "audio.classification.spectrogram_cnn:SpectrogramCNN"
    return Entry(
        name=name, task=TASK, builder=builder, summary=summary, paper=PANNS, num_params=num_params, config=config
    )


# fmt: off
MODELS: tuple[Entry, ...] = (
    # -- On the raw waveform at 8 kHz
    _raw("m3", 221_194, "Two wide convolutions on the raw waveform",
         {"stem_width": 256, "widths": (256,), "depths": (1,)}),
    _raw("m5", 559_114, "Four convolutions on the raw waveform",
         {"stem_width": 128, "widths": (128, 256, 512), "depths": (1, 1, 1)}),
    _raw("m11", 1_786_442, "Ten convolutions on the raw waveform",
         {"stem_width": 64, "widths": WIDTHS, "depths": (2, 2, 3, 2)}),
    _raw("m18", 3_683_786, "17 convolutions on the raw waveform",
         {"stem_width": 64, "widths": WIDTHS, "depths": (4, 4, 4, 4)}),
    _raw("m34_res", 3_984_154, "33 convolutions in residual blocks on the raw waveform",
         {"stem_width": 48, "widths": (48, 96, 192, 384), "depths": (3, 4, 6, 3), "block": "residual"}),
    # -- On a log-mel spectrogram
    _panns("logmel_cnn", 311_578, "CNN10 at a quarter of its width and half of its bands, for small data sets",
           {"widths": (16, 32, 64, 128), "num_mels": 32, "num_classes": 10, "sample_rate_hz": 16_000, "dropout": 0.0,
            "head_dropout": 0.2, "time_masks": 1, "frequency_masks": 1}),
    _panns("panns_cnn6", 4_837_455, "Four 5 x 5 convolutions on a log-mel spectrogram",
           {"widths": WIDTHS, "kernel_size": 5}),
    _panns("panns_cnn10", 5_219_279, "Four pairs of 3 x 3 convolutions on a log-mel spectrogram",
           {"widths": WIDTHS, "kernel_size": 3}),
    _panns("panns_cnn14", 80_753_615, "Six pairs of 3 x 3 convolutions on a log-mel spectrogram",
           {"widths": (*WIDTHS, 1024, 2048), "kernel_size": 3, "pool_last": False}),
    Entry(name="logmel_backbone", task=TASK, builder="audio.classification.image_backbone:SpectrogramBackbone",
          summary="Any image network of timm on a log-mel spectrogram, ResNet-18 if not said", paper=RETHINKING,
          num_params=11_175_498, weight_arguments={"backbone_weights": "default"}),
)
# fmt: on

TASKS: tuple[TaskEntry, ...] = (
    TaskEntry(
        name=TASK,
        builder="audio.classification.task:AudioClassification",
        reader="audio.data.reading:read_clips",
        summary="One class for each clip of sound, from a folder with a sub-folder per class, a table, or file names.",
    ),
)
