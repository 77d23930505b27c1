"""Augmentation in STAR's order: turn, mirror, one warp, cover, occlusion, colour, blur, gamma, noise, grey.

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
from train.asymmetry import move_mirrored
from train.turning import turn_head

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
        stretch: what the face's width is multiplied by; its height is divided by it.
        cover: the seed that the shape, place and colour of a cover follow from (cover_part).
        absent: whether the crop shows no upright face: it is turned, or beside the face.
        turn_rad: yaw and pitch by which the head is turned (train.turning); None without an upright face, whose crop
            would show the black beside the turned square.
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
    stretch: float = 1.0
    cover: int | None = None
    absent: bool = False
    turn_rad: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.absent:
            object.__setattr__(self, "turn_rad", None)


SOFTEST = 0.02
LARGEST = {"rotation_deg": 180, "near": 10, "turn_deg": 45}
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
            views of a face are mirrored, turned and stretched alike.
        spread: What shift, rotation_deg and scale are: standard deviations of normal distributions ("normal", STAR's
            code), or the ends of uniform ones ("uniform", as papers print their ranges).
        shifted: Share of shifted faces.
        rotated: Share of rotated faces.
        colour: Ends of the uniform factors of red, green and blue, from 1: 0.4 for 0.6 to 1.4.
        blurring: By a box of up to 0.05 of the crop's side (STAR's code), or by a Gaussian with a sigma of up to 0.02
            of it (5 pixels of 256).
        cover: Share of faces that something hides a part of: half of the face, a mask or a hand, in one colour, in
            noise or in a piece of the picture.
        stretch: Standard deviation of the natural logarithm of what the width is multiplied by.
        absent: Share of crops without an upright face, of faces that are turned by 100 to 180 degrees and of what lies
            beside a face, to learn from them where no face is (train.task).
        turn: Share of faces whose head is turned further, by a warp of the picture (train.turning).
        turn_deg: Standard deviation of that yaw, in degrees; that of the pitch is half of it. Turns that would fold the
            face are made smaller: of 20 degrees, 10 are left on 300W.

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
    cover: float = 0.0
    stretch: float = 0.0
    absent: float = 0.0
    turn: float = 0.0
    turn_deg: float = 20.0

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
        if self.stretch:
            choices = replace(choices, stretch=float(np.clip(np.exp(rng.normal(0, self.stretch)), 0.6, 1.6)))
        if self.cover and rng.random() < self.cover:
            choices = replace(choices, cover=int(rng.integers(2**32)))
        if self.absent and rng.random() < self.absent:
            choices = _draw_absent(choices, rng)
        if self.turn and not choices.absent and rng.random() < self.turn:
            yaw, pitch = np.radians(rng.normal(0, [self.turn_deg, self.turn_deg / 2])).tolist()
            choices = replace(choices, turn_rad=(yaw, pitch))
        return choices

    def draw_other(self, choices: Choices, rng: np.random.Generator) -> Choices:
        """Return the choices of another view of a face: a little apart, as in a tracker's next frame, or independent.

        Args:
            choices: of the first view.
            rng: of the random numbers.
        """
        if isinstance(self.near, str):
            drawn = self.draw(rng)
            return replace(drawn, flip=choices.flip, stretch=choices.stretch, turn_rad=choices.turn_rad)
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


def _draw_absent(choices: Choices, rng: np.random.Generator) -> Choices:
    """The choices, of a crop that shows a turned face or what lies beside it."""
    if rng.random() < 0.7:
        turn = math.radians(rng.uniform(100, 260))
        return replace(choices, absent=True, rotation_rad=choices.rotation_rad + turn)
    angle, away = rng.uniform(0, 2 * math.pi), rng.uniform(0.8, 1.3)
    shift = away * math.cos(angle), away * math.sin(angle)
    return replace(choices, absent=True, shift=shift, scale=_limited(1.2 * choices.scale))


def _limited(scale: float) -> float:
    return float(np.clip(scale, 0.6, 1.4))


def _draw_occlusion(rng: np.random.Generator) -> tuple[float, float, float, float]:
    height = 0.2 + 0.6 * rng.random()
    width = height - 0.2 + 0.4 * rng.random()
    return rng.random(), rng.random(), 0.5 * width, 0.5 * height


def _draw_gamma(rng: np.random.Generator) -> float:
    return 0.25 + 0.75 * rng.random() if rng.random() < 0.5 else 1 + 3 * rng.random()


def apply(
    image: Image, points_px: Array, scheme: Scheme, choices: Choices, size: int, mirror_offsets: Array | None = None
) -> tuple[Image, Array]:
    """Return the crop of a face under the choices, and its points in it. Choices() gives the crop that evaluation uses.

    Args:
        image: (H, W, 3) RGB.
        points_px: (K, 2) in pixels of the picture.
        scheme: of the points.
        choices: what is done.
        size: side of the crop in pixels.
        mirror_offsets: (K, 2) by which the points of a mirrored face are moved (train.asymmetry); None if the labels
            are symmetric.

    Returns:
        The crop (size, size, 3), and points (K, 2) in its pixels.
    """
    if choices.turn_rad is not None:
        image, points_px = turn_head(image, points_px, *choices.turn_rad, size)
    crop_from_image = roi_of_landmarks(points_px).crop_from_image(size)
    if choices.flip:
        crop_from_image = compose(np.array([[-1.0, 0.0, size - 1.0], [0.0, 1.0, 0.0]]), crop_from_image)
    middle = np.full(2, (size - 1) / 2)
    moved = similarity(choices.scale, choices.rotation_rad, middle, middle + size * np.array(choices.shift))
    crop_from_image = compose(moved, crop_from_image)
    if choices.stretch != 1:
        x, y = choices.stretch, 1 / choices.stretch
        about_middle = np.array([[x, 0.0, middle[0] * (1 - x)], [0.0, y, middle[1] * (1 - y)]])
        crop_from_image = compose(about_middle, crop_from_image)
    points = transform_points(crop_from_image, points_px)
    crop = warp(image, crop_from_image, size)
    if choices.cover is not None:
        crop, _ = cover_part(crop, points, np.random.default_rng(choices.cover))
    if choices.flip:
        points = points[scheme.flip]
        if mirror_offsets is not None:
            points = move_mirrored(points, scheme, mirror_offsets)
    return _photometric(crop, choices), points


def cover_part(crop: Image, points_px: Array, rng: np.random.Generator) -> tuple[Image, NDArray[np.float32]]:
    """Hide a part of a face, drawn at random: half of it, what a mask hides, or what the fingers of a hand hide.

    Args:
        crop: (S, S, 3) uint8 RGB.
        points_px: (K, 2) the face's landmarks, in pixels of the crop.
        rng: what is drawn follows from it alone.

    Returns:
        The crop (S, S, 3), and how much of each pixel is hidden (S, S), 0 to 1.
    """
    size = len(crop)
    hidden = _draw_hand(points_px, size, rng) if rng.random() < 0.35 else _draw_part(points_px, size, rng)
    material = _draw_material(crop, points_px, rng)
    if rng.random() < 0.5:  # light from one side
        first, last = rng.uniform(0.6, 1.3, 2).tolist()
        brightness = np.linspace(first, last, size)
        shade = brightness[:, None] if rng.random() < 0.5 else brightness[None, :]
        material = np.clip(material * shade[..., None], 0, 255)
    hidden = np.asarray(cv2.blur(hidden, (3, 3)), np.float32)
    share = hidden[..., None]
    return (crop * (1 - share) + material * share).round().astype(np.uint8), hidden


def _draw_part(points_px: Array, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Where half of the face or a mask is, (S, S) 0 or 1: the face's hull, or all of the crop, beyond a line."""
    direction = rng.choice([0.0, 90.0, 180.0, 180.0, 90.0]) + rng.normal(0, 20)  # a side, or below as masks are
    towards = np.array([math.cos(math.radians(direction)), math.sin(math.radians(direction))])
    along = points_px @ towards
    limit = along.min() + rng.uniform(0.35, 0.8) * np.ptp(along)
    y, x = np.mgrid[:size, :size]
    part = np.asarray(x * towards[0] + y * towards[1] > limit, np.float32)
    if rng.random() < 0.6:
        middle = points_px.mean(0)
        hull = cv2.convexHull((middle + (points_px - middle) * rng.uniform(1.0, 1.25)).astype(np.float32))
        inside = np.zeros((size, size), np.float32)
        cv2.fillConvexPoly(inside, hull.round().astype(np.int32), 1.0)
        part *= inside
    return part


