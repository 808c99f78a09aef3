"""What is fitted on the training rows and applied to all."""

from zoo.parts.table import Part, PartTable

PREPROCESSING = PartTable(
    "preprocessing",
    Part(
        "standardise",
        "zoo.data.preprocessing:standardise",
        "LeCun et al. 1998, doi:10.1007/3-540-49430-8_2, section 4.3",
        "mean 0 and standard deviation 1, by number or by channel",
    ),
    Part("min_max", "zoo.data.preprocessing:min_max", "own", "from 0 to 1, or as told, by number or by channel"),
    Part(
        "pca_whitening",
        "zoo.data.preprocessing:pca_whitening",
        "Hyvarinen and Oja 2000, doi:10.1016/S0893-6080(00)00026-5, section 5.2",
        "principal axes, each with variance 1",
    ),
    Part(
        "zca_whitening",
        "zoo.data.preprocessing:zca_whitening",
        "Bell and Sejnowski 1997, doi:10.1016/S0042-6989(97)00121-1; Krizhevsky 2009, appendix A",
        "uncorrelated numbers, as near as can be to what they were",
    ),
    given=1,
)
