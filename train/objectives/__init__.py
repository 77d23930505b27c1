"""What a net is trained towards and how its maps are then read: one objective for each system that is compared.

An objective gives the loss (N, K) of each landmark for one stack's maps (N, K, H, W), says how such maps become logits,
and which decoder reads them (train.codecs.reading). So a net is validated, exported and run as it was trained.
"""

from train.objectives.base import Loss, Objective
from train.objectives.coordinates import AnisotropicDirection, Mahalanobis, SoftArgmax, Star
from train.objectives.heatmaps import (
    HeatmapInHeatmap,
    HeatmapMse,
    IntegerHeatmap,
    OffsetMap,
    OffsetVector,
    Subpixel,
)
from train.objectives.structured import Structured
from train.targets.labels import Isotropic, Labels, Smoothing, describe, label_distribution

__all__ = [
    "AnisotropicDirection",
    "HeatmapInHeatmap",
    "HeatmapMse",
    "IntegerHeatmap",
    "Isotropic",
    "Labels",
    "Loss",
    "Mahalanobis",
    "Objective",
    "OffsetMap",
    "OffsetVector",
    "Smoothing",
    "SoftArgmax",
    "Star",
    "Structured",
    "Subpixel",
    "describe",
    "label_distribution",
]
