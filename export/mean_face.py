"""The mean face, the baseline of a model that ignores the picture."""

from __future__ import annotations

import numpy as np

from tracker.errors import TrackerError
from tracker.face.crop import roi_of_landmarks
from tracker.face.geometry import Array, transform_points
from train.loaders import FaceData


def mean_face_px(data: FaceData) -> Array:
    """Return the mean (K, 2) of the training faces' landmarks, in pixels of their crops.

    Args:
        data: of the checkpoint.

    Raises:
        TrackerError: if there is no training face.
        DatasetError: if the faces cannot be read.
    """
    training, _ = data.source.faces()
    if not training:
        raise TrackerError("expected training faces, to compare the model with their mean, found none")
    faces = np.stack([_in_crop(sample.points_px, data.size) for sample in training])
    return np.asarray(faces.mean(0), np.float64)


def _in_crop(points_px: Array, size: int) -> Array:
    return transform_points(roi_of_landmarks(points_px).crop_from_image(size), points_px)
