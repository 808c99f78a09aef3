"""The methods by name, and the two kinds there are: those that look at a layer and those that look at the input.

Shapes: B rows, D channels, h x w cells of a layer's map, C classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from zoo.errors import check_name
from zoo.lookup import check_arguments


@dataclass(frozen=True, slots=True)
class LayerView:
    """What a method may see of the explained layer.

    activations: [B, D, h, w]
    gradients:   [B, D, h, w] of each row's score; None unless the method asks for them.
    head:        the last module with parameters; None unless the method asks for it.
    """

    layer: str
    activations: Tensor
    gradients: Tensor | None
    head: nn.Module | None
    logits: Tensor | None
    target: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """One way to explain; its fields are its options.

    signed: whether heat below zero is evidence against the target.
    """

    name: ClassVar[str]
    signed: ClassVar[bool]


@dataclass(frozen=True, kw_only=True)
class LayerMethod(Method):
    """A method that weighs the maps of one layer."""

    needs_gradients: ClassVar[bool]
    needs_head: ClassVar[bool] = False

    @abstractmethod
    def heat_map(self, view: LayerView) -> Tensor:
        """Heat over the layer's cells [B, h, w]."""


@dataclass(frozen=True, kw_only=True)
class InputMethod(Method):
    """A method that looks at gradients with respect to the input."""

    @abstractmethod
    def attribute(self, inputs: Tensor, gradient: Callable[[Tensor], Tensor]) -> Tensor:
        """Attributions with the shape of `inputs` [B, *]; `gradient` gives that of the scores at any point [B, *]."""

    @abstractmethod
    def over_channels(self, attributions: Tensor) -> Tensor:
        """Attributions [B, C, *] to heat [B, *]."""


def make_method(
    method: str | Method, options: Mapping[str, object] | None, known: Mapping[str, type[Method]]
) -> Method:
    """The method of that name with these options, or the method itself.

    Raises: UnknownNameError, UnknownArgumentError; ValueError for an option of the wrong type; TypeError for options
            beside a method object.
    """
    if isinstance(method, Method):
        if options:
            raise TypeError(f"options go with a method's name; set them in {type(method).__name__}(...) instead.")
        return method
    if not isinstance(method, str):
        raise TypeError(f"method must be a name or a Method such as GradCAM(), got {type(method).__name__}.")
    check_name("explanation method", method, known)
    check_arguments(f"Method {method!r}", known[method], options or {})
    return known[method](**(options or {}))
