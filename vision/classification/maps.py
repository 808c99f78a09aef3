"""Feature maps of networks whose body is a plain sequence of layers."""

from collections.abc import Iterable

from torch import Tensor, nn

from zoo.features import FeatureInfo


def maps_of_sequence(layers: nn.Sequential, x: Tensor, *, wanted: Iterable[FeatureInfo]) -> list[Tensor]:
    """Runs `layers` one after the other on `x` [B, C, H, W], and keeps the outputs of those that are `wanted`.

    wanted: maps whose names end in the name of a layer, "features.relu5".
    """
    names = {info.name.rpartition(".")[2] for info in wanted}
    maps = []
    for name, layer in layers.named_children():
        x = layer(x)
        if name in names:
            maps.append(x)
    return maps
