"""The studies, in the order of the page."""

from docs.toolkit.generalisation import regularisation, test_time
from docs.toolkit.rates import optimizers, range_test, restarts, super_convergence
from docs.toolkit.rows import RATIO, augmentation, balancing, whitening
from docs.toolkit.setting import Study
from docs.toolkit.speed import frozen_features, precision
from docs.toolkit.together import ensembles, search, stacking

STUDIES = (
    Study(
        "lr_finder",
        "The learning-rate finder",
        "Is the rate that the range test suggests a good one? ResNet-20, one cycle.",
        range_test,
    ),
    Study(
        "one_cycle",
        "One cycle and super-convergence",
        "Does one cycle with a high rate need fewer steps than constant rates? ResNet-20.",
        super_convergence,
    ),
    Study(
        "restarts",
        "Warm restarts and snapshot ensembles",
        "What do cycles with restarts (SGDR) and the ensemble of their ends give, at the cost of one training?",
        restarts,
    ),
    Study(
        "optimizers", "Optimizers", "How far does each get in a short training, at the best of three rates?", optimizers
    ),
    Study(
        "regularisation",
        "Regularisation",
        "What do penalties and averages of weights change in a training three times the usual length?",
        regularisation,
    ),
    Study(
        "augmentation",
        "Augmentation",
        "What do random changes of images and mixtures of them change, in twice the usual epochs?",
        augmentation,
    ),
    Study(
        "balancing",
        "Balancing",
        f"Classes thinned out to {RATIO}:1, judged evenly: what does balancing change?",
        balancing,
    ),
    Study(
        "whitening",
        "Whitening",
        "A fully connected network on pixels, plain gradient descent: what does fitted preprocessing change?",
        whitening,
    ),
    Study("views", "Test-time augmentation", "What do several looks at each test image give?", test_time),
    Study("ensembles", "Ensembles and soups", "What do several runs give together?", ensembles),
    Study(
        "stacking",
        "Stacking",
        "Three networks: does a model over their out-of-fold answers beat their plain average?",
        stacking,
    ),
    Study("search", "Search", "What does a search of 15 short trials find?", search),
    Study(
        "frozen",
        "Frozen features",
        "How much faster is a new head when the frozen body's features are computed once and kept?",
        frozen_features,
    ),
    Study("precision", "Precision and memory layout", "What do bf16 and channels-last save on this CPU?", precision),
)
