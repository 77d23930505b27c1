"""The score from which on a crop is taken to show a face, fitted on validation faces.

The faces are augmented as in training, because a tracker meets blurred, dark and half covered ones too.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.graph import LandmarkGraph
from tracker.datasets.sample import Sample
from tracker.face.crop import Roi, crop, roi_of_landmarks

MISSED = 0.005  # share of faces that may fall below the threshold: augmentation hides some beyond recognition


def face_scores(graph: LandmarkGraph, crops: Tensor) -> NDArray[np.float64]:
    """(N,) the mean score over the points of each crop (N, S, S, 3), uint8."""
    with torch.no_grad():
        return np.concatenate([graph(part)[1].mean(-1).double().numpy() for part in torch.split(crops, 16)])


def fit_presence(faces: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """The threshold halfway between the lowest face scores and the highest scores of other views.

    Where the two overlap it stays below all but MISSED of the faces: a lost face is worse than a late loss.
    """
    lowest = float(np.quantile(faces, MISSED))
    return min(lowest, (lowest + float(np.quantile(others, 1 - MISSED))) / 2)


def views_without_face(samples: list[Sample], size: int) -> Tensor:
    """(N, S, S, 3) views of the faces' own pictures that show next to none of the face: moved away by its size."""
    crops = []
    for sample in samples:
        image, roi = sample.read_image(), roi_of_landmarks(sample.points_px)
        for turn in range(4):
            angle = math.pi / 4 + turn * math.pi / 2
            away = 0.9 * roi.side_px
            center = (roi.center_px[0] + away * math.cos(angle), roi.center_px[1] + away * math.sin(angle))
            crops.append(crop(image, Roi(center, roi.side_px * 0.6), size))
    return torch.from_numpy(np.stack(crops))
