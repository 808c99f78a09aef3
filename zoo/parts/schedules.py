"""The learning-rate schedules: pure functions of the optimizer step, and one that follows validation."""

from zoo.parts.table import Part, PartTable

SCHEDULES = PartTable(
    "schedule",
    Part("constant", "zoo.optim.schedules:Constant", "own", "the base rate throughout"),
    Part(
        "cosine",
        "zoo.optim.schedules:Cosine",
        "Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5",
        "half a cosine down",
    ),
    Part(
        "cosine_restarts",
        "zoo.optim.cycles:CosineRestarts",
        "Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5; Huang et al. 2017, arXiv:1704.00109, equation 2",
        "half a cosine down, again and again: SGDR, snapshot ensembles",
    ),
    Part(
        "cyclic",
        "zoo.optim.cycles:Cyclic",
        "Smith 2015, arXiv:1506.01186, section 3.1",
        "triangles between a low rate and the base rate",
    ),
    Part("exponential", "zoo.optim.schedules:Exponential", "own", "a factor at every step"),
    Part(
        "inverse_square_root",
        "zoo.optim.schedules:InverseSquareRoot",
        "Vaswani et al. 2017, arXiv:1706.03762, equation 3",
        "a linear rise, then 1 / sqrt(step)",
    ),
    Part(
        "linear",
        "zoo.optim.schedules:Linear",
        "Gulrajani et al. 2017, arXiv:1704.00028",
        "a straight line down",
    ),
    Part(
        "one_cycle",
        "zoo.optim.schedules:OneCycle",
        "Smith and Topin 2017, arXiv:1708.07120, section 3",
        "one rise and one fall of the rate, momentum the other way",
    ),
    Part(
        "plateau",
        "zoo.optim.plateau:Plateau",
        "Krizhevsky et al. 2012 (NeurIPS), section 5",
        "a factor whenever validation no longer improves",
    ),
    Part(
        "polynomial",
        "zoo.optim.schedules:Polynomial",
        "Chen et al. 2016, arXiv:1606.00915",
        "what is left of the steps to a power",
    ),
    Part("step", "zoo.optim.schedules:StepDecay", "own", "a factor at given steps"),
)
