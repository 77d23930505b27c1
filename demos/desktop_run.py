"""The thread behind the window of demos.desktop: reads, tracks and draws, and keeps the newest picture. No Qt here."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker import Frame, FrameResult, Tracker, TrackerError, camera_matrix, convert, draw_faces, head_pose
from tracker.face.convert import reachable
from tracker.face.schemes import IBUG68
from tracker.sources import Live, ReconnectPolicy, Source, open_source
from tracker.sources.demo import DemoClip
from tracker.tracking.smoothing import Smoothing

log = logging.getLogger(__name__)

DEMO = "the demo clip"
"""The source that is rendered here, in place of a name."""

PATIENCE = ReconnectPolicy(stall_s=2.0, open_s=10.0, give_up_s=5.0)
"""How long a camera that gives no pictures is waited for, before the window offers to try again."""

CLOSE_S = 0.8
"""How long a run that was told to stop is waited for. One that hangs in a driver is left alone then."""

POLL_S = 0.002
LARGEST_SIDE = 2560
"""Pixels of the longer side of a drawn picture; a window that is larger enlarges it."""

State = Literal["opening", "running", "lost", "ended", "failed"]


@dataclass(frozen=True, eq=False)
class Shown:
    """A drawn frame and its figures.

    Attributes:
        image_rgb: (H, W, 3) uint8, with the landmarks, as large as the window asked for.
        taken_s: time.monotonic() when a camera's frame was grabbed, or a file's was due.
        faces: how many.
        score: of the first face, 0..1; None without one.
        pose_deg: pitch, yaw and roll of the first face, in degrees; None where it has none.
        fps: frames tracked in the last second.
        step_s: seconds that Tracker.step took.
        dropped: frames of a camera that a newer one replaced before they were tracked.
        not_shown: drawn frames that a newer one replaced before the window took them.
    """

    image_rgb: NDArray[np.uint8]
    taken_s: float
    faces: int
    score: float | None
    pose_deg: tuple[float, float, float] | None
    fps: float
    step_s: float
    dropped: int
    not_shown: int = 0


@dataclass(frozen=True, eq=False)
class News:
    """What is new since the last News of a run: its state, an error's sentence or "", the model that runs, a frame."""

    state: State
    message: str
    model: str | None
    shown: Shown | None


