"""Landmarks of a model against labels, whatever the schemes of the two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.face.convert import common_scheme, convert, reachable
from tracker.face.crop import roi_of_landmarks
from tracker.face.geometry import Array
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import Scheme
from tracker.tracking.estimator import Estimate, LandmarkEstimator


@dataclass(frozen=True)
class Comparison:
    """Converts both to the scheme with the most points that both lead to.

    Attributes:
        model: the scheme of the model's landmarks.
        labels: the scheme of the labels.
        scheme: the one to compare in.
    """

    model: Scheme
    labels: Scheme
    scheme: Scheme

    @classmethod
    def of(cls, model: Scheme, labels: Scheme) -> Comparison:
        """Find the scheme to compare in; raise TrackerError if the two have none in common."""
        try:
            return cls(model, labels, common_scheme(model, labels))
        except ValueError as error:
            raise _incomparable(model, labels, error) from None

    @classmethod
    def of_partial_labels(cls, model: Scheme, labels: Scheme) -> Comparison:
        """Compare in the scheme of the labels, which cannot be converted if points are missing.

        Args:
            model: the scheme of the model's landmarks.
            labels: the scheme of the labels.

        Raises:
            TrackerError: if the model's landmarks cannot be converted to it.
        """
        comparison = cls.of(model, labels)
        if comparison.scheme is not labels:
            known = ", ".join(scheme.name for scheme in reachable(model))
            raise _incomparable(model, labels, f"{model.name} leads to {known}")
        return comparison

    def of_model(self, landmarks: Landmarks) -> Landmarks:
        """Return the model's landmarks in the scheme to compare in."""
        return convert(landmarks, self.scheme)

    def of_labels(self, points_px: Array) -> Array:
        """Return the labels (K, 2) in the scheme to compare in."""
        return convert(Landmarks.from_points(points_px, self.labels), self.scheme).points_px

    def estimate(self, estimator: LandmarkEstimator, image_rgb: NDArray[np.uint8], labels_px: Array) -> Estimate:
        """Return the landmarks in the ROI of the labels.

        If the labels cannot be converted to the model's points, their ROI is only roughly the one that the model
        expects, like a detection's. Then the face is measured again in the ROI of its first landmarks.

        Args:
            estimator: runs the model.
            image_rgb: (H, W, 3).
            labels_px: (K, 2) all labelled points.
        """
        if self.model is self.labels:
            return estimator.estimate(image_rgb, [roi_of_landmarks(labels_px)])[0]
        if self.scheme is self.model:
            return estimator.estimate(image_rgb, [roi_of_landmarks(self.of_labels(labels_px))])[0]
        return estimator.estimate_twice(image_rgb, [roi_of_landmarks(labels_px)])[0]

    @property
    def converts(self) -> bool:
        """Whether the model and the labels have different schemes."""
        return self.model is not self.labels

    def __str__(self) -> str:
        """Return the three schemes in words."""
        return f"labels of {self.labels.name} and landmarks of {self.model.name}, compared as {self.scheme.name}"


def _incomparable(model: Scheme, labels: Scheme, reason: object) -> TrackerError:
    return TrackerError(f"the labels are {labels.name}, the model gives {model.name}: {reason}; give another --model")
