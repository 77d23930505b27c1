"""Annotated pictures, a file each."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2

from tracker.errors import TrackerError
from tracker.result import FrameResult
from tracker.sinks.base import Closing, Folder, Image, already_there
from tracker.sources import Frame
from tracker.sources.picture_files import SUFFIXES, output_names
from tracker.system.files import unwritable, write_whole
from tracker.system.opencv_log import quiet

_JPEG = (".jfif", ".jpe", ".jpeg", ".jpg")
_WRITTEN = (*_JPEG, ".bmp", ".png", ".tif", ".tiff", ".webp")
"""A picture keeps such a suffix; of another kind, as .gif or .avif, a .png is written."""


class PictureFiles(Closing):
    """The pictures with the landmarks drawn, in a folder, each named as its original: FOLDER/sub/NAME.jpg.

    Of a kind that is not written here, as NAME.gif, NAME.png is written, or NAME.gif.png where another picture is
    called so. JPEG is written at quality 95. They hold no EXIF data: those that said so are turned.

    path: the folder, made if it is not there; pictures in it are not replaced, for they may be originals. Or, for a
    single picture, a file named as a picture, which replaces an older one.
    names: of all the pictures that will come, see FrameResult.picture.
    draw: (image_rgb, result) to a new picture, as overlay.draw_faces.
    Raises TrackerError where one of the files is there already, when files cannot be written, and while another run
    writes there.
    """

    def __init__(self, path: str | Path, names: Sequence[str], draw: Callable[[Image, FrameResult], Image]) -> None:
        self._path = Path(path)
        self._draw = draw
        self._files = drawn_files(self._path, names)
        self._folder: Folder | None = None
        if not _is_single(self._path):
            for file in self._files.values():
                if os.path.lexists(self._path / file):
                    raise already_there(self._path / file)
            self._folder = Folder(self._path)

    def write(self, frame: Frame, result: FrameResult) -> None:
        assert result.picture is not None
        file = self._files[result.picture]
        content = encoded(self._draw(frame.image_rgb, result), self._path / file)
        if self._folder is not None:
            self._folder.write(file, content)
            return
        try:
            write_whole(self._path, content)
        except OSError as error:
            raise unwritable(self._path, error) from error

    def close(self) -> None:
        if self._folder is not None:
            self._folder.close()


def drawn_files(path: Path, names: Sequence[str]) -> Mapping[str, str]:
    """By picture its annotated file, relative to the folder path; "" where path is the file of a single one.

    Raises TrackerError where path is named as a single picture, and there are several.
    """

    def short(name: str) -> str:
        stem, suffix = os.path.splitext(name)
        return name if suffix.lower() in _WRITTEN else f"{stem}.png"

    if not _is_single(path):
        return output_names(names, short, lambda name: f"{name}.png")
    if len(names) > 1:
        raise TrackerError(
            f"expected a folder for {len(names)} annotated pictures, got {path}, which is named as a single picture"
        )
    return {names[0]: ""}


def _is_single(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def encoded(image_rgb: Image, path: Path) -> bytes:
    """A picture (H, W, 3) as the content of a file of that suffix. Raises TrackerError where OpenCV cannot."""
    suffix = path.suffix.lower()
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix in _JPEG else []
    try:
        with quiet():
            done, content = cv2.imencode(
                ".jpg" if suffix in _JPEG else suffix, cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR), options
            )
    except cv2.error:
        done = False
    if not done:
        height, width = image_rgb.shape[:2]
        raise TrackerError(f"OpenCV cannot write {path} with {width} x {height} pixels; give another kind of picture")
    return content.tobytes()
