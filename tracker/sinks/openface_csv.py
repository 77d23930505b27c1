"""Results as a table with the columns of OpenFace."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tracker.analysis.expression import eye_opening, mouth_opening
from tracker.analysis.head_pose import camera_matrix, head_pose
from tracker.face.geometry import Array
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68, Scheme
from tracker.result import FrameResult, TrackedFace, printable_name
from tracker.sinks.base import Closing
from tracker.sinks.json_lines import WholeLines
from tracker.sources import Frame

# The columns in their order. Those with one value for a face:
_OF_A_FACE: dict[str, Callable[[FrameResult, TrackedFace], int | float]] = {
    "frame": lambda result, face: result.index + 1,
    "face_id": lambda result, face: face.id,
    "timestamp": lambda result, face: round(result.timestamp_s, 6),
    "confidence": lambda result, face: round(face.score, 4),
    "success": lambda result, face: int(face.state == "tracking"),
}
_POSE = ("pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry", "pose_Rz")
_OPENINGS = ("right_eye_opening", "left_eye_opening", "mouth_opening")
# Those with a value for each of its K points, in columns x_0, x_1, ...; None if the model does not tell them:
_OF_A_POINT: dict[str, Callable[[Landmarks], Array | None]] = {
    "x": lambda landmarks: landmarks.points_px[:, 0].round(2),
    "y": lambda landmarks: landmarks.points_px[:, 1].round(2),
    "score": lambda landmarks: landmarks.scores.round(4),
    "cov_xx": lambda landmarks: landmarks.covariances_px2[:, 0].round(4),
    "cov_xy": lambda landmarks: landmarks.covariances_px2[:, 1].round(4),
    "cov_yy": lambda landmarks: landmarks.covariances_px2[:, 2].round(4),
    "visibility": lambda landmarks: None if landmarks.visibility is None else landmarks.visibility.round(4),
}


class OpenFaceCsv(Closing):
    """Writes a header, then a line for each face of each frame, with OpenFace 2.2's column names where it has them.

    | column | meaning |
    | --- | --- |
    | frame | number of the frame, from 1 as in OpenFace (the index in results is from 0) |
    | face_id | id of the face |
    | timestamp | seconds |
    | confidence | 0 to 1, that this is a face |
    | success | 1, or 0 if the face was not measured in this frame and is kept at its last position |
    | pose_Tx, pose_Ty, pose_Tz | millimetres, see tracker.analysis.head_pose; with 68 landmarks only |
    | pose_Rx, pose_Ry, pose_Rz | radians, the same |
    | x_0, ..., y_0, ... | smoothed landmarks in pixels, x right, y down, pixel centres at integers |
    | score_0, ... | 0 to 1; this column and the following ones are not in OpenFace |
    | cov_xx_0, ..., cov_xy_0, ..., cov_yy_0, ... | covariances in squared pixels |
    | visibility_0, ... | 0 to 1, that the landmark is not hidden; empty if the model does not tell it |
    | right_eye_opening, left_eye_opening, mouth_opening | height over width in this frame; with 68 landmarks only |

    The pose is computed with the default camera of camera_matrix, and is empty if there is none. A frame without faces
    has no line. Numbers have a decimal point in every locale; the file is UTF-8. It holds complete lines only, however
    the run ends.

    Source: Baltrusaitis et al., OpenFace 2.0, FG 2018; its RecorderCSV.

    Args:
        path: of the file, which is emptied at the start; "-" is standard output.
        scheme: of the landmarks, for the number of columns.
        pictures: whether the frames are unrelated pictures. Then a first column, picture, has the name of the picture,
            and face_id counts from 1 in each.

    Raises:
        TrackerError: the file cannot be opened or written.
    """

    def __init__(self, path: str | Path, scheme: Scheme, pictures: bool = False) -> None:
        self._named = ["picture"] if pictures else []
        self._is_68 = scheme is IBUG68
        pose, openings = (_POSE, _OPENINGS) if self._is_68 else ((), ())
        numbered = [f"{name}_{i}" for name in _OF_A_POINT for i in range(scheme.count)]
        self._lines = WholeLines(path)
        try:
            self._lines.append(_as_csv([[*self._named, *_OF_A_FACE, *pose, *numbered, *openings]]))
        except BaseException:
            self._lines.close()
            raise

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Write the lines of a frame, see Sink.write."""
        (height, width), (x, y) = frame.image_rgb.shape[:2], frame.square_scale
        camera = camera_matrix(round(width * x), round(height * y)) if self._is_68 else None
        square = result if frame.pixel_aspect == 1 else result.scaled(x, y)
        faces = zip(result.faces, square.faces)
        named = [printable_name(result.picture or "")] if self._named else []
        self._lines.append(_as_csv([*named, *_row(result, face, shown, camera)] for face, shown in faces))

    def close(self) -> None:
        """Close the file, see Sink.close."""
        self._lines.close()


def _row(result: FrameResult, face: TrackedFace, shown: TrackedFace, camera: Array | None) -> list[int | float | None]:
    """Return the cells of a line, with pose and openings from shown, the face in square pixels.

    Without a camera there are no columns for the pose and the openings.
    """
    row: list[int | float | None] = [value(result, face) for value in _OF_A_FACE.values()]
    if camera is not None:
        row += _pose(shown.landmarks, camera)
    for values in _OF_A_POINT.values():
        cells = values(face.landmarks)
        row += [None] * face.landmarks.scheme.count if cells is None else cells.tolist()
    if camera is not None:
        row += _openings(shown.raw)
    return row


def _pose(landmarks: Landmarks, camera: Array) -> Sequence[float | None]:
    pose = head_pose(landmarks, camera)
    if pose is None:
        return [None] * len(_POSE)  # empty cells
    return [*pose.translation_mm.round(1).tolist(), *pose.openface_rad.round(4).tolist()]


def _openings(landmarks: Landmarks) -> list[float | None]:
    openings = *eye_opening(landmarks), mouth_opening(landmarks)
    return [None if math.isnan(opening.ratio) else round(opening.ratio, 4) for opening in openings]


def _as_csv(rows: Iterable[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
