"""What an application gives to be looked at: pictures, names of their files, or several of either."""

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
    """A picture by itself as a frame. image: as of as_picture, or the name of a picture's file, or a Frame.

    Raises TrackerError for what is none of these, and for a file that cannot be decoded.
    """
    if isinstance(image, Frame):
        return Frame(image.image_rgb, image.timestamp_s, image.index, still=True, name=image.name, path=image.path)
    if isinstance(image, (str, os.PathLike)):
        path = Path(image)
        return Frame(decode_picture(path), 0.0, 0, still=True, name=path.name, path=path)
    return Frame(as_picture(image), 0.0, 0, still=True)


def open_given(source: object) -> Source:
    """What an application gives to be run through, and is no name of one thing.

    Args:
        source: one picture, as of as_picture, which is looked at for itself; several, as a list, an array
            (N, H, W, 3) or a generator, which are the frames of a video at 30 frames a second; or several names of
            pictures' files and folders.

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
