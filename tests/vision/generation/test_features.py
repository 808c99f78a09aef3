"""Networks in whose features images are compared."""

import torch
from torch import nn

from vision.generation.features import ClassifierFeatures, RandomFeatures, num_features
from zoo.records import ImagePreprocessing


class Classifier(nn.Module):
    """Gives the mean colour to a linear head, so that features can be told by hand."""

    classifier = "head"

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, images):
        self.seen = images
        return self.head(images.mean((2, 3)))


def test_a_classifiers_features_are_what_its_head_sees():
    """By hand: grey 0.2 in -1..1 is 0.6 in 0..1, and (0.6 - 0.5) / 0.25 = 0.4; fails if the scales are mixed up."""
    preprocessing = ImagePreprocessing(size=(6, 6), resize=6, mean=(0.5, 0.5, 0.1), std=(0.25, 0.5, 0.5))
    network = ClassifierFeatures(Classifier(), preprocessing)
    features = network(torch.full((2, 1, 4, 4), 0.2))
    torch.testing.assert_close(features, torch.tensor([[0.4, 0.2, 1.0]] * 2))
    assert network.classifier.seen.shape == (2, 3, 6, 6)
    assert num_features(network, (1, 4, 4)) == 3
    assert not network.classifier.head._forward_pre_hooks


def test_colour_images_for_a_grey_classifier():
    network = ClassifierFeatures(
        nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), ImagePreprocessing(size=(2, 2), resize=2, mean=(0.0,), std=(1.0,))
    )
    images = torch.tensor([-1.0, 0.0, 1.0])[None, :, None, None].expand(1, 3, 2, 2)
    torch.testing.assert_close(network(images), torch.full((1, 4), 0.5))


def test_random_features_are_always_the_same():
    """Fails if they come from torch's own generator: FIDs of two runs would not compare."""
    state = torch.get_rng_state()
    one, two = RandomFeatures(channels=1), RandomFeatures(channels=1)
    assert torch.equal(torch.get_rng_state(), state)
    images = torch.randn(3, 1, 16, 16)
    torch.testing.assert_close(one(images), two(images))
    assert num_features(one, (1, 16, 16)) == 128
    assert one(images).std(0).min() >= 0
    assert (one(images).std(0) > 0.01).float().mean() > 0.9
