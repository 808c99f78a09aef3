"""The losses: functions of prediction and target, and those of two players against each other."""

from zoo.parts.table import Part, PartTable

LOSSES = PartTable(
    "loss",
    Part(
        "binary_cross_entropy",
        "zoo.losses.classification:binary_cross_entropy",
        "Good 1952, doi:10.1111/j.2517-6161.1952.tb00104.x",
        "yes or no for each output, from logits",
    ),
    Part(
        "cross_entropy",
        "zoo.losses.classification:cross_entropy",
        "label smoothing from Szegedy et al. 2015, arXiv:1512.00567, section 7",
        "one of C classes, from logits; class weights, label smoothing",
    ),
    Part(
        "cross_entropy_dice",
        "zoo.losses.overlap:cross_entropy_dice_loss",
        "Isensee et al. 2018, arXiv:1809.10486, section 2.2",
        "cross-entropy and Dice together, for segmentation",
    ),
    Part(
        "dice",
        "zoo.losses.overlap:dice_loss",
        "Milletari et al. 2016, arXiv:1606.04797, section 3",
        "one minus the overlap of regions",
    ),
    Part(
        "huber", "zoo.losses.regression:huber", "Huber 1964, doi:10.1214/aoms/1177703732", "squared near 0, linear far"
    ),
    Part("mae", "zoo.losses.regression:mae", "Laplace 1774", "mean absolute error"),
    Part("mse", "zoo.losses.regression:mse", "Gauss 1809", "mean squared error"),
    Part(
        "tversky",
        "zoo.losses.overlap:tversky_loss",
        "Salehi et al. 2017, arXiv:1706.05721, equation 4",
        "overlap with weights for false positives and negatives",
    ),
    given=2,
)
