"""Results as .pts files, one for each face."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tracker.errors import TrackerError
from tracker.face.pts import as_pts
from tracker.result import FrameResult
from tracker.sinks.base import Closing, Folder
from tracker.sources import Frame
from tracker.sources.picture_files import output_names

LABELS = "annot"  # name of the folder in 300VW


class PtsFiles(Closing):
    """Writes the smoothed landmarks in the layout of 300VW or 300W.

    For frames, the layout is that of 300VW: FOLDER/annot/000001.pts belongs to the first frame. For pictures it is that
    of 300W: FOLDER/sub/NAME.pts belongs to the picture sub/NAME.jpg; if there is NAME.png as well, the files are
    NAME.jpg.pts and NAME.png.pts. FOLDER may be the folder of the pictures.

    As in these data sets, coordinates are 1-based: the centre of the upper left pixel is 1 1. Coasting faces are not
    written, and a frame without a measured face has no file. With max_faces above 1, file names have the face's id:
    000001_2.pts is face 2 in the first frame, NAME_2.pts face 2 in a picture. A file is either complete or does not
    exist.

    Source: Shen et al., The First Facial Landmark Tracking in-the-Wild Challenge, ICCVW 2015; Sagonas et al., 300 Faces
    in-the-Wild Challenge, ICCVW 2013.

    Args:
        folder: made if it does not exist; it must not contain labels, because they may be the user's work.
        max_faces: that of the tracker.
        pictures: the names of all pictures that will be written; None for frames of a video or a camera.

    Raises:
        TrackerError: there are labels in the folder already, files cannot be written, or another run is writing there.
    """

    def __init__(self, folder: str | Path, max_faces: int = 1, pictures: Iterable[str] | None = None) -> None:
        self._several = max_faces > 1
        self._names = output_names(pictures or (), lambda name: os.path.splitext(name)[0], lambda name: name)
        path = Path(folder) / LABELS if pictures is None else Path(folder)
        labels = path.glob("*.pts") if pictures is None else path.rglob("*.pts")
        if next(labels, None):
            raise TrackerError(f"{path} contains labels already: empty it, or name another folder")
        self._folder = Folder(folder, LABELS if pictures is None else "")

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Write a file for each measured face of a frame, see Sink.write."""
        name = f"{LABELS}/{result.index + 1:06d}" if result.picture is None else self._names[result.picture]
        for face in result.faces:
            if face.state == "tracking":
                suffix = f"_{face.id}" if self._several else ""
                self._folder.write(f"{name}{suffix}.pts", as_pts(face.landmarks.points_px))

    def close(self) -> None:
        """Unlock the folder."""
        self._folder.close()
