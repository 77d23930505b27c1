"""Which face is which: faces that are measured, coast over short gaps, and are given up."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.face.geometry import Array, box_iou, extent
from tracker.face.landmarks import Landmarks
from tracker.result import LostFace, Measured

log = logging.getLogger(__name__)

SAME_FACE_IOU = 0.4  # extents that overlap more are one face
FARTHEST_IOU = 0.2  # a face found again overlaps the place where it was expected by more
FARTHEST = 0.6  # and its landmarks lie nearer to it, in face sizes
LEAP = 0.5  # face sizes from the expected place within one frame that are no motion, but another face
FLASH = 0.1  # a face that moves less, in face sizes, while the whole picture changes, is still the same
SETTLING_S = 0.05  # a velocity is trusted after so long; timestamps that jitter do no harm
GHOST = 3  # runs of the detector in a row without a face there, after which another one may take its place
GONE = 2  # frames after a cut of the scene in which a face was not seen, after which another one may take its place
HORIZON_S = 0.2  # no motion is foretold for longer
APART = 1e3  # the cost of a pair that is none


@dataclass(frozen=True, eq=False)
class Identity:
    """One face as last measured. seen_s: when that was. score: 0..1, that it was a face then.

    velocity_px_s: (2,) of its middle. measured: whether that was in the frame being looked at; a face that was not,
    coasts. unconfirmed: runs of the detector in a row that did not find it. doubtful: whether the scene may have been
    cut since. missed: frames in a row in which it was not measured. sure: whether it has ever scored as high as
    a face that is plain to see.
    """

    id: int
    landmarks: Landmarks
    score: float
    seen_s: float
    velocity_px_s: Array
    measured: bool = True
    unconfirmed: int = 0
    doubtful: bool = False
    missed: int = 0
    sure: bool = True

    @property
    def box_px(self) -> NDArray[np.float64]:
        """(4,) x, y, width, height of the landmarks' extent."""
        return self.landmarks.extent_px

    @cached_property
    def size_px(self) -> float:
        """The side of a square as large as the extent, at least a pixel."""
        _, _, width, height = self.box_px.tolist()
        return max(math.sqrt(width * height), 1.0)

    def ahead_px(self, timestamp_s: float) -> Array:
        """(2,) how far it should have moved by then, if it goes on as it did."""
        return min(max(timestamp_s - self.seen_s, 0.0), HORIZON_S) * self.velocity_px_s

    def expected_px(self, timestamp_s: float) -> Array:
        """(K, 2) where its landmarks should be by then."""
        return self.landmarks.points_px + self.ahead_px(timestamp_s)

    def surprise(self, landmarks: Landmarks, timestamp_s: float) -> float:
        """Mean distance of landmarks from those expected, in face sizes."""
        away = landmarks.points_px - self.expected_px(timestamp_s)
        return float(np.hypot(away[:, 0], away[:, 1]).sum()) / (len(away) * self.size_px)

    def moved_to(self, landmarks: Landmarks, score: float, timestamp_s: float) -> Identity:
        """The same face, measured again."""
        velocity, step_s = self.velocity_px_s, timestamp_s - self.seen_s
        if step_s > 0:
            moved_px = (landmarks.points_px - self.landmarks.points_px).sum(0) / len(landmarks.points_px)
            velocity = velocity + (moved_px - step_s * velocity) / (step_s + SETTLING_S)
        return Identity(self.id, landmarks, score, timestamp_s, velocity, True, self.unconfirmed, sure=self.sure)


