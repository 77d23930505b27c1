"""Augmentation in STAR's order: mirror, one warp, occlusion, colour, blur, gamma, noise, grey.

The steps and the defaults are those of STAR's code (Zhou et al., CVPR 2023), which has no colour jitter.

`Augmentation.draw` makes the random choices, `apply` carries them out and is pure. All photometric steps work on
the small uint8 crop in the loader, where each costs microseconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Literal

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

    Attributes:
        flip: whether it is mirrored.
        shift: in x and y.
        rotation_rad: in radians.
        scale: factor.
        occlusion: x, y of the middle, width and height of a black rectangle.
        blur: side of a box, or the sigma of a Gaussian if soft is set.
        gamma: exponent.
        noise: strength of the blend with random bytes, and the seed they come from.
        gray: whether it becomes gray.
        soft: whether the blur is a Gaussian.
        colour: what red, green and blue are multiplied by, cut off at white.
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
    soft: bool = False
    colour: tuple[float, float, float] | None = None


SOFTEST = 0.02
LARGEST = {"rotation_deg": 180, "near": 10}
"""The largest values of Augmentation; all others are shares or fractions, of 1 at the most."""


@dataclass(frozen=True)
class Augmentation:
    """How often and how far each step goes; the defaults are those of STAR's code.

    Args:
        flip: Share of mirrored faces.
        shift: In x and in y, as a fraction of the crop's side.
        rotation_deg: In degrees.
        scale: From 1.
        occlusion: Share of faces with a black rectangle.
        blur: Share of blurred faces.
        gamma: Share of faces with another gamma.
        noise: Share of faces with noise.
        gray: Share of gray faces.
        near: How far other views of the same face are from the first, as a part of shift, rotation_deg and scale; or
            "independent", where each view is drawn for itself, as in Subpixel's Siamese training (section 3.4). All
            views of a face are mirrored, or none.
        spread: What shift, rotation_deg and scale are: standard deviations of normal distributions ("normal", STAR's
            code), or the ends of uniform ones ("uniform", as papers print their ranges).
        shifted: Share of shifted faces.
        rotated: Share of rotated faces.
        colour: Ends of the uniform factors of red, green and blue, from 1: 0.4 for 0.6 to 1.4.
        blurring: By a box of up to 0.05 of the crop's side (STAR's code), or by a Gaussian with a sigma of up to 0.02
            of it (5 pixels of 256).

    Raises:
        ValueError: A number is out of range.
    """

    flip: float = 0.5
    shift: float = 0.05
    rotation_deg: float = 18.0
    scale: float = 0.1
    occlusion: float = 0.4
    blur: float = 0.3
    gamma: float = 0.2
    noise: float = 0.2
    gray: float = 0.2
    near: float | Literal["independent"] = 0.4
    spread: Literal["normal", "uniform"] = "normal"
    shifted: float = 1.0
    rotated: float = 1.0
    colour: float = 0.0
    blurring: Literal["box", "gaussian"] = "box"

    def __post_init__(self) -> None:
        for each in fields(self):
            value, most = getattr(self, each.name), LARGEST.get(each.name, 1)
            if not isinstance(value, str) and not 0 <= value <= most:
                raise ValueError(f"data.augmentation.{each.name}: expected a number from 0 to {most}, got {value}")

    def draw(self, rng: np.random.Generator) -> Choices:
        """Return random choices for one face.

        Args:
            rng: of the random numbers.
        """
        soft = self.blurring == "gaussian"
        choices = Choices(
            flip=rng.random() < self.flip,
            shift=(self._draw(rng, 0, self.shift), self._draw(rng, 0, self.shift)),
            rotation_rad=math.radians(self._draw(rng, 0, self.rotation_deg)),
            scale=_limited(self._draw(rng, 1, self.scale)),
            occlusion=_draw_occlusion(rng) if rng.random() < self.occlusion else None,
            blur=(SOFTEST if soft else 0.05) * rng.random() if rng.random() < self.blur else None,
            gamma=_draw_gamma(rng) if rng.random() < self.gamma else None,
            noise=(0.5 * rng.random(), int(rng.integers(2**32))) if rng.random() < self.noise else None,
            gray=rng.random() < self.gray,
            soft=soft,
        )
        # What is drawn above is drawn in the same order by every configuration, so that older trainings can go on.
        if self.shifted < 1 and rng.random() >= self.shifted:
            choices = replace(choices, shift=(0.0, 0.0))
        if self.rotated < 1 and rng.random() >= self.rotated:
            choices = replace(choices, rotation_rad=0.0)
        if self.colour:
            red, green, blue = rng.uniform(1 - self.colour, 1 + self.colour, 3).tolist()
            choices = replace(choices, colour=(red, green, blue))
        return choices

    def draw_other(self, choices: Choices, rng: np.random.Generator) -> Choices:
        """Return the choices of another view of a face: a little apart, as in a tracker's next frame, or independent.

        Args:
            choices: of the first view.
            rng: of the random numbers.
        """
        if isinstance(self.near, str):
            return replace(self.draw(rng), flip=choices.flip)
        x, y = (self._draw(rng, middle, self.near * self.shift) for middle in choices.shift)
        return replace(
            choices,
            shift=(x, y),
            rotation_rad=choices.rotation_rad + math.radians(self._draw(rng, 0, self.near * self.rotation_deg)),
            scale=_limited(choices.scale * self._draw(rng, 1, self.near * self.scale)),
        )

    def _draw(self, rng: np.random.Generator, middle: float, size: float) -> float:
        if self.spread == "uniform":
            return float(rng.uniform(middle - size, middle + size))
        return float(rng.normal(middle, size))


def _limited(scale: float) -> float:
    return float(np.clip(scale, 0.6, 1.4))


def _draw_occlusion(rng: np.random.Generator) -> tuple[float, float, float, float]:
    height = 0.2 + 0.6 * rng.random()
    width = height - 0.2 + 0.4 * rng.random()
    return rng.random(), rng.random(), 0.5 * width, 0.5 * height


def _draw_gamma(rng: np.random.Generator) -> float:
    return 0.25 + 0.75 * rng.random() if rng.random() < 0.5 else 1 + 3 * rng.random()


def apply(image: Image, points_px: Array, scheme: Scheme, choices: Choices, size: int) -> tuple[Image, Array]:
    """Return the crop of a face under the choices, and its points in it. Choices() gives the crop that evaluation uses.

    Args:
        image: (H, W, 3) RGB.
        points_px: (K, 2) in pixels of the picture.
        scheme: of the points.
        choices: what is done.
        size: side of the crop in pixels.

    Returns:
        The crop (size, size, 3), and points (K, 2) in its pixels.
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
    if choices.colour is not None:
        crop = np.clip(crop * np.array(choices.colour), 0, 255).round().astype(np.uint8)
    if choices.blur and choices.soft:
        crop = cv2.GaussianBlur(crop, (0, 0), size * choices.blur)  # type: ignore[assignment]
    elif choices.blur is not None and (kernel := int(size * choices.blur)) > 1:
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
