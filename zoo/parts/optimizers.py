"""The optimizers: functions of parameters, learning rate and options. "timm:name" gives any of timm's."""

from zoo.parts.table import Part, PartTable

OPTIMIZERS = PartTable(
    "optimizer",
    Part(
        "adagrad",
        "zoo.optim.optimizers:adagrad",
        "Duchi et al. 2011, JMLR 12, figure 1",
        "steps divided by the root of all squared gradients so far",
    ),
    Part(
        "adahessian",
        "zoo.optim.adahessian:AdaHessian",
        "Yao et al. 2020, arXiv:2006.00719, algorithm 1",
        "Adam with the Hessian's diagonal; second order",
    ),
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
        "amsgrad",
        "zoo.optim.optimizers:amsgrad",
        "Reddi et al. 2018, arXiv:1904.09237, algorithm 2",
        "Adam with the largest second moment so far",
    ),
    Part(
        "lamb",
        "zoo.optim.lamb:LAMB",
        "You et al. 2020, arXiv:1904.00962, algorithm 2",
        "Adam with steps as long as each tensor, for large batches",
    ),
    Part(
        "lbfgs",
        "zoo.optim.lbfgs:LBFGS",
        "Liu and Nocedal 1989, doi:10.1007/BF01589116, algorithm 2.1",
        "quasi-Newton steps with a line search on each batch; second order",
    ),
    Part(
        "lion",
        "zoo.optim.lion:Lion",
        "Chen et al. 2023, arXiv:2302.06675, algorithm 2",
        "the sign of a momentum",
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
        "rmsprop",
        "zoo.optim.optimizers:rmsprop",
        "Tieleman and Hinton 2012, Coursera lecture 6.5",
        "steps divided by a running root mean square of the gradient",
    ),
    Part(
        "sgd",
        "zoo.optim.optimizers:sgd",
        "Robbins and Monro 1951, doi:10.1214/aoms/1177729586",
        "plain gradient descent",
    ),
    given=1,
)
