"""The optimizers: functions of parameters, learning rate and options."""

from zoo.parts.table import Part, PartTable

OPTIMIZERS = PartTable(
    "optimizer",
    Part(
        "adam",
        "zoo.optim.optimizers:adam",
        "Kingma and Ba 2015, arXiv:1412.6980, algorithm 1",
        "steps scaled by running moments; decay as L2 penalty",
    ),
    Part(
        "adamw",
        "zoo.optim.optimizers:adamw",
        "Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2",
        "Adam with weight decay apart from the gradient",
    ),
    Part(
        "momentum",
        "zoo.optim.optimizers:momentum",
        "Polyak 1964, doi:10.1016/0041-5553(64)90137-5",
        "gradient descent with momentum",
    ),
    Part(
        "nesterov",
        "zoo.optim.optimizers:nesterov",
        "Sutskever et al. 2013 (ICML), section 2",
        "gradient descent with Nesterov's momentum",
    ),
    Part(
        "sgd",
        "zoo.optim.optimizers:sgd",
        "Robbins and Monro 1951, doi:10.1214/aoms/1177729586",
        "plain gradient descent",
    ),
    given=1,
)
