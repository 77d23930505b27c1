"""The tracker's results for one frame or picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tracker.errors import TrackerError
from tracker.face.landmarks import Landmarks

if TYPE_CHECKING:
    import pandas
    import supervision

State = Literal["tracking", "coasting"]


@dataclass(frozen=True)
class TrackedFace:
    """One face in one frame.

    Attributes:
        id: constant while the face is tracked, unique in one run.
        state: "tracking" (measured in this frame) or "coasting" (held over a short gap, not measured).
        score: 0..1, the model's confidence that this is a face.
        landmarks: smoothed.
        raw: as measured in this frame (while coasting: as last measured).
    """

    id: int
    state: State
    score: float
    landmarks: Landmarks
    raw: Landmarks

    @property
    def box_px(self) -> NDArray[np.float64]:
        """(4,) x, y, width, height of the extent of the smoothed landmarks, in pixels."""
        low, high = self.landmarks.points_px.min(0), self.landmarks.points_px.max(0)
        return np.concatenate([low, high - low])

    def __repr__(self) -> str:
        x, y, width, height = self.box_px.round().astype(int)
        box = f"{width} x {height} px at {x}, {y}"
        return f"TrackedFace({self.id}, {self.state}, score {self.score:.2f}, {box}, {self.landmarks.scheme.name})"

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain lists and numbers, not rounded."""
        return {
            "id": self.id,
            "state": self.state,
            "score": self.score,
            "box_px": self.box_px.tolist(),
            "scheme": self.landmarks.scheme.name,
            "points_px": self.landmarks.points_px.tolist(),
            "scores": self.landmarks.scores.tolist(),
            "covariances_px2": self.landmarks.covariances_px2.tolist(),
            "raw_points_px": self.raw.points_px.tolist(),
            **_visibility(self.landmarks),
        }


@dataclass(frozen=True)
class LostFace:
    """A face whose track ended in a frame.

    Attributes:
        id: of the face; it is not used again.
        reason: why the track ended, for messages.
    """

    id: int
    reason: str


@dataclass(frozen=True)
class FrameResult:
    """The faces of one frame or picture, and the time of each stage.

    Attributes:
        index: of the frame, from 0.
        timestamp_s: of the frame, in seconds.
        faces: empty while the tracker searches.
        stage_s: seconds by stage: "detect", "crop", "engine", "smooth", "step" (the total).
        lost: faces whose tracks ended in this frame; their ids are not used again.
        refused: detections in this frame whose score of the landmark model was too low (Tracker's min_score).
        picture: the name of a still picture, relative to the common folder of the run's pictures, with "/" between its
            parts; None for a frame of a video. Ids start at 1 in each picture.
        path: the file of a still picture.
        image_rgb: the picture that Tracker.detect was given, unless it was a file; None for frames of a video.
    """

    index: int
    timestamp_s: float
    faces: tuple[TrackedFace, ...]
    stage_s: dict[str, float] = field(default_factory=dict)
    lost: tuple[LostFace, ...] = ()
    refused: int = 0
    picture: str | None = None
    path: Path | None = None
    image_rgb: NDArray[np.uint8] | None = field(default=None, compare=False)

    def scaled(self, x: float, y: float) -> FrameResult:
        """Return the result for the picture resized to x times its width and y times its height."""
        faces = (replace(f, landmarks=f.landmarks.scaled(x, y), raw=f.raw.scaled(x, y)) for f in self.faces)
        return replace(self, faces=tuple(faces))

    def __repr__(self) -> str:
        where = f"frame {self.index}, {self.timestamp_s:.3f} s" if self.picture is None else repr(self.picture)
        faces = ", ".join(f"{face.id} {face.state} {face.score:.2f}" for face in self.faces)
        count = "1 face" if len(self.faces) == 1 else f"{len(self.faces)} faces"
        return f"FrameResult({where}, {count}{': ' if faces else ''}{faces})"

    def plot(self, image_rgb: object = None) -> NDArray[np.uint8]:
        """Draw the faces over the picture, see tracker.draw_faces.

        Args:
            image_rgb: the frame or picture of this result. It may be left out for a picture that was given to
                Tracker.detect or read from a file; the file is then read again.

        Returns:
            (H, W, 3) uint8 RGB, always a new array.

        Raises:
            TrackerError: if image_rgb is not a picture, if it is needed and missing, or if the file cannot be read.
        """
        from tracker.sinks.annotate import draw_faces
        from tracker.sources.pictures import decode_picture

        if image_rgb is None:
            image_rgb = self.image_rgb if self.path is None else decode_picture(self.path)
        if image_rgb is None:
            raise TrackerError("plot expected the picture that the result is of, got none; give plot(frame.image_rgb)")
        return draw_faces(image_rgb, self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the picture itself as plain lists, numbers and texts, not rounded, for json.dumps."""
        return {
            **self._place(),
            "faces": [face.to_dict() for face in self.faces],
            "lost": [{"id": face.id, "reason": face.reason} for face in self.lost],
            "refused": self.refused,
            "stage_s": dict(self.stage_s),
        }

    def to_pandas(self) -> pandas.DataFrame:
        """Return a table with a row for each face; tracker.to_pandas makes one of several results.

        Raises:
            TrackerError: if pandas is not installed.
        """
        from tracker.table import to_pandas

        return to_pandas([self])

    def to_supervision(self) -> supervision.KeyPoints:
        """The faces as key points of the package supervision, see tracker.key_points.to_supervision."""
        from tracker.key_points import to_supervision

        return to_supervision(self)

    def to_json(self) -> dict[str, Any]:
        """Return the record of one line of a JSONL file; pixels have 2 decimals, scores 4.

        A timestamp that is not finite is None, because JSON has no such number.
        """
        place = self._place()
        if place["timestamp_s"] is not None:
            place["timestamp_s"] = round(place["timestamp_s"], 6)
        return {
            **place,
            "faces": [
                {
                    "id": face.id,
                    "state": face.state,
                    "score": round(face.score, 4),
                    "box_px": face.box_px.round(2).tolist(),
                    "points_px": face.landmarks.points_px.round(2).tolist(),
                    "scores": face.landmarks.scores.round(4).tolist(),
                    **_visibility(face.landmarks, 4),
                }
                for face in self.faces
            ],
        }

    def _place(self) -> dict[str, Any]:
        """Return the fields that identify the frame or picture."""
        picture = {} if self.picture is None else {"picture": printable_name(self.picture)}
        time_s = float(self.timestamp_s)  # it may be a NumPy number, which json refuses
        return {"frame": int(self.index), **picture, "timestamp_s": time_s if math.isfinite(time_s) else None}


def _visibility(landmarks: Landmarks, decimals: int | None = None) -> dict[str, list[float]]:
    """Return the field visibility, where the model tells it."""
    if landmarks.visibility is None:
        return {}
    values = landmarks.visibility if decimals is None else landmarks.visibility.round(decimals)
    return {"visibility": values.tolist()}


def printable_name(name: str) -> str:
    r"""Return a file's name as valid Unicode: bytes that are not UTF-8 are escaped as \udc80 to \udcff."""
    return name.encode("utf-8", "backslashreplace").decode()
