"""Annotated pictures, one file for each."""

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
"""Formats that are written. A picture in another format, such as .gif or .avif, is written as .png."""


class PictureFiles(Closing):
    """Writes annotated pictures into a folder, each with the name of its original: FOLDER/sub/NAME.jpg.

    If the format of the original is not written here, such as NAME.gif, the file is NAME.png, or NAME.gif.png if there
    is another picture of that name. JPEG has quality 95. The files have no EXIF data; a rotation in the original's EXIF
    data is applied to the pixels.

    Args:
        path: of the folder, which is made if it does not exist; pictures in it are not replaced, because they may be
            originals. For a single picture it may be a file with the suffix of a picture, which replaces an older one.
        names: of all the pictures that will be written, see FrameResult.picture.
        draw: makes an annotated picture of (image_rgb, result), such as tracker.sinks.annotate.draw_faces.

    Raises:
        TrackerError: one of the files exists already, files cannot be written, or another run is writing there.
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
        """Write the annotated picture of a frame, see Sink.write."""
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
        """Unlock the folder."""
        if self._folder is not None:
            self._folder.close()


def drawn_files(path: Path, names: Sequence[str]) -> Mapping[str, str]:
    """Name the annotated file of each picture.

    Args:
        path: of the folder, or of the file for a single picture.
        names: of all pictures.

    Returns:
        The name of the file by that of the picture, relative to the folder; "" if path is the file itself.

    Raises:
        TrackerError: path has the suffix of a picture, but there are several pictures.
    """

    def short(name: str) -> str:
        stem, suffix = os.path.splitext(name)
        return name if suffix.lower() in _WRITTEN else f"{stem}.png"

    if not _is_single(path):
        return output_names(names, short, lambda name: f"{name}.png")
    if len(names) > 1:
        raise TrackerError(
            f"expected a folder for {len(names)} annotated pictures, got {path}, which has the name of a single picture"
        )
    return {names[0]: ""}


def _is_single(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def encoded(image_rgb: Image, path: Path) -> bytes:
    """Encode a picture.

    Args:
        image_rgb: (H, W, 3) uint8 RGB.
        path: of the file, whose suffix selects the format.

    Returns:
        The content of the file.

    Raises:
        TrackerError: OpenCV cannot write the picture in that format.
    """
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
        raise TrackerError(f"OpenCV cannot write {path} with {width} x {height} pixels; use another picture format")
    return content.tobytes()
