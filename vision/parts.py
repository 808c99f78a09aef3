"""What vision adds to the toolkit, as data: changes of training images, metrics, and views of test images."""

from zoo.parts.table import Part, PartTable

AUGMENTATIONS = PartTable(
    "image augmentation",
    Part(
        "light",
        "vision.data.transforms:light",
        "random resized crops: Szegedy et al. 2014, arXiv:1409.4842, section 6",
        "large crops and mirror images",
    ),
    Part(
        "standard",
        "vision.data.transforms:standard",
        "random resized crops: Szegedy et al. 2014, arXiv:1409.4842, section 6",
        "crops, mirror images, brightness, contrast and saturation",
    ),
    Part(
        "auto_augment",
        "vision.data.policies:auto_augment",
        "Cubuk et al. 2018, arXiv:1805.09501, section 3",
        "a learned policy of pairs of operations, for ImageNet, CIFAR-10 or SVHN",
    ),
    Part(
        "augmix",
        "vision.data.policies:augmix",
        "Hendrycks et al. 2019, arXiv:1912.02781, algorithm 1",
        "the image mixed with chains of operations on it",
    ),
    Part(
        "rand_augment",
        "vision.data.policies:rand_augment",
        "Cubuk et al. 2019, arXiv:1909.13719, section 3",
        "some random operations of one magnitude",
    ),
    Part(
        "random_erasing",
        "vision.data.policies:random_erasing",
        "Zhong et al. 2017, arXiv:1708.04896, algorithm 1",
        "a rectangle of noise or of one grey value",
    ),
    Part(
        "trivial_augment",
        "vision.data.policies:trivial_augment",
        "Müller and Hutter 2021, arXiv:2103.10158, algorithm 1",
        "one random operation of a random magnitude",
    ),
)

METRICS = PartTable(
    "metric",
    Part(
        "map",
        "vision.detection.metrics:AveragePrecision",
        "Lin et al. 2014, arXiv:1405.0312, section 6; as faster-coco-eval computes it",
        "mean average precision of boxes over overlaps and classes",
    ),
)

VIEWS = PartTable(
    "image view",
    Part(
        "five_crop",
        "vision.data.views:five_crop",
        "Krizhevsky et al. 2012, Advances in Neural Information Processing Systems 25, section 4.1",
        "test-time augmentation by corners and centre",
    ),
    Part(
        "flip",
        "vision.data.views:flip",
        "Krizhevsky et al. 2012, Advances in Neural Information Processing Systems 25, section 4.1",
        "test-time augmentation by the mirror image",
    ),
    Part(
        "flips",
        "vision.data.views:flips",
        "own",
        "test-time augmentation by mirror images each way, for images without an up and down",
    ),
    Part("scales", "vision.data.views:scales", "own", "test-time augmentation by the enlarged centre"),
    Part(
        "ten_crop",
        "vision.data.views:ten_crop",
        "Krizhevsky et al. 2012, Advances in Neural Information Processing Systems 25, section 4.1",
        "test-time augmentation by corners and centre and their mirror images",
    ),
)

MASK_VIEWS = PartTable(
    "mask view",
    Part("flip", "vision.data.views:mask_flip", "own", "test-time augmentation of masks by the mirror image"),
    Part("flips", "vision.data.views:mask_flips", "own", "test-time augmentation of masks by mirror images each way"),
)
