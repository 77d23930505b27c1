"""Fits the score threshold above which a crop counts as a face, on validation faces.

The faces are augmented as in training, because a tracker also gets blurred and dark ones, but no large part is hidden.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.graph import LandmarkGraph
from tracker.datasets.sample import Sample
from tracker.face.crop import Roi, crop, roi_of_landmarks

WRONG_VIEWS = 3  # for each right one: the search turns a picture by quarters, and a face is upright in one of them
OUTLIERS = 0.005  # fraction of the crops of either kind that do not count: augmentation makes some unrecognisable


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


def fit_presence(faces: NDArray[np.float64], *others: NDArray[np.float64]) -> float:
    """Return the threshold that separates the scores of faces from those of other crops.

    It is halfway between the lowest scores of faces and the highest scores of others. If the two overlap, it is where
    the part of the faces that lies below is WRONG_VIEWS times the part of the worst kind of others that lies above.

    Args:
        faces: (N,) scores of crops with a face.
        others: (M,) scores of crops that are not to be taken for one, an array for each kind.
    """
    lowest = float(np.quantile(faces, OUTLIERS))
    highest = max(float(np.quantile(kind, 1 - OUTLIERS)) for kind in others)
    if highest <= lowest:
        return (lowest + highest) / 2
    candidates = np.unique(np.concatenate([faces, *others]))
    missed = np.searchsorted(np.sort(faces), candidates) / len(faces)
    taken = np.max([1 - np.searchsorted(np.sort(kind), candidates) / len(kind) for kind in others], axis=0)
    return float(candidates[np.argmin(np.abs(missed - WRONG_VIEWS * taken))])


def views_upside_down(samples: list[Sample], size: int) -> Tensor:
    """Return crops of the faces upside down. A detector often takes one for upright, and the score is to tell.

    Args:
        samples: the faces.
        size: S, the side of a crop in pixels.

    Returns:
        (N, S, S, 3) uint8 RGB.
    """
    crops = []
    for sample in samples:
        roi = roi_of_landmarks(sample.points_px)
        crops.append(crop(sample.read_image(), replace(roi, rotation_rad=roi.rotation_rad + math.pi), size))
    return torch.from_numpy(np.stack(crops))


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
