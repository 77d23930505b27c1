"""How likely a landmark is to be visible, rather than hidden by a hand, a mask or hair, from its covariance.

Fitted by export.calibration.visibility and stored in the model's file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tracker.face.geometry import Array

SMALLEST = 1e-9  # of a variance, as a fraction of the crop's area: labels known exactly have 0


@dataclass(frozen=True)
class Visibility:
    """The fitted numbers: a landmark k is visible with the probability 1 / (1 + exp(slope * v - offsets[k])).

    Attributes:
        slope: shared by all landmarks.
        offsets: one for each of the K landmarks.
    """

    slope: float
    offsets: tuple[float, ...]

    @cached_property
    def _offsets(self) -> Array:
        return np.array(self.offsets)  # made once, because every face of every frame needs it

    def of(self, covariances_px2: Array, size: int) -> Array:
        """Return the probability of each landmark to be visible.

        Args:
            covariances_px2: (..., K, 3) xx, xy, yy in squared pixels of the crop.
            size: S, the side of the crop in pixels.

        Returns:
            (..., K) in 0..1.
        """
        exponent = self.slope * log_variance(covariances_px2, size) - self._offsets
        return np.asarray(1 / (1 + np.exp(exponent.clip(-50, 50))))


def log_variance(covariances_px2: Array, size: int) -> Array:
    """Compute the logarithm of each point's mean variance along x and y, as a fraction of the crop's area.

    Args:
        covariances_px2: (..., K, 3) xx, xy, yy in squared pixels of the crop.
        size: S, the side of the crop in pixels.

    Returns:
        v (..., K).
    """
    variances = (covariances_px2[..., 0] + covariances_px2[..., 2]) / (2 * size * size)
    return np.asarray(np.log(np.maximum(variances, SMALLEST)))
