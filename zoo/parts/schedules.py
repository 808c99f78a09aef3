"""The learning-rate schedules: pure functions of the optimizer step."""

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
    Part("exponential", "zoo.optim.schedules:Exponential", "own", "a factor at every step"),
    Part(
        "inverse_square_root",
        "zoo.optim.schedules:InverseSquareRoot",
        "Vaswani et al. 2017, arXiv:1706.03762, equation 3",
        "a linear rise, then 1 / sqrt(step)",
    ),
    Part(
        "one_cycle",
        "zoo.optim.schedules:OneCycle",
        "Smith and Topin 2017, arXiv:1708.07120, section 3",
        "one rise and one fall of the rate, momentum the other way",
    ),
    Part("step", "zoo.optim.schedules:StepDecay", "own", "a factor at given steps"),
)
