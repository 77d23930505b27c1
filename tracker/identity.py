"""Which face is which: faces that are measured, coast over short gaps, and are given up."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.face.geometry import box_iou, extent
from tracker.face.landmarks import Landmarks

log = logging.getLogger(__name__)

SAME_FACE_IOU = 0.4  # extents that overlap more are one face


@dataclass(frozen=True)
class Identity:
    """One face as last measured. seen_s: when that was. score: 0..1, that it was a face then.

    measured: whether that was in the frame being looked at; a face that was not, coasts.
    """

    id: int
    landmarks: Landmarks
    score: float
    seen_s: float
    measured: bool = True

    @property
    def box_px(self) -> NDArray[np.float64]:
        """(4,) x, y, width, height of the landmarks' extent."""
        return extent(self.landmarks.points_px)


class Identities:
    """The faces being followed, oldest first.

    max_faces: how many are held at most; one that is seen displaces one that coasts. coast_s: how long a
    face is held after it was last seen before it is given up.
    """

    def __init__(self, max_faces: int, coast_s: float = 0.5) -> None:
        self.max_faces = max_faces
        self.coast_s = coast_s
        self.faces: list[Identity] = []
        self._next_id = count(1)

    def next_frame(self, timestamp_s: float) -> None:
        """Look at a frame of that time: no face has been measured in it yet, those too old are given up."""
        self.faces = [replace(face, measured=False) for face in self.faces]
        self.prune(timestamp_s)

    def seen(self, face: Identity, landmarks: Landmarks, score: float, timestamp_s: float) -> None:
        """A face that is being followed has been measured again."""
        self.faces[self.faces.index(face)] = Identity(face.id, landmarks, score, timestamp_s)

    def found(self, landmarks: Landmarks, score: float, timestamp_s: float) -> None:
        """A face came from the detector: a coasting one that is there again, or a new one."""
        box = extent(landmarks.points_px)
        coasting = [face for face in self.faces if not face.measured]
        back = max(coasting, key=lambda face: box_iou(face.box_px, box), default=None)
        if back is not None and box_iou(back.box_px, box) > SAME_FACE_IOU:
            self.seen(back, landmarks, score, timestamp_s)
            return
        new = Identity(next(self._next_id), landmarks, score, timestamp_s)
        self.faces.append(new)
        log.info("face %d found at %.3f s, score %.2f", new.id, timestamp_s, score)

    def known(self, box_px: ArrayLike) -> bool:
        """Whether a box shows a face that has been measured in this frame already."""
        return any(f.measured and box_iou(f.box_px, box_px) > SAME_FACE_IOU for f in self.faces)

    def prune(self, timestamp_s: float) -> None:
        """Give up faces not seen for coast_s, the worse of two that lie on each other, and those too many."""
        by_merit = sorted(self.faces, key=lambda face: (not face.measured, -face.seen_s, face.id))
        kept: list[Identity] = []
        for face in by_merit:
            reason = self._reason_to_drop(face, kept, timestamp_s)
            if reason:
                log.info("face %d lost at %.3f s: %s", face.id, timestamp_s, reason)
            else:
                kept.append(face)
        self.faces = sorted(kept, key=lambda face: face.id)

    def _reason_to_drop(self, face: Identity, kept: list[Identity], timestamp_s: float) -> str:
        if not 0 <= timestamp_s - face.seen_s <= self.coast_s:
            return f"last seen at {face.seen_s:.3f} s"
        if any(box_iou(face.box_px, other.box_px) > SAME_FACE_IOU for other in kept):
            return "it lies on another one"
        return "there are others to follow" if len(kept) >= self.max_faces else ""
