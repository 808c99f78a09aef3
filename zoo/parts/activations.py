"""The activation functions: modules, without learned weights but for PReLU's."""

from zoo.parts.table import Part, PartTable

_MODULE = "zoo.layers.activations"

ACTIVATIONS = PartTable(
    "activation",
    Part("elu", f"{_MODULE}:elu", "Clevert et al. 2015, arXiv:1511.07289, section 3", "exponential below 0"),
    Part(
        "gelu",
        f"{_MODULE}:gelu",
        "Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2",
        "x times the normal distribution function, exact or by tanh",
    ),
    Part(
        "hard_swish",
        f"{_MODULE}:hard_swish",
        "Howard et al. 2019, arXiv:1905.02244, section 5.2",
        "SiLU of straight pieces",
    ),
    Part("leaky_relu", f"{_MODULE}:leaky_relu", "Maas et al. 2013 (ICML workshop), equation 2", "a slope below 0"),
    Part("mish", f"{_MODULE}:mish", "Misra 2019, arXiv:1908.08681", "x times the tanh of softplus"),
    Part("prelu", f"{_MODULE}:prelu", "He et al. 2015, arXiv:1502.01852, equation 1", "a learned slope below 0"),
    Part("relu", f"{_MODULE}:relu", "Nair and Hinton 2010 (ICML)", "0 below 0"),
    Part(
        "selu",
        f"{_MODULE}:selu",
        "Klambauer et al. 2017, arXiv:1706.02515, equation 2",
        "ELU scaled so that activations keep mean 0 and variance 1",
    ),
    Part(
        "sigmoid",
        f"{_MODULE}:sigmoid",
        "Rumelhart et al. 1986, doi:10.1038/323533a0, equation 2",
        "into (0, 1), each value by itself",
    ),
    Part(
        "silu",
        f"{_MODULE}:silu",
        "Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2",
        "x times its sigmoid, also called swish",
    ),
    Part(
        "softmax",
        f"{_MODULE}:softmax",
        "Bridle 1990, doi:10.1007/978-3-642-76153-9_28",
        "shares along one dimension that add up to 1",
    ),
    Part("softplus", f"{_MODULE}:softplus", "Dugas et al. 2000 (NIPS)", "a smooth ReLU"),
    Part(
        "tanh",
        f"{_MODULE}:tanh",
        "LeCun et al. 1998, doi:10.1007/3-540-49430-8_2, section 4.4",
        "into (-1, 1), each value by itself",
    ),
)