class Identities:
    """The faces being followed, oldest first.

    max_faces: how many are held at most; a face that coasts keeps its place. coast_s, coast_frames: how long a face
    is held after it was last seen before it is given up, in seconds or in frames of the source, whichever is longer.
    lost: those given up in the frame being looked at.
    """

    def __init__(self, max_faces: int, coast_s: float = 0.5, coast_frames: int = 2) -> None:
        self.max_faces = max_faces
        self.coast_s = coast_s
        self.coast_frames = coast_frames
        self.faces: list[Identity] = []
        self.lost: list[LostFace] = []
        self._now_s = 0.0
        self._next_id = count(1)

    def next_frame(self, timestamp_s: float, interval_s: float = 0.0) -> None:
        """Look at a frame of that time: no face has been measured in it yet, those too old are given up.

        interval_s: the usual time between two frames of the source.
        """
        self._now_s, self.lost = timestamp_s, []
        self.faces = [replace(face, measured=False, missed=face.missed + 1) for face in self.faces]
        self._give_up_the_old(max(self.coast_s, (self.coast_frames + 0.5) * interval_s))

    def forget(self, reason: str) -> None:
        """Give all faces up: where they were says nothing of the next picture."""
        for face in list(self.faces):
            self._give_up(face, reason)

    def doubt(self) -> None:
        """The picture has changed as a whole: who is not where it was, is somebody else."""
        self.faces = [replace(face, doubtful=True) for face in self.faces]

    def followed(self, sightings: Sequence[tuple[Identity, Measured]]) -> None:
        """What was measured where the faces were looked for.

        A sighting that lies too far from where its face should be is of something else, and one face cannot be two:
        who was expected there more has it. The others coast.
        """
        taken: list[Array] = []
        rated = [(face.surprise(seen.landmarks, self._now_s), face, seen) for face, seen in sightings]
        for surprise, face, seen in sorted(rated, key=lambda each: (each[0], each[1].id)):
            box = seen.landmarks.extent_px
            if surprise > (FLASH if face.doubtful else LEAP) or any(box_iou(box, b) > SAME_FACE_IOU for b in taken):
                continue
            taken.append(box)
            self._put(face, face.moved_to(seen.landmarks, seen.score, self._now_s))

    def confirm(self, boxes_px: Sequence[ArrayLike]) -> None:
        """Note which of the faces measured in this frame a detector sees as well."""
        for face in [face for face in self.faces if face.measured]:
            seen = any(box_iou(face.box_px, box) > FARTHEST_IOU for box in boxes_px)
            self._put(face, replace(face, unconfirmed=0 if seen else face.unconfirmed + 1))

    def found(self, sightings: Sequence[Measured], sure: bool = True) -> list[int]:
        """Faces that came from the detector: coasting ones that are there again, and new ones; returns their ids.

        sure: whether they scored as high as faces that are plain to see: such a one takes the place of a face that was
        measured there and never was; others do not bring back a face that once was, which is covered rather. Those that
        are known already are left out, and new ones for which there is no room.
        """
        fresh: list[Measured] = []
        for seen in sightings:
            box = seen.landmarks.extent_px
            others = (other.landmarks.extent_px for other in fresh)
            known = self.known(box, only_sure=sure) or (not sure and self.awaited(box, only_sure=True))
            if not known and not any(box_iou(box, other) > SAME_FACE_IOU for other in others):
                fresh.append(seen)
        back = {**self._assign(fresh), **(self._better_seen(fresh) if sure else {})}
        ids = [self._again(face, fresh[i], sure) for i, face in back.items()]
        newcomers = [seen for i, seen in enumerate(fresh) if i not in back]
        ids += [self._new(seen, sure) for seen in newcomers[: self.room()]]
        self._give_up_those_too_many()
        return ids

    def known(self, box_px: ArrayLike, only_sure: bool = False) -> bool:
        """Whether a box shows a face that has been measured in this frame already; only_sure: and is a sure one."""
        faces = [face for face in self.faces if face.measured and (face.sure or not only_sure)]
        return any(box_iou(face.box_px, box_px) > SAME_FACE_IOU for face in faces)

    def shown_by(self, box_px: ArrayLike) -> Identity | None:
        """The face measured in this frame that a detector's box shows, None where it shows none of them."""
        overlap, face = max(
            ((box_iou(f.box_px, box_px), f) for f in self.faces if f.measured),
            default=(0.0, None),
            key=lambda pair: pair[0],
        )
        return face if overlap > FARTHEST_IOU else None

    def unsure_at(self, box_px: ArrayLike) -> Identity | None:
        """The face measured in this frame that was never sure and that a box shows, perhaps another way up."""
        unsure = (face for face in self.faces if face.measured and not face.sure)
        return next((face for face in unsure if box_iou(face.box_px, box_px) > FARTHEST_IOU), None)

    def awaited(self, box_px: ArrayLike, only_sure: bool = False) -> bool:
        """Whether a box touches the place where a face that coasts is expected: it may be that face again."""
        coasting = [face for face in self.faces if not face.measured and (face.sure or not only_sure)]
        return any(box_iou(extent(face.expected_px(self._now_s)), box_px) > 0 for face in coasting)

    def room(self) -> int:
        """How many new faces may still be found: the places that no face keeps."""
        return self.max_faces - sum(map(_keeps_its_place, self.faces))

    def give_way(self, face: Identity) -> None:
        """Give a face up for another one that comes before it."""
        self._give_up(face, "another face comes before it")

    def _assign(self, sightings: Sequence[Measured]) -> dict[int, Identity]:
        """By the sighting's place in the list, the coasting face that it is: the pairs nearest together."""
        coasting = [face for face in self.faces if not face.measured]
        if not (coasting and sightings):
            return {}
        costs = np.array([[_cost(face, seen.landmarks, self._now_s) for face in coasting] for seen in sightings])
        return {int(i): coasting[j] for i, j in _pairs(costs) if costs[i, j] < APART}

    def _better_seen(self, sightings: Sequence[Measured]) -> dict[int, Identity]:
        """By the sighting's place in the list, the face that was never sure and that it shows."""
        shown = {i: self.unsure_at(seen.landmarks.extent_px) for i, seen in enumerate(sightings)}
        return {i: face for i, face in shown.items() if face}

    def _again(self, face: Identity, seen: Measured, sure: bool) -> int:
        moved = face.moved_to(seen.landmarks, seen.score, self._now_s)
        self._put(face, replace(moved, unconfirmed=0, sure=face.sure or sure))
        return face.id

    def _new(self, seen: Measured, sure: bool) -> int:
        new = Identity(next(self._next_id), seen.landmarks, seen.score, self._now_s, np.zeros(2), sure=sure)
        self.faces.append(new)
        log.info("face %d found at %.3f s, score %.2f", new.id, self._now_s, seen.score)
        return new.id

    def _put(self, face: Identity, now: Identity) -> None:
        self.faces[[other.id for other in self.faces].index(face.id)] = now

    def _give_up_the_old(self, hold_s: float) -> None:
        for face in list(self.faces):
            if not 0 <= self._now_s - face.seen_s <= hold_s:
                self._give_up(face, f"last seen at {face.seen_s:.3f} s")

    def _give_up_those_too_many(self) -> None:
        """Those first that keep no place, of them the longest unseen, then the newest."""
        by_merit = sorted(self.faces, key=lambda f: (not _keeps_its_place(f), not f.measured, -f.seen_s, f.id))
        for face in by_merit[self.max_faces :]:
            self._give_up(face, "there are others to follow")

    def _give_up(self, face: Identity, reason: str) -> None:
        log.info("face %d lost at %.3f s: %s", face.id, self._now_s, reason)
        self.faces.remove(face)
        self.lost.append(LostFace(face.id, reason))


def _keeps_its_place(face: Identity) -> bool:
    """Not so for a face that the detector does not confirm, and for one that did not come back after a cut."""
    gone = face.doubtful and face.missed >= GONE
    return face.unconfirmed < GHOST and not gone


def _cost(face: Identity, landmarks: Landmarks, timestamp_s: float) -> float:
    """How far landmarks are from those expected, and how little they overlap; APART where they are of another face."""
    surprise = face.surprise(landmarks, timestamp_s)
    overlap = box_iou(extent(face.expected_px(timestamp_s)), landmarks.extent_px)
    near = surprise < (FLASH if face.doubtful else FARTHEST) and overlap > FARTHEST_IOU
    return surprise + 1 - overlap if near else APART


def _pairs(costs: Array) -> list[tuple[int, int]]:
    """Row and column of the pairs with the least cost in all; costs (R, C)."""
    if 1 in costs.shape:
        row, column = divmod(int(costs.argmin()), costs.shape[1])
        return [(row, column)]
    from scipy.optimize import linear_sum_assignment  # its memory is for those who follow several faces

    return list(zip(*(indices.tolist() for indices in linear_sum_assignment(costs)), strict=True))
