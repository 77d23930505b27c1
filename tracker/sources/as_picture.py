"""Conversion of pictures that an application holds, arrays or PIL images, to RGB arrays."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError

EXPECTED = "expected a picture as an RGB array (height, width, 3) of uint8 or as a PIL image"
_DEEP_MODES = ("I", "F")  # PIL's modes of 32 and 16 bits and of floats, which it would clip at 255


def as_picture(image: object) -> NDArray[np.uint8]:
    """Convert a picture to RGB.

    Args:
        image: (H, W, 3) RGB, (H, W) or (H, W, 1) grey, (H, W, 4) RGBA, whose alpha is dropped, all uint8; or a PIL
            image, whose pixels are taken as stored, without its EXIF orientation. The order of the channels cannot
            be checked: cv2.imread returns BGR, which as_rgb converts.

    Returns:
        (H, W, 3) uint8 RGB, contiguous; an array that is so already is returned without a copy.

    Raises:
        TrackerError: for anything else; the message says how to convert it.
    """
    if hasattr(image, "convert") and hasattr(image, "mode"):
        image = _of_pil(image)
    if not isinstance(image, np.ndarray):
        raise TrackerError(f"{EXPECTED}, got {kind_of(image)}")
    got = f"{EXPECTED}, got {image.shape} of {image.dtype}"
    if image.dtype != np.uint8:
        raise TrackerError(f"{got}: {_to_uint8(image)}")
    if image.ndim == 4:
        raise TrackerError(f"{got}: these are several pictures; give them one at a time")
    if image.ndim not in (2, 3) or image.size == 0:
        raise TrackerError(got)
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels not in (1, 3, 4):
        hint = ": move the channels last, image.transpose(1, 2, 0)" if image.shape[0] in (1, 3, 4) else ""
        raise TrackerError(got + hint)
    if channels == 1:
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(image[..., :3])


def _of_pil(image: Any) -> object:
    """Return the pixels of a PIL image as an array."""
    mode = str(image.mode)
    if mode.split(";")[0] in _DEEP_MODES:
        raise TrackerError(
            f"{EXPECTED}, got a PIL image of mode {mode}: bring it to 0..255 as uint8 first, for 16 bits by "
            "np.asarray(image) // 257"
        )
    try:
        return np.asarray(image.convert("RGB"))
    except Exception as error:  # PIL decodes the file only now; its decoders' errors have no common type
        raise TrackerError(f"{EXPECTED}, got a PIL image that cannot be read as RGB: {error}") from None


def kind_of(value: object) -> str:
    """Describe an unexpected value, and say what to do, for the end of an error message."""
    if value is None:
        return "None: was the file read? cv2.imread returns None for a file that it cannot read"
    name = type(value).__name__
    if isinstance(value, (str, os.PathLike)):
        return f"the name {os.fspath(value)!r}; read it first, for example with tracker.sources.read_picture"
    if hasattr(value, "image_rgb"):
        return f"a {name}; give its image_rgb, or the frame itself to step"
    if hasattr(value, "detach"):
        return f"{name}; give image.detach().cpu().numpy()"
    if isinstance(value, (list, tuple)):
        return f"{name}; give one picture at a time, each as an array"
    return name


def _to_uint8(image: NDArray[Any]) -> str:
    """Say how an array of another type is converted to uint8."""
    if image.dtype.kind == "f":
        largest = float(np.max(image, initial=0.0, where=np.isfinite(image)))
        scale = "(255 * image).round()" if largest <= 1 else "image.clip(0, 255)"
        return f"convert it, {scale}.astype(np.uint8)"
    if image.dtype == np.uint16:
        return "convert it, (image // 257).astype(np.uint8) where it uses all 16 bits"
    if image.dtype == np.bool_:
        return "convert it, 255 * image.astype(np.uint8)"
    return "convert it to 0..255 and uint8"
