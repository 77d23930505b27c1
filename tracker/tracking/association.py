"""Which face is which: assigns what is measured and detected to the tracks, and starts and ends them."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from itertools import count

import numpy as np
from numpy.typing import ArrayLike

from tracker.face.geometry import Array, box_iou, extent
from tracker.face.landmarks import Landmarks
from tracker.result import LostFace
from tracker.tracking.config import TrackerConfig
from tracker.tracking.estimator import Estimate
from tracker.tracking.track import Track

log = logging.getLogger(__name__)

NO_MATCH = 1e3  # the cost of a pair that is not the same face


class TrackManager:
    """The faces that are tracked, oldest first.

    Args:
        max_faces: how many there are at most; a coasting face keeps its place.
        coast_s: how long a face is kept after it was last measured, in seconds.
        coast_frames: the same in frames of the source; the longer of both counts.
        config: the thresholds.

    Attributes:
        tracks: one for each face.
        lost: the faces given up in the current frame.
    """

    def __init__(
        self,
        max_faces: int,
        coast_s: float = 0.5,
        coast_frames: int = 2,
        config: TrackerConfig | None = None,
    ) -> None:
        self.max_faces = max_faces
        self.coast_s = coast_s
        self.coast_frames = coast_frames
        self.config = config or TrackerConfig()
        self.tracks: list[Track] = []
        self.lost: list[LostFace] = []
        self._now_s = 0.0
        self._ids = count(1)

    def begin_frame(self, now_s: float, interval_s: float = 0.0) -> None:
        """Go on to a frame of that time: all faces coast until they are measured, and those too old are given up.

        Args:
            now_s: the time of the frame, in seconds.
            interval_s: the usual time between two frames of the source.
        """
        self._now_s, self.lost = now_s, []
        keep_s = max(self.coast_s, (self.coast_frames + 0.5) * interval_s)
        for track in list(self.tracks):
            track.begin_frame()
            if not 0 <= now_s - track.seen_s <= keep_s:
                self._end(track, f"last seen at {track.seen_s:.3f} s")

    def end_all(self, reason: str) -> None:
        """Give up all faces: where they were says nothing about the next picture."""
        for track in list(self.tracks):
            self._end(track, reason)

    def mark_cut(self) -> None:
        """Note a cut of the scene: faces that moved since are treated as new."""
        for track in self.tracks:
            track.after_cut = True

    def update(self, measured: Sequence[tuple[Track, Estimate]], confident_score: float = math.inf) -> None:
        """Take what was measured where the faces were predicted.

        What lies too far from the prediction is another face, and of two tracks with the same face the one whose
        prediction was nearer keeps it. The others coast.

        Args:
            measured: tracks and what was measured for each.
            confident_score: from this score on the face is clearly visible.
        """
        taken: list[Array] = []
        residuals = [(track.residual(seen.landmarks, self._now_s), track, seen) for track, seen in measured]
        for residual, track, seen in sorted(residuals, key=lambda each: (each[0], each[1].id)):
            box = seen.landmarks.extent_px
            furthest = self.config.max_motion_at_cut if track.after_cut else self.config.max_jump
            if residual > furthest or any(self._same(box, other) for other in taken):
                continue
            taken.append(box)
            track.update(seen, self._now_s)
            track.confident = track.confident or seen.score >= confident_score

    def confirm(self, boxes_px: Sequence[ArrayLike]) -> None:
        """Note which of the measured faces a detector sees as well."""
        for track in self.tracks:
            if track.measured:
                seen = any(box_iou(track.box_px, box) > self.config.min_reappear_iou for box in boxes_px)
                track.unconfirmed = 0 if seen else track.unconfirmed + 1

    def add(self, found: Sequence[Estimate], confident: bool = True) -> list[int]:
        """Take detected faces: coasting ones resume, others start a track while there is a free place.

        Args:
            found: detected and measured faces. Those that are measured already are left out.
            confident: whether they are clearly visible. Such a face takes the place of one that was measured there and
                never was. Others do not resume a face that once was: that one is probably covered.

        Returns:
            The ids of the faces that were taken.
        """
        fresh: list[Estimate] = []
        for seen in found:
            box = seen.landmarks.extent_px
            known = self.is_measured(box, only_confident=confident) or (
                not confident and self.may_be_coasting(box, only_confident=True)
            )
            if not known and not any(self._same(box, other.landmarks.extent_px) for other in fresh):
                fresh.append(seen)
        resumed = self._match(fresh)
        if confident:
            better = {i: self.find_doubtful(seen.landmarks.extent_px) for i, seen in enumerate(fresh)}
            resumed |= {i: track for i, track in better.items() if track}
        for i, track in resumed.items():
            track.resume(fresh[i], self._now_s, confident)
        ids = [track.id for track in resumed.values()]
        newcomers = [seen for i, seen in enumerate(fresh) if i not in resumed]
        ids += [self._start(seen, confident) for seen in newcomers[: self.free_places()]]
        self._end_surplus()
        return ids

    def is_measured(self, box_px: ArrayLike, only_confident: bool = False) -> bool:
        """Whether a box shows a face that has been measured in this frame already."""
        measured = [track for track in self.tracks if track.measured and (track.confident or not only_confident)]
        return any(self._same(track.box_px, box_px) for track in measured)

    def find_measured(self, box_px: ArrayLike) -> Track | None:
        """Return the face measured in this frame that a detector's box shows, None if it shows none of them."""
        overlaps = [(box_iou(track.box_px, box_px), track) for track in self.tracks if track.measured]
        overlap, best = max(overlaps, default=(0.0, None), key=lambda pair: pair[0])
        return best if overlap > self.config.min_reappear_iou else None

    def find_doubtful(self, box_px: ArrayLike) -> Track | None:
        """Return the face measured in this frame that was never clearly visible and that a box shows.

        The face in the box may be another way up.
        """
        doubtful = (track for track in self.tracks if track.measured and not track.confident)
        return next((t for t in doubtful if box_iou(t.box_px, box_px) > self.config.turned_iou), None)

    def may_be_coasting(self, box_px: ArrayLike, only_confident: bool = False) -> bool:
        """Whether a box touches the place where a coasting face is predicted."""
        coasting = [track for track in self.tracks if not track.measured and (track.confident or not only_confident)]
        return any(box_iou(extent(track.predict_px(self._now_s)), box_px) > 0 for track in coasting)

    def free_places(self) -> int:
        """Return how many new faces may still be tracked."""
        return self.max_faces - sum(track.keeps_its_place() for track in self.tracks)

    def replace(self, track: Track) -> None:
        """Give up a face because another one takes its place."""
        self._end(track, "another face comes before it")

    def _same(self, box_px: ArrayLike, other_px: ArrayLike) -> bool:
        return box_iou(box_px, other_px) > self.config.same_face_iou

    def _match(self, found: Sequence[Estimate]) -> dict[int, Track]:
        """Return the coasting track for each index of a found face, the assignment with the least cost in all."""
        coasting = [track for track in self.tracks if not track.measured]
        if not (coasting and found):
            return {}
        costs = np.array([[self._cost(track, seen.landmarks) for track in coasting] for seen in found])
        return {int(i): coasting[j] for i, j in _assign(costs) if costs[i, j] < NO_MATCH}

    def _cost(self, track: Track, landmarks: Landmarks) -> float:
        """Return the residual plus the part that does not overlap; NO_MATCH for another face."""
        residual = track.residual(landmarks, self._now_s)
        overlap = box_iou(extent(track.predict_px(self._now_s)), landmarks.extent_px)
        furthest = self.config.max_motion_at_cut if track.after_cut else self.config.max_reappear_distance
        near = residual < furthest and overlap > self.config.min_reappear_iou
        return residual + 1 - overlap if near else NO_MATCH

    def _start(self, seen: Estimate, confident: bool) -> int:
        track = Track(next(self._ids), seen, self._now_s, confident, self.config)
        self.tracks.append(track)
        log.info("face %d found at %.3f s, score %.2f", track.id, self._now_s, seen.score)
        return track.id

    def _end_surplus(self) -> None:
        """Give up faces beyond max_faces, first those that do not keep their place, of them the longest unseen."""
        by_merit = sorted(self.tracks, key=lambda t: (not t.keeps_its_place(), not t.measured, -t.seen_s, t.id))
        for track in by_merit[self.max_faces :]:
            self._end(track, "there are others to follow")

    def _end(self, track: Track, reason: str) -> None:
        log.info("face %d lost at %.3f s: %s", track.id, self._now_s, reason)
        self.tracks.remove(track)
        self.lost.append(LostFace(track.id, reason))


def _assign(costs: Array) -> list[tuple[int, int]]:
    """Return row and column of the pairs with the least cost in all; costs (R, C)."""
    if 1 in costs.shape:
        row, column = divmod(int(costs.argmin()), costs.shape[1])
        return [(row, column)]
    from scipy.optimize import linear_sum_assignment  # imported late, because one face does not need its memory

    return list(zip(*(indices.tolist() for indices in linear_sum_assignment(costs)), strict=True))
