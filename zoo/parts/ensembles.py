"""Several models in place of one."""

from zoo.parts.table import Part, PartTable

ENSEMBLES = PartTable(
    "ensemble",
    Part(
        "averaging",
        "zoo.ensembles.combining:average",
        "Dietterich 2000, doi:10.1007/3-540-45014-9_1",
        "the mean of probabilities or values, with weights if wanted: soft voting",
    ),
    Part(
        "bagging",
        "zoo.ensembles.bagging:bootstrap_rows",
        "Breiman 1996, doi:10.1007/BF00058655",
        "the average of models of rows drawn with replacement, judged by the rows left out",
    ),
    Part(
        "greedy_soup",
        "zoo.ensembles.soups:greedy_soup",
        "Wortsman et al. 2022, arXiv:2203.05482, recipe 1",
        "one model of the mean of those weights that make it better on validation data",
    ),
    Part(
        "snapshots",
        "zoo.ensembles.snapshots:Snapshots",
        "Huang et al. 2017, arXiv:1704.00109, equation 2",
        "the average of the weights at the ends of one run's cycles, each answering for itself",
    ),
    Part(
        "stacking",
        "zoo.ensembles.stacking:MetaModel",
        "Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1",
        "a model of scikit-learn over out-of-fold answers",
    ),
    Part(
        "uniform_soup",
        "zoo.ensembles.soups:uniform_soup",
        "Wortsman et al. 2022, arXiv:2203.05482, section 2",
        "one model of the mean of all weights",
    ),
    Part(
        "voting",
        "zoo.ensembles.combining:vote",
        "Hansen and Salamon 1990, doi:10.1109/34.58871",
        "the class that most models name, with weights if wanted",
    ),
)
