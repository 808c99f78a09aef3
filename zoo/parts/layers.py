"""Building blocks that models of several papers share."""

from zoo.parts.table import Part, PartTable

LAYERS = PartTable(
    "layer",
    Part(
        "additive_attention",
        "zoo.layers.attention:additive_attention",
        "Bahdanau et al. 2014, arXiv:1409.0473, appendix A.1.2",
        "soft attention by a small network over each pair",
    ),
    Part(
        "drop_path",
        "zoo.layers.drop_path:DropPath",
        "Huang et al. 2016, arXiv:1603.09382, section 3",
        "drops whole residual branches, row by row: stochastic depth",
    ),
    Part(
        "dropout",
        "zoo.layers.drop_path:dropout",
        "Srivastava et al. 2014, Journal of Machine Learning Research 15, section 4",
        "drops single values in training",
    ),
    Part(
        "hard_attention",
        "zoo.layers.hard_attention:HardAttention",
        "Xu et al. 2015, arXiv:1502.03044, section 4.1",
        "reads one sampled place; trained with the score-function estimator",
    ),
    Part(
        "multi_head_attention",
        "zoo.layers.multi_head_attention:MultiHeadAttention",
        "Vaswani et al. 2017, arXiv:1706.03762, section 3.2",
        "several scaled dot products, each over a slice of the width",
    ),
    Part(
        "multiplicative_attention",
        "zoo.layers.attention:multiplicative_attention",
        "Luong et al. 2015, arXiv:1508.04025, equation 8",
        "soft attention by a product of query and key",
    ),
    Part(
        "spectral_norm",
        "zoo.layers.spectral_norm:spectral_norm",
        "Miyato et al. 2018, arXiv:1802.05957, algorithm 1",
        "divides the weights of a module's layers by their largest singular value",
    ),
    Part(
        "squeeze_excitation",
        "zoo.layers.squeeze_excitation:SqueezeExcitation",
        "Hu et al. 2017, arXiv:1709.01507, section 3",
        "a gate for each channel from the mean of every channel",
    ),
)
