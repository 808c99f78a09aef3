"""Why a model answers as it does: heat over its input, by class activation maps and by gradients.

The package is called zoo.explanation, so that `zoo.explain` stays the function.
"""

from zoo.explanation.api import METHODS, explain
from zoo.explanation.cams import CAM, GradCAM, GradCAMPlusPlus, MeanFeatures
from zoo.explanation.gradients import InputXGradient, IntegratedGradients, Saliency, SmoothGrad
from zoo.explanation.inner import FromLayer
from zoo.explanation.methods import InputMethod, LayerMethod, LayerView, Method
from zoo.explanation.result import Explanation
from zoo.explanation.views import (
    AttentionView,
    ColumnView,
    ImageView,
    SignalView,
    SpectrogramView,
    TokenView,
    View,
)

__all__ = [
    "CAM",
    "METHODS",
    "AttentionView",
    "ColumnView",
    "Explanation",
    "FromLayer",
    "GradCAM",
    "GradCAMPlusPlus",
    "ImageView",
    "InputMethod",
    "InputXGradient",
    "IntegratedGradients",
    "LayerMethod",
    "LayerView",
    "MeanFeatures",
    "Method",
    "Saliency",
    "SignalView",
    "SmoothGrad",
    "SpectrogramView",
    "TokenView",
    "View",
    "explain",
]
