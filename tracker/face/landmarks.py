"""The landmarks of one face: where they are, how sure we are, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tracker.face.geometry import LARGEST_PX, Array, extent
from tracker.face.schemes import Scheme


@dataclass(frozen=True, eq=False)
class Landmarks:
    """K landmarks of one face, validated and immutable.

    points_px: (K, 2) x right, y down, in pixels of the picture they belong to; pixel centres at integers.
    scores: (K,) in 0..1, the probability mass near each point's peak.
    covariances_px2: (K, 3) the entries xx, xy, yy of each point's covariance, in squared pixels.
    scheme: names and meaning of the K points.
    visibility: (K,) in 0..1, how likely each point is to be visible and not hidden by a hand, a mask or hair; None
    where the model's file does not tell it (tracker.face.visibility).

    Raises ValueError when a shape does not fit the scheme, or a number is not finite or beyond LARGEST_PX, squared for
    covariances.
    """

    points_px: Array
    scores: Array
    covariances_px2: Array
    scheme: Scheme
    visibility: Array | None = None

    def __post_init__(self) -> None:
        count = self.scheme.count
        for name, shape, most in (
            ("points_px", (count, 2), LARGEST_PX),
            ("scores", (count,), LARGEST_PX),
            ("covariances_px2", (count, 3), LARGEST_PX**2),
            ("visibility", (count,), 1.0),
        ):
            if getattr(self, name) is None and name == "visibility":
                continue
            array = np.array(getattr(self, name), dtype=np.float64)
            if array.shape != shape:
                raise ValueError(f"{name} of {self.scheme.name} must have shape {shape}, got {array.shape}")
            if not (np.abs(array) <= most).all():  # nor is nan
                raise ValueError(f"{name} holds numbers that are not finite, or beyond {most:g}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @cached_property
    def extent_px(self) -> Array:
        """(4,) x, y, width, height of the smallest upright box around the points."""
        return extent(self.points_px)

    @property
    def uncertainty_px(self) -> Array:
        """(K,) how far off each point is along any one direction, a standard deviation: sqrt((xx + yy) / 2)."""
        return np.asarray(np.sqrt(np.maximum(self.covariances_px2[:, 0] + self.covariances_px2[:, 2], 0) / 2))

    def at(self, points_px: Array) -> Landmarks:
        """The same landmarks at other points (K, 2), finite and float64, which from then on are read-only."""
        return Landmarks.unchecked(points_px, self.scores, self.covariances_px2, self.scheme, self.visibility)

    def scaled(self, x: float, y: float) -> Landmarks:
        """The same landmarks in a picture that is x times as wide and y times as high.

        Raises ValueError for a factor outside 1e-6 to 1e6.
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
        """Of arrays that are as the constructor asks already, finite and float64, which from then on are read-only."""
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
        """Pickled and deeply copied as what it is made of, so that the copy's arrays are read-only, too."""
        return Landmarks.unchecked, (self.points_px, self.scores, self.covariances_px2, self.scheme, self.visibility)

    @classmethod
    def from_points(cls, points_px: Array, scheme: Scheme) -> Landmarks:
        """Landmarks known exactly (labels): scores 1, covariances 0."""
        return cls(points_px, np.ones(scheme.count), np.zeros((scheme.count, 3)), scheme)
