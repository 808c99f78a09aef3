"""Each part of a detector by hand, and against torchvision's."""

import math

import pytest
import torch
from torch import nn
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from vision.detection.anchors import Anchors
from vision.detection.box_coding import decode_boxes, encode_boxes
from vision.detection.fpn import FeaturePyramid
from vision.detection.frozen_norm import FrozenBatchNorm, freeze_norms
from vision.detection.image_batch import make_batch, scale_boxes
from vision.detection.matching import BACKGROUND, UNDECIDED, match_boxes, sample_balanced
from vision.detection.roi_heads import box_levels, pool_boxes


def random_boxes(count: int, size: float = 100.0) -> torch.Tensor:
    corners = torch.rand(count, 2) * size
    return torch.cat((corners, corners + 2 + torch.rand(count, 2) * size), dim=1)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_anchors_are_torchvisions():
    """Fails if ratios are width over height, sizes are areas, or rows and columns change places."""
    maps = [torch.zeros(1, 1, 12, 20), torch.zeros(1, 1, 6, 10)]
    ours = Anchors(sizes=((32,), (64,)), aspect_ratios=(0.5, 1.0, 2.0))
    theirs = AnchorGenerator(((32,), (64,)), ((0.5, 1.0, 2.0),) * 2)
    images = ImageList(torch.zeros(1, 3, 96, 160), [(96, 160)])
    assert torch.equal(torch.cat(ours(maps, (96, 160))), theirs(images, maps)[0])
    assert ours.num_per_cell == 3
    tall = ours(maps, (96, 160))[0][2]  # ratio 2 of size 32: 23 wide, 45 high
    assert (tall[3] - tall[1]) > (tall[2] - tall[0])


def test_anchors_refuse_what_cannot_be():
    with pytest.raises(ValueError, match="2 levels of anchors for 1 maps"):
        Anchors(sizes=((32,), (64,)), aspect_ratios=(1.0,))([torch.zeros(1, 1, 2, 2)], (64, 64))
    for sizes in ((), ((),), ((-1,),), ((32, 64), (64,))):
        with pytest.raises(ValueError, match=r"[Ss]izes"):
            Anchors(sizes=sizes, aspect_ratios=(1.0,))


def test_coding_is_torchvisions_and_decoding_undoes_it():
    boxes, references, weights = random_boxes(20), random_boxes(20), (10.0, 10.0, 5.0, 5.0)
    coder = BoxCoder(weights)
    offsets = encode_boxes(boxes, references, weights)
    torch.testing.assert_close(offsets, coder.encode_single(boxes, references))
    torch.testing.assert_close(decode_boxes(offsets, references, weights), boxes, atol=1e-3, rtol=1e-4)
    wild = torch.randn(20, 4) * 20
    torch.testing.assert_close(decode_boxes(wild, references, weights), coder.decode_single(wild, references))


def test_coding_by_hand():
    """A box twice as wide whose centre lies half a width to the right: dx = 0.5, dw = log 2."""
    reference, box = torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[0.0, 0, 20, 20]])
    torch.testing.assert_close(encode_boxes(box, reference), torch.tensor([[0.5, 0.0, math.log(2), 0.0]]))


@pytest.mark.parametrize("keep_best", [True, False])
def test_matching_is_torchvisions(keep_best):
    from torchvision.ops import box_iou

    truths, candidates = random_boxes(6), random_boxes(300)
    wanted = Matcher(0.5, 0.2, allow_low_quality_matches=keep_best)(box_iou(truths, candidates))
    found = match_boxes(truths, candidates, high=0.5, low=0.2, keep_best=keep_best)
    assert torch.equal(found, wanted)
    assert {BACKGROUND, UNDECIDED} < set(found.tolist())


def test_an_image_without_boxes_is_all_background():
    found = match_boxes(torch.zeros(0, 4), random_boxes(5), high=0.5, low=0.5, keep_best=True)
    assert found.tolist() == [BACKGROUND] * 5


def test_the_sample_is_balanced_and_never_undecided():
    """Fails if few matched ones leave the sample small, or undecided ones count as background."""
    matches = torch.tensor([UNDECIDED] * 50 + [3] * 10 + [BACKGROUND] * 100)
    positive, negative = sample_balanced(matches, count=64, positive_share=0.5)
    assert (len(positive), len(negative)) == (10, 54)
    assert (matches[positive] == 3).all()
    assert (matches[negative] == BACKGROUND).all()
    assert len(set(negative.tolist())) == 54
    positive, negative = sample_balanced(torch.zeros(100, dtype=torch.int64), count=64, positive_share=0.25)
    assert (len(positive), len(negative)) == (16, 0)


