"""What keeps a model from learning its training rows by heart."""

from zoo.parts.table import Part, PartTable

REGULARISERS = PartTable(
    "regulariser",
    Part(
        "drop_path",
        "zoo.layers.drop_path:DropPath",
        "Huang et al. 2016, arXiv:1603.09382, section 3",
        "residual branches left out at random; a layer of the models that take it",
    ),
    Part(
        "dropout",
        "zoo.layers.drop_path:dropout",
        "Srivastava et al. 2014, Journal of Machine Learning Research 15, section 4",
        "values left out at random; a layer of the models that take it",
    ),
    Part(
        "early_stopping",
        "zoo.training.callbacks:EarlyStopping",
        "Prechelt 1998, doi:10.1007/3-540-49430-8_3",
        "an end after `patience` epochs without a better validation; option patience of training",
    ),
    Part(
        "exponential_moving_average",
        "zoo.training.averaging:ExponentialMovingAverage",
        "Polyak and Juditsky 1992, doi:10.1137/0330046; Tarvainen and Valpola 2017, arXiv:1703.01780",
        "weights averaged over the steps; option ema of training",
    ),
    Part(
        "l1",
        "zoo.training.penalties:l1_penalty",
        "Tibshirani 1996, doi:10.1111/j.2517-6161.1996.tb02080.x",
        "the sum of |w| as part of the loss; option l1 of training",
    ),
    Part(
        "l2",
        "zoo.training.penalties:l2_penalty",
        "Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634",
        "half the sum of w^2 as part of the loss, inside Adam's moments; option l2 of training",
    ),
    Part(
        "label_smoothing",
        "zoo.losses.classification:cross_entropy",
        "Szegedy et al. 2015, arXiv:1512.00567, section 7",
        "a share of the target spread over all classes; option label_smoothing of the tasks with classes",
    ),
    Part(
        "stochastic_weight_averaging",
        "zoo.training.averaging:StochasticWeightAveraging",
        "Izmailov et al. 2018, arXiv:1803.05407, algorithm 1",
        "weights averaged at the ends of the last epochs; option swa of training",
    ),
    Part(
        "weight_decay",
        "zoo.optim.optimizers:adamw",
        "Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2",
        "weights shrunk by a share at each step, apart from Adam's moments; option weight_decay of training",
    ),
)
