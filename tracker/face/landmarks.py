"""The landmarks of one face: positions, scores, covariances, and the scheme that says what the points are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tracker.face.geometry import LARGEST_PX, Array, extent
from tracker.face.schemes import Scheme


@dataclass(frozen=True, eq=False)
class Landmarks:
    """K landmarks of one face, validated and immutable.

    Attributes:
        points_px: (K, 2) x right, y down, in pixels of the picture; pixel centres at integers.
        scores: (K,) 0 to 1, the probability mass near each point's peak.
        covariances_px2: (K, 3) xx, xy, yy of each point's covariance, in squared pixels.
        scheme: the scheme, which says what the K points are.
        visibility: (K,) 0 to 1, how likely each point is to be visible and not hidden by a hand, a mask or hair; None
            if the model's file does not tell it (tracker.face.visibility).

    Raises:
        ValueError: a shape does not fit the scheme, or a number is not finite or beyond LARGEST_PX (its square for
            covariances), or a visibility is not from 0 to 1.
    """

    points_px: Array
    scores: Array
    covariances_px2: Array
    scheme: Scheme
    visibility: Array | None = None

    def __post_init__(self) -> None:
        count = self.scheme.count
        for name, shape, least, most in (
            ("points_px", (count, 2), -LARGEST_PX, LARGEST_PX),
            ("scores", (count,), -LARGEST_PX, LARGEST_PX),
            ("covariances_px2", (count, 3), -(LARGEST_PX**2), LARGEST_PX**2),
            ("visibility", (count,), 0.0, 1.0),
        ):
            if getattr(self, name) is None and name == "visibility":
                continue
            array = np.array(getattr(self, name), dtype=np.float64)
            if array.shape != shape:
                raise ValueError(f"{name} of {self.scheme.name} must have shape {shape}, got {array.shape}")
            if not ((least <= array) & (array <= most)).all():  # nor is nan
                raise ValueError(f"{name} holds numbers that are not finite, or not from {least:g} to {most:g}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @cached_property
    def extent_px(self) -> Array:
        """(4,) x, y, width, height of the smallest axis-aligned box around the points, in pixels."""
        return extent(self.points_px)

    @property
    def uncertainty_px(self) -> Array:
        """(K,) standard deviation of each point along one axis, in pixels: sqrt((xx + yy) / 2)."""
        return np.asarray(np.sqrt(np.maximum(self.covariances_px2[:, 0] + self.covariances_px2[:, 2], 0) / 2))

    def at(self, points_px: Array) -> Landmarks:
        """Return the landmarks with other points, and the same scores, covariances and visibility.

        Args:
            points_px: (K, 2) finite float64. The array is not copied, and is read-only afterwards.

        Returns:
            New landmarks; the points are not checked.
        """
        return Landmarks.unchecked(points_px, self.scores, self.covariances_px2, self.scheme, self.visibility)

    def scaled(self, x: float, y: float) -> Landmarks:
        """Return the landmarks in a resized picture.

        Args:
            x: the new width over the old one.
            y: the new height over the old one.

        Returns:
            The landmarks in pixels of the resized picture.

        Raises:
            ValueError: a factor is outside 1e-6 to 1e6.
        """
        if not (1e-6 <= x <= 1e6 and 1e-6 <= y <= 1e6):
            raise ValueError(f"expected factors of 1e-6 to 1e6, got {x} and {y}")
        points_px = (self.points_px + 0.5) * (x, y) - 0.5
        covariances_px2 = self.covariances_px2 * (x * x, x * y, y * y)
        return Landmarks.unchecked(points_px, self.scores, covariances_px2, self.scheme, self.visibility)

    @classmethod
    def unchecked(
        cls, points_px: Array, scores: Array, covariances_px2: Array, scheme: Scheme, visibility: Array | None = None
    ) -> Landmarks:
        """Make landmarks without checks and copies, for arrays that are known to be valid.

        Args:
            points_px: as in the constructor, finite float64; all arrays are read-only afterwards.
            scores: as in the constructor.
            covariances_px2: as in the constructor.
            scheme: as in the constructor.
            visibility: as in the constructor.

        Returns:
            The landmarks.
        """
        landmarks = object.__new__(cls)
        for array in (points_px, scores, covariances_px2, visibility):
            if array is not None:
                array.setflags(write=False)
        landmarks.__dict__.update(
            points_px=points_px, scores=scores, covariances_px2=covariances_px2, scheme=scheme, visibility=visibility
        )
        return landmarks

    def __repr__(self) -> str:
        (x, y), (right, bottom) = self.points_px.min(0), self.points_px.max(0)
        box = f"{right - x:.0f} x {bottom - y:.0f} px at {x:.0f}, {y:.0f}"
        return f"Landmarks({self.scheme.name}, {box}, scores {self.scores.min():.2f} to {self.scores.max():.2f})"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and deep-copy by the constructor's arguments, so that the arrays of the copy are read-only, too."""
        return Landmarks.unchecked, (self.points_px, self.scores, self.covariances_px2, self.scheme, self.visibility)

    @classmethod
    def from_points(cls, points_px: Array, scheme: Scheme) -> Landmarks:
        """Make landmarks that are known exactly, such as labels: scores 1, covariances 0.

        Args:
            points_px: (K, 2) pixels.
            scheme: of the points.

        Returns:
            The landmarks.

        Raises:
            ValueError: as the constructor.
        """
        return cls(points_px, np.ones(scheme.count), np.zeros((scheme.count, 3)), scheme)
