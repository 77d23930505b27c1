"""Sources made from what an application passes: pictures, names of files, or several of either."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import TrackerError
from tracker.sources.arrays import ArraySource
from tracker.sources.as_picture import as_picture, kind_of
from tracker.sources.base import Source
from tracker.sources.frame import Frame
from tracker.sources.pictures import Pictures, decode_picture

_NONE = object()


def still_of(image: object) -> Frame:
    """Make a still frame of one picture.

    Args:
        image: a picture as as_picture takes it, the name of a picture's file, or a Frame.

    Returns:
        The frame, with still set.

    Raises:
        TrackerError: for anything else, and for a file that cannot be decoded.
    """
    if isinstance(image, Frame):
        return Frame(image.image_rgb, image.timestamp_s, image.index, still=True, name=image.name, path=image.path)
    if isinstance(image, (str, os.PathLike)):
        path = Path(image)
        return Frame(decode_picture(path), 0.0, 0, still=True, name=path.name, path=path)
    return Frame(as_picture(image), 0.0, 0, still=True)


def open_given(source: object) -> Source:
    """Make a source of pictures that an application holds, or of several file names.

    Args:
        source: one picture as as_picture takes it, a still; several, as a list, an array (N, H, W, 3) or a generator,
            which are the frames of a video at 30 frames per second; or several names of pictures' files and folders.

    Raises:
        TrackerError: for anything else.
    """
    if hasattr(source, "convert") or (isinstance(source, np.ndarray) and source.ndim < 4):
        return ArraySource([as_picture(source)], still=True)
    if isinstance(source, np.ndarray):
        return ArraySource(source)
    if not isinstance(source, Iterable) or isinstance(source, (bytes, bytearray, memoryview, dict)):
        raise TrackerError(
            f"expected a source: a video's or picture's name, a camera's number, pictures, or a Source, got "
            f"{kind_of(source)}"
        )
    items: Iterator[Any] = iter(source)
    first: Any = next(items, _NONE)
    if first is _NONE:
        raise TrackerError("expected pictures or names of pictures, got none")
    if isinstance(first, (str, os.PathLike)):
        names = [first, *items]
        if any(not isinstance(name, (str, os.PathLike)) for name in names):
            raise TrackerError("expected names of pictures only, or pictures only, got both")
        return Pictures([Path(name) for name in names])
    return ArraySource(source if isinstance(source, (list, tuple)) else chain([first], items))
