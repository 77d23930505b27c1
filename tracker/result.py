"""What the tracker says of one frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracker.face.landmarks import Landmarks

State = Literal["tracking", "coasting"]


class Measured(NamedTuple):
    """Landmarks in pixels of the picture, and how sure the engine is, 0..1, that the view shows a face."""

    landmarks: Landmarks
    score: float


@dataclass(frozen=True)
class TrackedFace:
    """One face in one frame.

    id: stays with the face while it is tracked, never given twice in one run.
    state: "tracking" (measured in this frame) or "coasting" (held over a short gap, not measured).
    score: 0..1, that this is a face.
    landmarks: smoothed; raw: as measured in this frame (while coasting: as last measured).
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


@dataclass(frozen=True)
class LostFace:
    """A face that was given up in a frame, and why, for people."""

    id: int
    reason: str


@dataclass(frozen=True)
class FrameResult:
    """The faces of one frame, and what each stage of finding them cost.

    No faces: the tracker is searching. lost: the faces that were given up in this frame; their ids never come back.
    refused: detections in this frame that were measured and scored too low for a face (Tracker's min_score).
    stage_s: seconds spent by stage name: "detect", "crop", "engine", "smooth", "step" (the whole).
    """

    index: int
    timestamp_s: float
    faces: tuple[TrackedFace, ...]
    stage_s: dict[str, float] = field(default_factory=dict)
    lost: tuple[LostFace, ...] = ()
    refused: int = 0

    def scaled(self, x: float, y: float) -> FrameResult:
        """The same result in a picture that is x times as wide and y times as high."""
        faces = (replace(f, landmarks=f.landmarks.scaled(x, y), raw=f.raw.scaled(x, y)) for f in self.faces)
        return replace(self, faces=tuple(faces))

    def to_json(self) -> dict[str, Any]:
        """The record that one line of a JSONL file holds. Pixels to 2 decimals, scores to 4.

        A timestamp that is no finite number is None: JSON has no other word for it.
        """
        return {
            "frame": self.index,
            "timestamp_s": round(self.timestamp_s, 6) if math.isfinite(self.timestamp_s) else None,
            "faces": [
                {
                    "id": face.id,
                    "state": face.state,
                    "score": round(face.score, 4),
                    "box_px": face.box_px.round(2).tolist(),
                    "points_px": face.landmarks.points_px.round(2).tolist(),
                    "scores": face.landmarks.scores.round(4).tolist(),
                }
                for face in self.faces
            ],
        }
