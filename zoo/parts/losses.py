"""The losses: functions of prediction and target, and those that take something else, a table for each kind."""

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
        "binary_focal",
        "zoo.losses.focal:binary_focal",
        "Lin et al. 2017, arXiv:1708.02002, equation 5",
        "yes or no; the surer an answer, the less it counts",
    ),
    Part(
        "charbonnier",
        "zoo.losses.regression:charbonnier",
        "Charbonnier et al. 1994, doi:10.1109/ICIP.1994.413553",
        "absolute error with a round corner",
    ),
    Part(
        "class_balanced_cross_entropy",
        "zoo.losses.class_balance:class_balanced_cross_entropy",
        "Cui et al. 2019, arXiv:1901.05555, proposition 1",
        "cross-entropy with weights from the counts of the classes",
    ),
    Part(
        "cross_entropy",
        "zoo.losses.classification:cross_entropy",
        "Good 1952, doi:10.1111/j.2517-6161.1952.tb00104.x; Szegedy et al. 2015, arXiv:1512.00567, section 7",
        "one of C classes, from logits; class weights, label smoothing",
    ),
    Part(
        "cross_entropy_dice",
        "zoo.losses.overlap:cross_entropy_dice_loss",
        "Isensee et al. 2018, arXiv:1809.10486, Training Procedure",
        "cross-entropy and Dice together, for segmentation",
    ),
    Part(
        "dice",
        "zoo.losses.overlap:dice_loss",
        "Milletari et al. 2016, arXiv:1606.04797, section 3",
        "one minus the overlap of regions",
    ),
    Part(
        "distillation",
        "zoo.losses.distillation:distillation",
        "Hinton et al. 2015, arXiv:1503.02531, section 2",
        "softened answers of a teacher, times the temperature squared",
    ),
    Part(
        "focal",
        "zoo.losses.focal:focal",
        "Lin et al. 2017, arXiv:1708.02002, equation 5",
        "one of C classes; the surer an answer, the less it counts",
    ),
    Part(
        "gram",
        "zoo.losses.images:gram",
        "Gatys et al. 2015, arXiv:1508.06576; scaled as Johnson et al. 2016, arXiv:1603.08155, section 3.1",
        "style: products of the channels of two feature maps",
    ),
    Part("hinge", "zoo.losses.hinge:hinge", "Cortes and Vapnik 1995, doi:10.1007/BF00994018", "yes or no by a margin"),
    Part(
        "hinge_embedding",
        "zoo.losses.hinge:hinge_embedding",
        "torch.nn.HingeEmbeddingLoss; linear where Hadsell et al. 2006, doi:10.1109/CVPR.2006.100, is squared",
        "distances of like and unlike pairs",
    ),
    Part(
        "huber", "zoo.losses.regression:huber", "Huber 1964, doi:10.1214/aoms/1177703732", "squared near 0, linear far"
    ),
    Part(
        "info_nce",
        "zoo.losses.embedding:info_nce",
        "van den Oord et al. 2018, arXiv:1807.03748, equation 4",
        "each query's own key among all keys",
    ),
    Part(
        "kl_divergence",
        "zoo.losses.divergence:kl_divergence",
        "Kullback and Leibler 1951, doi:10.1214/aoms/1177729694",
        "nats from a distribution to the model's, or back",
    ),
    Part(
        "log_cosh",
        "zoo.losses.regression:log_cosh",
        "Green 1990, doi:10.1109/42.52985; Saleh and Saleh 2022, arXiv:2208.04564",
        "squared near 0, linear far, smooth throughout",
    ),
    Part(
        "lovasz_hinge",
        "zoo.losses.lovasz:lovasz_hinge",
        "Berman et al. 2018, arXiv:1705.08790; Yu and Blaschko 2015, arXiv:1512.07797",
        "intersection over union of yes-or-no masks",
    ),
    Part(
        "lovasz_softmax",
        "zoo.losses.lovasz:lovasz_softmax",
        "Berman et al. 2018, arXiv:1705.08790, algorithm 1",
        "intersection over union of C classes",
    ),
    Part(
        "mae",
        "zoo.losses.regression:mae",
        "Laplace 1774, Mémoire sur la probabilité des causes par les évènements",
        "mean absolute error",
    ),
    Part(
        "mse",
        "zoo.losses.regression:mse",
        "Legendre 1805, Nouvelles méthodes, appendix; Gauss 1809, Theoria motus, article 179",
        "mean squared error",
    ),
    Part(
        "multi_class_hinge",
        "zoo.losses.hinge:multi_class_hinge",
        "Crammer and Singer 2001 (JMLR 2); Weston and Watkins 1999 (ESANN)",
        "one of C classes by a margin",
    ),
    Part(
        "nll",
        "zoo.losses.classification:nll",
        "Fisher 1922, doi:10.1098/rsta.1922.0009",
        "one of C classes, from log-probabilities",
    ),
    Part(
        "nt_xent",
        "zoo.losses.embedding:nt_xent",
        "Chen et al. 2020, arXiv:2002.05709, equation 1; groups from Khosla et al. 2020, arXiv:2004.11362, equation 2",
        "rows that belong together among all rows",
    ),
    Part(
        "pixel",
        "zoo.losses.images:pixel",
        "Isola et al. 2017, arXiv:1611.07004, equation 3; Johnson et al. 2016, arXiv:1603.08155, section 3.2",
        "absolute, squared or Charbonnier's difference of images",
    ),
    Part(
        "rmse",
        "zoo.losses.regression:rmse",
        "Gauss 1823, Theoria combinationis observationum",
        "root of the mean squared error",
    ),
    Part(
        "tversky",
        "zoo.losses.overlap:tversky_loss",
        "Salehi et al. 2017, arXiv:1706.05721, T(alpha, beta)",
        "overlap with weights for false positives and negatives",
    ),
    Part(
        "weighted_cross_entropy",
        "zoo.losses.class_balance:weighted_cross_entropy",
        "King and Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868",
        "cross-entropy that insists on class weights",
    ),
    given=2,
)
"""Functions of prediction and target, had by `zoo.losses.make_loss`."""

