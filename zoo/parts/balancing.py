"""What is done about classes of unequal size."""

from zoo.parts.table import Part, PartTable

BALANCING = PartTable(
    "balancing",
    Part(
        "weighted_sampler",
        "zoo.data.balancing:weighted_sampler",
        "Shen, Lin and Huang 2016, arXiv:1512.05830, class-aware sampling",
        "as many draws as rows, a class first and then one of its rows",
    ),
    Part(
        "oversample",
        "zoo.data.balancing:oversample",
        "Buda, Maki and Mazurowski 2018, arXiv:1710.05381",
        "rows of small classes again, up to the largest",
    ),
    Part(
        "undersample",
        "zoo.data.balancing:undersample",
        "Buda, Maki and Mazurowski 2018, arXiv:1710.05381",
        "rows of each class as many as of the smallest, others in every epoch",
    ),
    Part(
        "class_weights",
        "zoo.data.balancing:class_weights",
        "King and Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868",
        "weights of the classes in the loss, inverse to their rows",
    ),
    given=1,
)
