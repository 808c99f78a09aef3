"""How the weights of a model start."""

from zoo.parts.table import Part, PartTable

INITIALISATIONS = PartTable(
    "initialisation",
    Part(
        "kaiming",
        "zoo.initialisation.schemes:kaiming",
        "He et al. 2015, arXiv:1502.01852, section 2.2, equations 10 and 14",
        "keeps the size of signals, or of gradients, through rectifiers",
    ),
    Part(
        "lsuv",
        "zoo.initialisation.lsuv:lsuv",
        "Mishkin and Matas 2015, arXiv:1511.06422, algorithm 1",
        "orthogonal, then each layer's output on a batch to variance 1",
    ),
    Part(
        "normal",
        "zoo.initialisation.schemes:normal",
        "Radford et al. 2015, arXiv:1511.06434, section 4",
        "one standard deviation for all layers",
    ),
    Part(
        "orthogonal",
        "zoo.initialisation.schemes:orthogonal",
        "Saxe et al. 2013, arXiv:1312.6120",
        "rows or columns at right angles: lengths are kept",
    ),
    Part(
        "xavier",
        "zoo.initialisation.schemes:xavier",
        "Glorot and Bengio 2010 (AISTATS), equations 12 and 16",
        "halfway between the size of signals and of gradients",
    ),
    Part(
        "zero_gamma",
        "zoo.initialisation.zero_gamma:zero_gamma",
        "Goyal et al. 2017, arXiv:1706.02677, section 5.1",
        "the last norm of each residual branch starts at 0",
    ),
    given=2,
)