def _draw_hand(points_px: Array, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Where the fingers of a hand are (S, S), 0 or 1: thick lines side by side that end on the face."""
    extent = float(np.ptp(points_px, axis=0).max())
    tip = points_px[rng.integers(len(points_px))] + rng.normal(0, 0.05 * extent, 2)
    direction = rng.uniform(0, 2 * math.pi)
    finger = np.array([math.cos(direction), math.sin(direction)])
    width = rng.uniform(0.08, 0.16) * extent
    hand = np.zeros((size, size), np.float32)
    for place in range(rng.integers(1, 6)):
        end = tip + np.array([-finger[1], finger[0]]) * place * width * 1.1 - finger * rng.uniform(0, 0.15) * extent
        start = end + finger * 1.5 * extent
        ends = [tuple(int(v) for v in each.round()) for each in (start, end)]
        cv2.line(hand, ends[0], ends[1], 1.0, max(1, round(width)), cv2.LINE_AA)
    return hand


def _draw_material(crop: Image, points_px: Array, rng: np.random.Generator) -> NDArray[np.float32]:
    """What covers the face, (S, S, 3): the colour of its skin, any colour, noise, or the picture itself mirrored."""
    size, kind = len(crop), rng.random()
    material = np.empty((size, size, 3), np.float32)
    if kind < 0.35:
        x, y = np.clip(points_px[rng.integers(len(points_px))].round().astype(int), 0, size - 1)
        material[:] = crop[y, x]
    elif kind < 0.7:
        material[:] = rng.uniform(0, 255, 3) if rng.random() < 0.5 else rng.uniform(0, 255)
    elif kind < 0.85:
        coarse = rng.uniform(0, 255, (rng.integers(2, 12), rng.integers(2, 12), 3)).astype(np.float32)
        material[:] = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    else:
        material[:] = np.roll(crop[::-1, ::-1], rng.integers(size, size=2), (0, 1))
    return material


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
