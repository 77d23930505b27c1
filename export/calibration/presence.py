"""Fits the score threshold above which a crop counts as a face, on validation faces.

The faces are augmented as in training, because a tracker also gets blurred, dark and partly covered ones.
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

MISSED = 0.005  # fraction of faces that may be below the threshold: augmentation makes some unrecognisable


def face_scores(graph: LandmarkGraph, crops: Tensor) -> NDArray[np.float64]:
    """Return the mean score over the points of each crop.

    Args:
        graph: the model.
        crops: (N, S, S, 3) uint8 RGB.

    Returns:
        (N,) scores, 0..1.
    """
    with torch.no_grad():
        return np.concatenate([graph(part)[1].mean(-1).double().numpy() for part in torch.split(crops, 16)])


def fit_presence(faces: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Return the threshold halfway between the lowest scores of faces and the highest scores of other crops.

    If the two overlap, the threshold stays below all but MISSED of the faces, because it is worse to lose a face than
    to notice late that it has gone.

    Args:
        faces: (N,) scores of crops with a face.
        others: (M,) scores of crops without a face.
    """
    lowest = float(np.quantile(faces, MISSED))
    return min(lowest, (lowest + float(np.quantile(others, 1 - MISSED))) / 2)


def views_without_face(samples: list[Sample], size: int) -> Tensor:
    """Return crops of the faces' pictures that show almost nothing of the face: shifted by about its size.

    Args:
        samples: the faces.
        size: S, the side of a crop in pixels.

    Returns:
        (4 N, S, S, 3) uint8 RGB.
    """
    crops = []
    for sample in samples:
        image, roi = sample.read_image(), roi_of_landmarks(sample.points_px)
        for turn in range(4):
            angle = math.pi / 4 + turn * math.pi / 2
            away = 0.9 * roi.side_px
            center = (roi.center_px[0] + away * math.cos(angle), roi.center_px[1] + away * math.sin(angle))
            crops.append(crop(image, Roi(center, roi.side_px * 0.6), size))
    return torch.from_numpy(np.stack(crops))
