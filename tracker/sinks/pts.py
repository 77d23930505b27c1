"""Results as .pts files, a face each."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tracker.errors import TrackerError
from tracker.face.pts import as_pts
from tracker.files import hold, write_whole
from tracker.frames import Frame
from tracker.result import FrameResult
from tracker.sinks.base import Closing, unwritable

LABELS = "annot"  # the folder's name in 300VW


class PtsFiles(Closing):
    """The smoothed landmarks in the layout of 300VW: FOLDER/annot/000001.pts belongs to the first frame.

    As there, coordinates are 1-based: the centre of the upper left pixel is 1 1. A frame has a file when its face was
    measured in it, none when there is no face or it is only held where it was. Where more than one face may be
    followed, every file is named after its face: 000001_2.pts is face 2 in the first frame.

    folder: made if it is not there; one that holds labels already is refused, for they may be somebody's work.
    max_faces: as the tracker's. Each file is whole or not there. Raises TrackerError when files cannot be written, and
    while another run writes there.
    Source: Shen et al., The First Facial Landmark Tracking in-the-Wild Challenge, ICCVW 2015.
    """

    def __init__(self, folder: str | Path, max_faces: int = 1) -> None:
        self._folder = Path(folder) / LABELS
        self._several = max_faces > 1
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if next(self._folder.glob("*.pts"), None):
                raise TrackerError(f"{self._folder} holds labels already: empty it, or name another folder")
            tempfile.TemporaryFile(dir=self._folder).close()  # a trial, before any work is done
            self._hold()
        except OSError as error:
            raise unwritable(self._folder, error) from error

    def _hold(self) -> None:
        """Refuse other runs meanwhile. Windows cannot open a folder: there they are refused once it holds labels."""
        self._descriptor = -1
        if os.name == "posix":
            self._descriptor = os.open(self._folder, os.O_RDONLY)
            try:
                hold(self._descriptor, self._folder)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def write(self, frame: Frame, result: FrameResult) -> None:
        for face in result.faces:
            if face.state == "tracking":
                suffix = f"_{face.id}" if self._several else ""
                path = os.path.join(self._folder, f"{result.index + 1:06d}{suffix}.pts")
                self._write(path, as_pts(face.landmarks.points_px))

    def _write(self, path: str, content: bytes) -> None:
        try:
            write_whole(path, content)
        except OSError as error:
            raise unwritable(path, error) from error