def test_levels_by_hand():
    """FPN's equation 1: 224 pixels go to stride 16, twice as many to the next, and beyond the ends nothing goes."""
    sides = torch.tensor([1.0, 56, 111, 112, 224, 447, 448, 5000])
    boxes = torch.stack((torch.zeros(8), torch.zeros(8), sides, sides), dim=1)
    assert box_levels(boxes, (4, 8, 16, 32)).tolist() == [0, 0, 0, 1, 2, 2, 3, 3]
    assert box_levels(boxes, (8, 16, 32)).tolist() == [0, 0, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("strides", [(4, 8, 16), (8,)])
def test_pooling_is_torchvisions(strides):
    """Fails if boxes of several levels come back in another order, or an image's boxes look at another image."""
    maps = [torch.randn(2, 5, 256 // stride, 320 // stride) for stride in strides]
    boxes = [random_boxes(30, 150.0), random_boxes(20, 60.0)]
    names = [str(level) for level in range(len(maps))]
    pool = MultiScaleRoIAlign(names, output_size=7, sampling_ratio=2)
    wanted = pool(dict(zip(names, maps, strict=True)), boxes, [(256, 320)] * 2)
    torch.testing.assert_close(pool_boxes(maps, boxes, strides), wanted)
    assert pool_boxes(maps, [torch.zeros(0, 4)] * 2, strides).shape == (0, 5, 7, 7)


def test_pyramid_is_torchvisions_for_odd_sizes():
    ours = FeaturePyramid(in_channels=(4, 6), out_channels=8)
    theirs = FeaturePyramidNetwork([4, 6], 8, extra_blocks=LastLevelMaxPool())
    theirs.load_state_dict(ours.state_dict())
    maps = [torch.randn(1, 4, 13, 9), torch.randn(1, 6, 7, 5)]
    wanted = theirs({"0": maps[0], "1": maps[1]})
    for one, other in zip(ours(maps), wanted.values(), strict=True):
        torch.testing.assert_close(one, other)


def test_frozen_norms_are_torchvisions_and_never_move():
    norm = nn.BatchNorm2d(6, eps=1e-3)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    body = freeze_norms(nn.Sequential(nn.Sequential(norm), nn.ReLU()))
    assert isinstance(body[0][0], FrozenBatchNorm)
    reference = FrozenBatchNorm2d(6, eps=1e-3)
    reference.load_state_dict(body[0][0].state_dict())
    x = torch.randn(2, 6, 5, 4)
    before = {name: tensor.clone() for name, tensor in body.state_dict().items()}
    torch.testing.assert_close(body.train()[0](x), reference(x), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(body[0](x), norm.eval()(x), atol=1e-5, rtol=1e-5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in body.state_dict().items())
    assert not list(body.parameters())


def test_a_batch_of_unlike_images():
    """Fails if the longer side is not limited, padding is not zero, or sizes do not name the image's own part."""
    mean, std = torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), 0.25)
    images = [torch.rand(3, 30, 60), torch.rand(3, 40, 20)]
    batch = make_batch(images, mean=mean, std=std, min_size=60, max_size=100)
    assert batch.sizes == [(50, 100), (100, 50)]
    assert batch.originals == [(30, 60), (40, 20)]
    assert batch.pixels.shape == (2, 3, 128, 128)
    assert not batch.pixels[0, :, 50:].any()
    assert not batch.pixels[1, :, :, 50:].any()
    torch.testing.assert_close(batch.pixels[1, :, :100, :50].mean(), (images[1].mean() - 0.5) / 0.25, atol=0.02, rtol=0)
    boxes = torch.tensor([[6.0, 3, 60, 30]])
    torch.testing.assert_close(scale_boxes(boxes, (30, 60), (50, 100)), boxes * 100 / 60)
    whole = make_batch([torch.rand(3, 64, 96)], mean=mean, std=std, min_size=64, max_size=96)
    assert whole.pixels.shape == (1, 3, 64, 96)


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (torch.zeros(1, 3, 8, 8), ValueError, r"\[C, H, W\]"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), TypeError, "divide by 255"),
    ],
)
def test_what_is_no_image(image, error, words):
    one = torch.ones(3, 1, 1)
    with pytest.raises(error, match=words):
        make_batch([image], mean=one, std=one, min_size=8, max_size=8)
