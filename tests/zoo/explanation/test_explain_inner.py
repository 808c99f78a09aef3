"""A model seen from one of its layers on, and explanations over what that layer gives."""

from typing import NamedTuple

import pytest
import torch
from torch import nn

from zoo.explanation import FromLayer, TokenView, explain


class Texts(NamedTuple):
    ids: torch.Tensor  # [B, T]
    mask: torch.Tensor  # [B, T]


class MeanOfWords(nn.Module):
    """Logits [B, 3] from the masked mean of embeddings."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, texts):
        values = self.embedding(texts.ids) * texts.mask[..., None]
        return self.head(values.sum(1) / texts.mask.sum(1, keepdim=True))


class Tones(nn.Module):
    """Logits [B, 2] from a picture made inside the model."""

    def __init__(self):
        super().__init__()
        self.frontend = nn.Unflatten(1, (1, 8, 16))
        self.convolution = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Linear(4, 2)

    def forward(self, sounds):
        return self.head(self.convolution(self.frontend(sounds)).relu().mean((2, 3)))


@pytest.fixture
def words():
    torch.manual_seed(0)
    model = MeanOfWords().eval()
    ids = torch.randint(1, 20, (3, 6))
    mask = torch.ones(3, 6, dtype=torch.bool)
    mask[1, 4:] = False
    return model, Texts(ids, mask)


def test_own_values_give_the_own_output(words):
    """Fails if the layer's output is not what is replaced, or is turned the wrong way."""
    model, texts = words
    wrapper = FromLayer(model, "embedding", texts, channels_last=True)
    assert wrapper.values.shape == (3, 5, 6)
    torch.testing.assert_close(wrapper(wrapper.values), model(texts))


def test_attributions_over_tokens_add_up_and_leave_padding_alone(words):
    """Fails if heat is summed over tokens rather than over the embedding's width, or reaches what the mask hides."""
    model, texts = words
    wrapper = FromLayer(model, "embedding", texts, channels_last=True)
    view = TokenView(tokens=[["w"] * 6, ["w"] * 4, ["w"] * 6])
    found = explain(wrapper, wrapper.values, method="integrated_gradients", target=1, view=view)
    assert found.heat.shape == (3, 6)
    assert not found.heat[1, 4:].any()
    with torch.no_grad():
        gain = model(texts)[:, 1] - wrapper(torch.zeros_like(wrapper.values))[:, 1]
    torch.testing.assert_close(found.heat.sum(1), gain, atol=1e-4, rtol=1e-4)


def test_grad_cam_over_a_picture_made_inside(words):
    """Fails if the trace, which runs one row, is fed all rows of the inputs."""
    torch.manual_seed(0)
    model = Tones()
    sounds = torch.randn(3, 128)
    wrapper = FromLayer(model, "frontend", sounds)
    found = explain(wrapper, wrapper.values, method="grad_cam")
    assert found.heat.shape == (3, 8, 16)
    assert found.layer == "model.convolution"


def test_arguments_by_place_and_by_name():
    """Fails if a tuple of arguments is handed over as one."""

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(5, 2)

        def forward(self, ids, scale):
            return self.embedding(ids).sum(1) * scale[:, None]

    model, ids, scale = Both(), torch.tensor([[1, 2], [3, 4]]), torch.tensor([1.0, 2.0])
    by_place = FromLayer(model, "embedding", (ids, scale), unpack=True)
    by_name = FromLayer(model, "embedding", {"ids": ids, "scale": scale})
    torch.testing.assert_close(by_place(by_place.values), by_name(by_name.values))
    torch.testing.assert_close(by_place(by_place.values[:1]), model(ids[:1], scale[:1]))


def test_the_model_is_left_as_it_was(words):
    """Fails if a hook stays, or the mode changes."""
    model, texts = words
    model.train()
    FromLayer(model, "embedding", texts)
    assert model.training
    assert not model.embedding._forward_hooks


def test_a_layer_that_does_not_run_is_refused(words):
    """Fails if the mistake shows as an index error."""
    model, texts = words
    model.unused = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="ran 0 times"):
        FromLayer(model, "unused", texts)
