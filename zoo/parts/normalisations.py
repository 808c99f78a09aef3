"""The normalisation layers: functions of a number of channels."""

from zoo.parts.table import Part, PartTable

_MODULE = "zoo.layers.normalisations"

NORMALISATIONS = PartTable(
    "normalisation",
    Part(
        "batch",
        f"{_MODULE}:batch",
        "Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 1",
        "each channel over the batch and all places",
    ),
    Part(
        "group",
        f"{_MODULE}:group",
        "Wu and He 2018, arXiv:1803.08494, section 3",
        "each row over groups of channels and all places",
    ),
    Part(
        "instance",
        f"{_MODULE}:instance",
        "Ulyanov et al. 2016, arXiv:1607.08022",
        "each channel of each row over its places",
    ),
    Part(
        "layer",
        f"{_MODULE}:layer",
        "Ba et al. 2016, arXiv:1607.06450, section 3",
        "each row over its last dimension, its channels at each place, or all it has",
    ),
    Part("none", f"{_MODULE}:none", "own", "nothing is changed"),
    Part(
        "rms",
        f"{_MODULE}:rms",
        "Zhang and Sennrich 2019, arXiv:1910.07467, section 4",
        "as layer, by the root mean square alone",
    ),
    given=1,
)
