"""Results as .pts files, a face each."""

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

LABELS = "annot"  # the folder's name in 300VW


class PtsFiles(Closing):
    """The smoothed landmarks in the layout of 300VW: FOLDER/annot/000001.pts belongs to the first frame.

    Of pictures in that of 300W: FOLDER/sub/NAME.pts belongs to the picture sub/NAME.jpg; where NAME.png is there as
    well, they are NAME.jpg.pts and NAME.png.pts. FOLDER may be the pictures' own.
    As there, coordinates are 1-based: the centre of the upper left pixel is 1 1. A frame has a file when its face was
    measured in it, none when there is no face or it is only held where it was. Where more than one face may be
    followed, every file is named after its face: 000001_2.pts is face 2 in the first frame, NAME_2.pts in a picture.

    folder: made if it is not there; one that holds labels already is refused, for they may be somebody's work.
    max_faces: as the tracker's. pictures: the names of all that will come, None for frames. Each file is whole or not
    there. Raises TrackerError when files cannot be written, and while another run writes there.
    Source: Shen et al., The First Facial Landmark Tracking in-the-Wild Challenge, ICCVW 2015; Sagonas et al., 300 Faces
    in-the-Wild Challenge, ICCVW 2013.
    """

    def __init__(self, folder: str | Path, max_faces: int = 1, pictures: Iterable[str] | None = None) -> None:
        self._several = max_faces > 1
        self._names = output_names(pictures or (), lambda name: os.path.splitext(name)[0], lambda name: name)
        path = Path(folder) / LABELS if pictures is None else Path(folder)
        labels = path.glob("*.pts") if pictures is None else path.rglob("*.pts")
        if next(labels, None):
            raise TrackerError(f"{path} holds labels already: empty it, or name another folder")
        self._folder = Folder(folder, LABELS if pictures is None else "")

    def write(self, frame: Frame, result: FrameResult) -> None:
        name = f"{LABELS}/{result.index + 1:06d}" if result.picture is None else self._names[result.picture]
        for face in result.faces:
            if face.state == "tracking":
                suffix = f"_{face.id}" if self._several else ""
                self._folder.write(f"{name}{suffix}.pts", as_pts(face.landmarks.points_px))

    def close(self) -> None:
        self._folder.close()
