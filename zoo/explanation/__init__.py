"""Why a model answers as it does: heat over its input, by class activation maps and by gradients.

The package is called zoo.explanation, so that `zoo.explain` stays the function.
"""

from zoo.explanation.api import METHODS, explain
from zoo.explanation.cams import CAM, GradCAM, GradCAMPlusPlus, MeanFeatures
from zoo.explanation.gradients import InputXGradient, IntegratedGradients, Saliency, SmoothGrad
from zoo.explanation.methods import InputMethod, LayerMethod, LayerView, Method
from zoo.explanation.result import Explanation

__all__ = [
    "CAM",
    "METHODS",
    "Explanation",
    "GradCAM",
    "GradCAMPlusPlus",
    "InputMethod",
    "InputXGradient",
    "IntegratedGradients",
    "LayerMethod",
    "LayerView",
    "MeanFeatures",
    "Method",
    "Saliency",
    "SmoothGrad",
    "explain",
]
