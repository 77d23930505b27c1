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

# The columns in their order. What is said of a face once:
_OF_A_FACE: dict[str, Callable[[FrameResult, TrackedFace], int | float]] = {
    "frame": lambda result, face: result.index + 1,
    "face_id": lambda result, face: face.id,
    "timestamp": lambda result, face: round(result.timestamp_s, 6),
    "confidence": lambda result, face: round(face.score, 4),
    "success": lambda result, face: int(face.state == "tracking"),
}
_POSE = ("pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry", "pose_Rz")
_OPENINGS = ("right_eye_opening", "left_eye_opening", "mouth_opening")
# What is said of each of its points, in columns x_0, x_1, ...: (K,) numbers, or None where the model does not tell.
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
    """A line for each face of each frame, with OpenFace 2.2's names where it has the quantity; a header first.

    frame: from 1, as OpenFace counts (the results' index is from 0). face_id: the face's identity. timestamp: in
    seconds. confidence: 0..1, that this is a face. success: 1, or 0 where the face was not measured in this frame and
    is held where it was. A frame without faces has no line.
    pose_Tx, pose_Ty, pose_Tz in millimetres, pose_Rx, pose_Ry, pose_Rz in radians: tracker.analysis.head_pose says how
    they are found and in which frame, by a camera that camera_matrix guesses. Only of 68 landmarks; empty where there
    is none. x_0, ..., y_0, ...: the smoothed landmarks in pixels, x right, y down, pixel centres at integers.
    Ours: score_0, ... in 0..1; cov_xx_0, ..., cov_xy_0, ..., cov_yy_0, ...: covariances in squared pixels;
    visibility_0, ... in 0..1, that a landmark is not hidden, empty where the model does not tell it; of 68 landmarks
    right_eye_opening, left_eye_opening, mouth_opening: height over width as measured in this frame.
    Numbers have a decimal point in every locale.

    path: replaced at the start; "-" is standard output. However the run ends, it holds complete lines only.
    scheme: of the landmarks, for the number of columns. pictures: whether a first column, picture, names the picture
    that a face is in; face_id is then counted from 1 in each. The file is UTF-8.

    Source: Baltrusaitis et al., OpenFace 2.0, FG 2018; its RecorderCSV.
    Raises TrackerError when the file cannot be opened or written.
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
        (height, width), (x, y) = frame.image_rgb.shape[:2], frame.square_scale
        camera = camera_matrix(round(width * x), round(height * y)) if self._is_68 else None
        square = result if frame.pixel_aspect == 1 else result.scaled(x, y)
        faces = zip(result.faces, square.faces)
        named = [printable_name(result.picture or "")] if self._named else []
        self._lines.append(_as_csv([*named, *_row(result, face, shown, camera)] for face, shown in faces))

    def close(self) -> None:
        self._lines.close()


def _row(result: FrameResult, face: TrackedFace, shown: TrackedFace, camera: Array | None) -> list[int | float | None]:
    """The cells of a line. shown: the face in square pixels, for shapes.

    camera: None where there are no columns for the pose and the openings.
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
        return [None] * len(_POSE)  # csv writes nothing
    return [*pose.translation_mm.round(1).tolist(), *pose.openface_rad.round(4).tolist()]


def _openings(landmarks: Landmarks) -> list[float | None]:
    openings = *eye_opening(landmarks), mouth_opening(landmarks)
    return [None if math.isnan(opening.ratio) else round(opening.ratio, 4) for opening in openings]


def _as_csv(rows: Iterable[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
