"""Augmentation in STAR's order: mirror, one warp, occlusion, blur, gamma, noise, grey (references: STAR's code).

`Augmentation.draw` makes the random choices, `apply` carries them out and is pure. All photometric steps work on
the small uint8 crop in the loader, where each costs microseconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.face.crop import roi_of_landmarks, warp
from tracker.face.geometry import Array, compose, similarity, transform_points
from tracker.face.schemes import Scheme

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Choices:
    """What is done to one face. Lengths are fractions of the crop's side; None leaves a step out.

    occlusion: x, y of the middle, width, height of a black rectangle.
    noise: strength of the blend with random bytes, and the seed they come from.
    """

    flip: bool = False
    shift: tuple[float, float] = (0.0, 0.0)
    rotation_rad: float = 0.0
    scale: float = 1.0
    occlusion: tuple[float, float, float, float] | None = None
    blur: float | None = None
    gamma: float | None = None
    noise: tuple[float, int] | None = None
    gray: bool = False


LARGEST = {"rotation_deg": 180, "near": 10}
"""The largest values of Augmentation; all others are shares or fractions, of 1 at the most."""


@dataclass(frozen=True)
class Augmentation:
    """How often and how far each step goes; the defaults are STAR's. near: how far other views of the same face are
    from the first, as a part of shift, rotation_deg and scale. Raises ValueError for numbers that cannot be."""

    flip: float = 0.5
    shift: float = 0.05
    rotation_deg: float = 18.0
    scale: float = 0.1
    occlusion: float = 0.4
    blur: float = 0.3
    gamma: float = 0.2
    noise: float = 0.2
    gray: float = 0.2
    near: float = 0.4

    def __post_init__(self) -> None:
        for each in fields(self):
            value, most = getattr(self, each.name), LARGEST.get(each.name, 1)
            if not 0 <= value <= most:
                raise ValueError(f"data.augmentation.{each.name}: expected a number from 0 to {most}, got {value}")

    def draw(self, rng: np.random.Generator) -> Choices:
        """Random choices for one face."""
        return Choices(
            flip=rng.random() < self.flip,
            shift=(rng.normal(0, self.shift), rng.normal(0, self.shift)),
            rotation_rad=math.radians(rng.normal(0, self.rotation_deg)),
            scale=_limited(rng.normal(1, self.scale)),
            occlusion=_draw_occlusion(rng) if rng.random() < self.occlusion else None,
            blur=0.05 * rng.random() if rng.random() < self.blur else None,
            gamma=_draw_gamma(rng) if rng.random() < self.gamma else None,
            noise=(0.5 * rng.random(), int(rng.integers(2**32))) if rng.random() < self.noise else None,
            gray=rng.random() < self.gray,
        )

    def draw_near(self, choices: Choices, rng: np.random.Generator) -> Choices:
        """The same but seen a little otherwise, as a tracker sees a face in its next frame."""
        x, y = rng.normal(choices.shift, self.near * self.shift).tolist()
        return replace(
            choices,
            shift=(x, y),
            rotation_rad=choices.rotation_rad + math.radians(rng.normal(0, self.near * self.rotation_deg)),
            scale=_limited(choices.scale * rng.normal(1, self.near * self.scale)),
        )


def _limited(scale: float) -> float:
    return float(np.clip(scale, 0.6, 1.4))


def _draw_occlusion(rng: np.random.Generator) -> tuple[float, float, float, float]:
    height = 0.2 + 0.6 * rng.random()
    width = height - 0.2 + 0.4 * rng.random()
    return rng.random(), rng.random(), 0.5 * width, 0.5 * height


def _draw_gamma(rng: np.random.Generator) -> float:
    return 0.25 + 0.75 * rng.random() if rng.random() < 0.5 else 1 + 3 * rng.random()


def apply(image: Image, points_px: Array, scheme: Scheme, choices: Choices, size: int) -> tuple[Image, Array]:
    """The crop (size, size, 3) of a face under the choices, and its points (K, 2) in the crop's pixels.

    Choices() gives exactly the crop that evaluation uses.
    """
    crop_from_image = roi_of_landmarks(points_px).crop_from_image(size)
    if choices.flip:
        crop_from_image = compose(np.array([[-1.0, 0.0, size - 1.0], [0.0, 1.0, 0.0]]), crop_from_image)
    middle = np.full(2, (size - 1) / 2)
    moved = similarity(choices.scale, choices.rotation_rad, middle, middle + size * np.array(choices.shift))
    crop_from_image = compose(moved, crop_from_image)
    points = transform_points(crop_from_image, points_px)
    return _photometric(warp(image, crop_from_image, size), choices), points[scheme.flip] if choices.flip else points


def _photometric(crop: Image, choices: Choices) -> Image:
    size = len(crop)
    if choices.occlusion is not None:
        x, y, width, height = (size * value for value in choices.occlusion)
        top, left = max(0, round(y - height / 2)), max(0, round(x - width / 2))
        crop[top : round(y + height / 2), left : round(x + width / 2)] = 0
    if choices.blur is not None and (kernel := int(size * choices.blur)) > 1:
        crop = cv2.blur(crop, (kernel | 1, kernel | 1))  # type: ignore[assignment]  # an even one would shift it
    if choices.gamma is not None:
        crop = cv2.LUT(crop, (255 * (np.arange(256) / 255) ** choices.gamma).round().astype(np.uint8))  # type: ignore[assignment]
    if choices.noise is not None:
        strength, seed = choices.noise
        noise = np.random.default_rng(seed).integers(0, 256, crop.shape, dtype=np.uint8)
        crop = cv2.addWeighted(crop, 1 - strength, noise, strength, 0)  # type: ignore[assignment]
    if choices.gray:
        crop = cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)  # type: ignore[assignment]
    return crop