class Run(threading.Thread):
    """Tracks one source until it ends or stop() is called. Tracker and source live and die in this thread.

    Args:
        source: what tracker.sources.open_source takes, a camera's number as digits, or DEMO.
        model: what Tracker takes.
        smoothing: what Tracker takes.
        notify: called in this thread when there is news, once until fetch() is called.
        max_faces: what Tracker takes.
        after: a run that was stopped, and is waited for, so that its camera is free.

    Attributes:
        smoothing: may be set at any time; holds from the next frame on.
        model: likewise. If it cannot be loaded, the former one goes on, and the news has the error.
        size: (width, height) in pixels of the screen that a picture is drawn for; may be set at any time.
        tracked: frames so far.
    """

    def __init__(
        self,
        source: str,
        model: str | None,
        smoothing: Smoothing,
        notify: Callable[[], None],
        max_faces: int = 4,
        after: Run | None = None,
    ) -> None:
        super().__init__(name=f"tracker of {source}", daemon=True)  # one that hangs must not keep the program
        self.source, self.model, self.smoothing = source, model, smoothing
        self.size = (0, 0)
        self.tracked = 0
        self._max_faces = max_faces
        self._notify = notify
        self._after = after
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._state: State = "opening"
        self._message = ""
        self._newest: Shown | None = None
        self._told = False
        self._not_shown = 0
        self._loaded = model
        self._times_s: deque[float] = deque()

    def stop(self) -> None:
        """Ask the thread to end; it notifies no more. join() waits for it."""
        self._ending.set()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._ending.is_set()

    def fetch(self) -> News:
        """Return what is new; a frame only once, and only the newest."""
        with self._lock:
            self._told = False
            shown, self._newest = self._newest, None
            message, self._message = self._message, ""
            if shown is not None:
                shown = replace(shown, not_shown=self._not_shown)
            return News(self._state, message, self._loaded, shown)

    def run(self) -> None:
        """Track; started by start()."""
        try:
            if self._after is not None:
                self._after.join(CLOSE_S)
                self._after = None
            self._track()
        except TrackerError as error:
            self._say("failed", str(error))
        except Exception as error:  # a defect: the window must not stand still without a word
            log.exception("the tracker has ended unexpectedly")
            self._say("failed", f"The tracker has ended unexpectedly ({type(error).__name__}); the terminal says why.")

    def _track(self) -> None:
        tracker = self._load()
        try:
            with self._open() as source:
                self._say("running")
                for frame, taken_s in self._frames(source):
                    tracker = self._with_wishes(tracker)
                    result = tracker.step(frame)
                    self.tracked += 1
                    self._show(self._draw(frame, taken_s, result, source.losses.dropped))
            self._say("ended")
        finally:
            tracker.close()

    def _open(self) -> Source:
        if self.source == DEMO:
            return DemoClip()
        return open_source(int(self.source) if self.source.isdecimal() else self.source, PATIENCE)

    def _load(self) -> Tracker:
        return Tracker(self.model, max_faces=self._max_faces, smoothing=self.smoothing)

    def _with_wishes(self, tracker: Tracker) -> Tracker:
        """Return the tracker with the smoothing and the model that are wished for now."""
        tracker.smoothing = self.smoothing
        wish = self.model
        if wish == self._loaded:
            return tracker
        try:
            new = self._load()
        except TrackerError as error:
            if self.model == wish:
                self.model = self._loaded
            self._say("running", str(error))
            return tracker
        tracker.close()
        self._loaded = wish
        self._say("running")
        return new

    def _frames(self, source: Source) -> Iterator[tuple[Frame, float]]:
        """Yield frames and when they were taken: the newest of a camera, those of a file at its own speed."""
        if isinstance(source, Live):
            yield from self._live_frames(source)
            return
        begin_s = None
        for frame in source:
            now_s = time.monotonic()
            if begin_s is None or begin_s + frame.timestamp_s < now_s:  # late: later frames do not hurry for it
                begin_s = now_s - frame.timestamp_s
            if self._ending.wait(begin_s + frame.timestamp_s - now_s):
                return
            yield frame, time.monotonic()

    def _live_frames(self, source: Live) -> Iterator[tuple[Frame, float]]:
        while not self._ending.is_set():
            frame = source.poll()
            if frame is None:
                if source.lost and self._state == "running":
                    self._say("lost", f"{source.name} gives no pictures; waiting for it.")
                self._ending.wait(POLL_S)
                continue
            if self._state == "lost":
                self._say("running")
            assert source.started_s is not None
            yield frame, source.started_s + frame.timestamp_s

    def _draw(self, frame: Frame, taken_s: float, result: FrameResult, dropped: int) -> Shown:
        if frame.pixel_aspect != 1:
            frame, result = frame.squared(), result.scaled(*frame.square_scale)
        image_rgb, (x, y) = fit(frame.image_rgb, self.size)
        now_s = time.monotonic()
        self._times_s.append(now_s)
        while self._times_s[0] < now_s - 1:
            self._times_s.popleft()
        first = result.faces[0] if result.faces else None
        return Shown(
            image_rgb=draw_faces(image_rgb, result.scaled(x, y)),
            taken_s=taken_s,
            faces=len(result.faces),
            score=first.score if first else None,
            pose_deg=pose_of(result, frame.image_rgb.shape),
            fps=(len(self._times_s) - 1) / max(now_s - self._times_s[0], 1e-3),
            step_s=result.stage_s["step"],
            dropped=dropped,
        )

    def _show(self, shown: Shown) -> None:
        with self._lock:
            self._not_shown += self._newest is not None
            self._newest = shown
        self._tell()

    def _say(self, state: State, message: str = "") -> None:
        with self._lock:
            self._state, self._message = state, message
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            told, self._told = self._told, True
        if not told and not self._ending.is_set():
            self._notify()


def fit(image_rgb: NDArray[np.uint8], size: tuple[int, int]) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Resize a picture to fit into a size, and return it with the factors of x and y; unchanged for an empty size.

    Args:
        image_rgb: (H, W, 3) uint8.
        size: (width, height) in pixels.
    """
    height, width = image_rgb.shape[:2]
    scale = min(size[0] / width, size[1] / height, LARGEST_SIDE / max(width, height))
    wide, tall = round(width * scale), round(height * scale)
    if min(wide, tall) < 1:
        return image_rgb, (1.0, 1.0)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(image_rgb, (wide, tall), interpolation=how)
    return np.asarray(resized, np.uint8), (wide / width, tall / height)


def pose_of(result: FrameResult, shape: tuple[int, ...]) -> tuple[float, float, float] | None:
    """Return pitch, yaw and roll of the first face in degrees; None without one, or where its points allow none.

    Args:
        result: of a frame with square pixels.
        shape: (height, width, ...) of that frame.
    """
    if not result.faces or IBUG68 not in reachable(result.faces[0].landmarks.scheme):
        return None
    landmarks = convert(result.faces[0].landmarks, IBUG68)
    pose = head_pose(landmarks, camera_matrix(shape[1], shape[0]))
    if pose is None:
        return None
    pitch, yaw, roll = np.degrees([pose.pitch_rad, pose.yaw_rad, pose.roll_rad]).tolist()
    return pitch, yaw, roll