EMBEDDING_LOSSES = PartTable(
    "embedding loss",
    Part(
        "contrastive",
        "zoo.losses.embedding:contrastive",
        "Hadsell et al. 2006, doi:10.1109/CVPR.2006.100, equation 4",
        "two embeddings [B, D] and which pairs are alike",
    ),
    Part(
        "triplet",
        "zoo.losses.embedding:triplet",
        "Schroff et al. 2015, arXiv:1503.03832, section 3.1",
        "anchor, positive and negative, [B, D] each",
    ),
    given=2,
)
"""Functions of two embeddings or more: pairs and whether they are alike, triplets."""

SEQUENCE_LOSSES = PartTable(
    "sequence loss",
    Part(
        "ctc",
        "zoo.losses.ctc:ctc",
        "Graves et al. 2006, doi:10.1145/1143844.1143891, section 4",
        "labels that are not aligned with the steps",
    ),
    given=4,
)
"""Functions of logits, targets and the lengths of both."""

BOX_LOSSES = PartTable(
    "box loss",
    Part(
        "ciou",
        "zoo.losses.boxes:ciou_loss",
        "Zheng et al. 2020, arXiv:1911.08287, Complete IoU Loss",
        "overlap, distance of centres and proportions",
    ),
    Part(
        "diou",
        "zoo.losses.boxes:diou_loss",
        "Zheng et al. 2020, arXiv:1911.08287, Distance-IoU Loss",
        "overlap and distance of centres",
    ),
    Part(
        "giou",
        "zoo.losses.boxes:giou_loss",
        "Rezatofighi et al. 2019, arXiv:1902.09630, algorithm 2",
        "overlap and emptiness of the hull",
    ),
    Part(
        "iou",
        "zoo.losses.boxes:iou_loss",
        "Rezatofighi et al. 2019, arXiv:1902.09630, algorithm 2",
        "one minus intersection over union",
    ),
    Part(
        "smooth_l1",
        "zoo.losses.boxes:smooth_l1",
        "Girshick 2015, arXiv:1504.08083, equation 3",
        "coordinates: squared near 0, linear far",
    ),
    given=2,
)
"""Functions of predicted and target boxes [N, 4]."""

DISTILLATION_LOSSES = PartTable(
    "distillation loss",
    Part(
        "distillation_cross_entropy",
        "zoo.losses.distillation:distillation_cross_entropy",
        "Hinton et al. 2015, arXiv:1503.02531, section 2",
        "softened answers of a teacher and the labels, weighted",
    ),
    given=3,
)
"""Functions of logits, a teacher's logits and labels."""

FEATURE_LOSSES = PartTable(
    "feature loss",
    Part(
        "perceptual",
        "zoo.losses.perceptual:PerceptualLoss",
        "Johnson et al. 2016, arXiv:1603.08155, section 3.1",
        "difference of feature maps",
    ),
    Part(
        "style",
        "zoo.losses.perceptual:StyleLoss",
        "Johnson et al. 2016, arXiv:1603.08155, section 3.1; Gatys et al. 2015, arXiv:1508.06576",
        "difference of the Gram matrices of feature maps",
    ),
    given=1,
)
"""Modules made of a backbone that gives feature maps: images and targets to a loss."""

IMAGE_PRIORS = PartTable(
    "image prior",
    Part(
        "total_variation",
        "zoo.losses.images:total_variation",
        "Rudin et al. 1992, doi:10.1016/0167-2789(92)90242-F",
        "how much neighbouring pixels differ",
    ),
    given=1,
)
"""Functions of images alone."""

ADVERSARIAL_LOSSES = PartTable(
    "adversarial loss",
    Part(
        "hinge",
        "zoo.losses.adversarial:hinge",
        "Lim and Ye 2017, arXiv:1705.02894, equations 11 and 12",
        "margins for the discriminator, plain scores for the generator",
    ),
    Part(
        "least_squares",
        "zoo.losses.adversarial:least_squares",
        "Mao et al. 2016, arXiv:1611.04076, equation 2",
        "squared distances of scores from their labels",
    ),
    Part(
        "minimax",
        "zoo.losses.adversarial:minimax",
        "Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1",
        "one objective, raised and lowered",
    ),
    Part(
        "non_saturating",
        "zoo.losses.adversarial:non_saturating",
        "Goodfellow et al. 2014, arXiv:1406.2661, section 3",
        "a generator that learns where the discriminator is sure",
    ),
    Part(
        "wasserstein",
        "zoo.losses.adversarial:wasserstein",
        "Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1",
        "differences of scores; for a critic of bounded slope",
    ),
    given=0,
)
"""Pairs of functions, one for each of two players."""

CRITIC_PENALTIES = PartTable(
    "critic penalty",
    Part(
        "gradient_penalty",
        "zoo.losses.adversarial:gradient_penalty",
        "Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1",
        "slopes of 1 between real and drawn samples: Wasserstein with gradient penalty",
    ),
    Part(
        "r1",
        "zoo.losses.adversarial:r1_penalty",
        "Mescheder et al. 2018, arXiv:1801.04406, equation 9",
        "slopes of 0 at real samples",
    ),
    given=2,
)
"""Functions of a critic and samples, added to its loss."""
