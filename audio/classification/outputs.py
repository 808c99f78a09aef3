"""How a classifier of sounds is called, ours or transformers', and where its logits are.

Shapes: B clips, T samples, C classes.
"""

import torch
from torch import Tensor, nn

from audio.data.clips import ClipBatch
from audio.layers.masked import valid_positions
from zoo.training.classification import logits_of as classifier_logits


def logits_of(model: nn.Module, clips: ClipBatch) -> Tensor:
    """The logits [B, C] of a model for clips.

    A model of the zoo, or of the user, takes a ClipBatch. One of transformers that hears waveforms (wav2vec 2.0,
    HuBERT, WavLM and others) gets each clip at zero mean and unit variance, as its feature extractor makes it, and a
    mask where it was trained with one; those trained without, which normalise over the whole row, see the padding as
    silence.
    Raises: TypeError for a model that takes anything else, or returns no logits.
    """
    of_transformers = hasattr(model, "main_input_name")  # its name for what a model takes
    output = _from_transformers(model, clips) if of_transformers else model(clips)
    return classifier_logits(output)


def _from_transformers(model: nn.Module, clips: ClipBatch) -> object:
    norm = getattr(model.config, "feat_extract_norm", None)  # only models of waveforms have it
    if norm is None or model.main_input_name != "input_values":
        raise TypeError(
            f"{type(model).__name__} takes {model.main_input_name} made by a feature extractor of its own, which the "
            "zoo does not run. Choose a model of waveforms, such as 'hf:wav2vec2', or one of `zoo list --task audio/*`."
        )
    waveforms, lengths = clips.waveforms, clips.lengths[:, None]
    valid = valid_positions(clips.lengths, waveforms.shape[1])
    centred = torch.where(valid, waveforms - waveforms.sum(1, keepdim=True) / lengths, 0.0)
    values = centred / (centred.square().sum(1, keepdim=True) / lengths + 1e-7).sqrt()
    return model(input_values=values, attention_mask=valid.long() if norm == "layer" else None)
