"""Several sources with one engine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice

from tracker.face.crop import Roi
from tracker.result import FrameResult
from tracker.sources import Frame
from tracker.tracking.estimator import Estimate
from tracker.tracking.stage_timer import StageTimer
from tracker.tracking.tracker import Tracker, in_pixels_of, square_pixels


class BatchTracker:
    """Steps several trackers at once: the tracked faces of all sources are one batch of the engine.

    New faces are measured for each source separately, which is rare while faces are tracked.

    Args:
        trackers: one for each source, sharing an engine: the first one, and Tracker(first.engine) for the others.

    Raises:
        ValueError: if there is no tracker, one is given twice, or the engines differ.
        TrackerError: if a tracker was closed.
    """

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        if not trackers:
            raise ValueError("expected at least one tracker, got none")
        if len({id(each) for each in trackers}) < len(trackers):
            raise ValueError("expected different trackers, one for each source, got one of them twice")
        if any(each.engine is not trackers[0].engine for each in trackers):
            raise ValueError("trackers that are batched need one engine: Tracker(first.engine)")
        self.trackers = list(trackers)

    def step(self, frames: Sequence[Frame | None]) -> list[FrameResult | None]:
        """Return the faces of the next frame of each source.

        Args:
            frames: one for each tracker, None for a source that has no new frame.

        Returns:
            What each tracker's own step would have returned, None where there was no frame. stage_s counts what was
            done together for each of them.

        Raises:
            ValueError: for another number of frames than trackers.
            TrackerError: as Tracker.step. If one of the frames is not a Frame, no tracker has changed.
        """
        if len(frames) != len(self.trackers):
            raise ValueError(f"expected {len(self.trackers)} frames, one for each tracker, got {len(frames)}")
        results: list[FrameResult | None] = [None] * len(frames)
        started_s = time.perf_counter()
        squared = {i: square_pixels(frame) for i, frame in enumerate(frames) if frame is not None}
        with ExitStack() as stack:
            for i in squared:
                stack.enter_context(self.trackers[i].exclusive())
            trackers = {i: self.trackers[i].for_frame(frame) for i, frame in squared.items()}
            timers = {i: StageTimer() for i in squared}
            rois = {i: trackers[i].begin_step(frame) for i, frame in squared.items()}
            estimates = self._estimate(squared, rois, timers)
            done = {i: trackers[i].finish_step(squared[i], estimates[i], timers[i]) for i in squared}
        for i, result in done.items():
            timers[i].seconds["step"] = time.perf_counter() - started_s
            frame = frames[i]
            assert frame is not None
            results[i] = in_pixels_of(frame, result)
        return results

    def _estimate(
        self, frames: dict[int, Frame], rois: dict[int, list[Roi]], timers: dict[int, StageTimer]
    ) -> dict[int, list[Estimate]]:
        """Return the landmarks in the ROIs: all frames on the host together, frames on the GPU one by one."""
        estimator, estimates = self.trackers[0].estimator, dict[int, list[Estimate]]()
        for i, frame in frames.items():
            if frame.gpu is not None:
                estimates[i] = estimator.estimate(frame.gpu, rois[i], timers[i])
        on_host = [i for i in frames if i not in estimates]
        images = [frames[i].image_rgb for i in on_host for _ in rois[i]]
        shared = StageTimer()
        found = iter(estimator.estimate_each(images, [roi for i in on_host for roi in rois[i]], shared))
        for i in on_host:
            timers[i].add(shared)
            estimates[i] = list(islice(found, len(rois[i])))
        return estimates
