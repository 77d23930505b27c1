"""A live source gives the newest frame, says what it lost, comes back after every fault, and leaves nothing behind."""

from __future__ import annotations

import gc
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest

from tracker import Frame, Tracker
from tracker.errors import TrackerError
from tracker.run import shown_frames
from tracker.sources import Live, ReconnectPolicy
from tracker.sources.live import MAX_STUCK_READERS

WAIT_S = 10.0  # that a test waits for what must happen at once: reached only where it fails
QUICK = ReconnectPolicy(retry_s=0.001, longest_retry_s=0.004, give_up_s=WAIT_S)
HASTY = ReconnectPolicy(stall_s=0.1, open_s=0.1, retry_s=0.001, longest_retry_s=0.004, give_up_s=WAIT_S)


def grey(level: int, width: int = 8) -> Any:
    return np.full((6, width, 3), level, np.uint8)


def level_of(frame: Frame) -> int:
    return int(frame.image_rgb[0, 0, 0])


class FakeCamera:
    """A camera and its driver: gives the picture that is set in it, until it is unplugged; may be plugged in again.

    Each capture of it holds a real file handle. hangs: a read that is under way when it is unplugged does not return
    before let_go(). refusals: how many attempts to open it fail although it is plugged in.
    """

    def __init__(self) -> None:
        self.picture = grey(0)
        self.hangs = False
        self.refusals = 0
        self.attempts_s: list[float] = []
        self._session: int | None = 0
        self._sessions = 0
        self._free = threading.Event()

    def plug(self) -> None:
        self._sessions += 1
        self._session = self._sessions

    def unplug(self) -> None:
        self._session = None

    def let_go(self) -> None:
        self._free.set()
        self._free = threading.Event()

    def open(self) -> FakeCameraCapture:
        self.attempts_s.append(time.monotonic())
        if self._session is None or self.refusals:
            self.refusals = max(0, self.refusals - 1)
            raise TrackerError("the fake camera could not be opened")
        return FakeCameraCapture(self, self._session)

    def grab(self, session: int) -> bool:
        time.sleep(0.001)
        free = self._free
        if session != self._session and self.hangs:
            assert free.wait(WAIT_S)
        return session == self._session


class FakeCameraCapture:
    """What cv2.VideoCapture is to a camera."""

    def __init__(self, camera: FakeCamera, session: int) -> None:
        self._camera, self._session = camera, session
        self._handle: int | None = os.open(os.devnull, os.O_RDONLY)

    def grab(self) -> bool:
        return self._handle is not None and self._camera.grab(self._session)

    def retrieve(self) -> tuple[bool, Any]:
        return True, self._camera.picture.copy()

    def get(self, propId: int) -> float:  # noqa: N803
        return {cv2.CAP_PROP_FPS: 25.0}.get(propId, 0.0)

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
        self._handle = None


class FakeScript:
    """A capture that does what it is told, one grab after another, and blocks while it is told nothing.

    A picture is delivered; an exception raised by retrieve; False ends it, None is a picture that cannot be decoded.
    """

    def __init__(self, *script: Any) -> None:
        self._script: queue.Queue[Any] = queue.Queue()
        self._now: Any = None
        self._busy = False
        self.grabbed_s: list[float] = []
        for what in script:
            self._script.put(what)

    def tell(self, *script: Any) -> None:
        """Have these done, and wait until the reader comes for more."""
        for what in script:
            self._script.put(what)
        wait_until(lambda: self._script.unfinished_tasks == 0)

    def grab(self) -> bool:
        self.release()
        self._now = self._script.get(timeout=WAIT_S)
        self._busy = True
        self.grabbed_s.append(time.monotonic())
        return self._now is not False

    def retrieve(self) -> tuple[bool, Any]:
        if isinstance(self._now, Exception):
            raise self._now
        return self._now is not None, self._now

    def get(self, propId: int) -> float:  # noqa: N803
        return 0.0

    def release(self) -> None:
        """What was grabbed last has been dealt with."""
        if self._busy:
            self._script.task_done()
        self._busy = False


def handles() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def wait_until(true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < until_s, "waited in vain"
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test ends with the threads and file handles it began with."""
    if "make_tracker" in request.fixturenames:
        request.getfixturevalue("make_tracker")()  # ONNX Runtime opens files of its own once, for good
    threads, open_handles = threading.active_count(), handles()
    yield
    wait_until(lambda: threading.active_count() <= threads and handles() <= open_handles)


@pytest.fixture
def camera() -> FakeCamera:
    return FakeCamera()


class TestNewestWins:
    def test_and_drops_are_counted(self) -> None:
        script = FakeScript(grey(1))
        with Live("fake", lambda: script) as source:
            assert level_of(next(source)) == 1
            script.tell(grey(2), grey(3), grey(4))
            assert level_of(next(source)) == 4
            assert source.losses.dropped == 2
            script.tell(grey(5))
            frame = next(source)
            assert (level_of(frame), frame.index, source.losses.dropped) == (5, 2, 2)
            assert str(source.losses) == "2 frames dropped, 0 unreadable, 0 gaps"
            script.tell(False)

    def test_what_passed_before_the_first_was_wanted_is_not_lost(self) -> None:
        script = FakeScript(grey(1))
        with Live("fake", lambda: script) as source:
            script.tell(grey(2), grey(3))
            frame = next(source)
            assert (level_of(frame), frame.index, frame.timestamp_s) == (3, 0, 0.0)
            assert source.losses.dropped == 0
            script.tell(False)

    def test_times_are_of_the_monotonic_clock_at_the_grab(self) -> None:
        script = FakeScript(grey(1))
        with Live("fake", lambda: script) as source:
            assert source.started_s is None
            times = [next(source).timestamp_s]
            for level in (2, 3):
                time.sleep(0.01)
                script.tell(grey(level))
                time.sleep(0.01)  # what passes before it is asked for does not count
                times.append(next(source).timestamp_s)
            assert source.started_s is not None
            assert [source.started_s + t for t in times] == pytest.approx(script.grabbed_s, abs=0.008)
            assert times[0] == 0
            script.tell(False)

    def test_what_is_known_of_it(self, camera: FakeCamera) -> None:
        with Live("fake", camera.open) as source:
            assert (source.name, source.fps, source.frame_count, source.live) == ("fake", 25.0, None, True)
        script = FakeScript(False)
        with Live("fake", lambda: script) as source:
            assert source.fps is None

    def test_each_is_given_once(self, camera: FakeCamera) -> None:
        """To a consumer that is faster than the camera."""
        with Live("fake", camera.open) as source:
            start_s = time.monotonic()
            times = [next(source).timestamp_s for _ in range(100)]
        assert all(later > earlier for earlier, later in pairwise(times))
        assert time.monotonic() - start_s >= 0.09  # the camera needs a millisecond a picture

    def test_waits_without_looking_again_and_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        script, looks = FakeScript(), 0
        with Live("fake", lambda: script) as source:
            poll = source.poll

            def counted() -> Frame | None:
                nonlocal looks
                looks += 1
                return poll()

            monkeypatch.setattr(source, "poll", counted)
            threading.Timer(0.2, script.tell, [grey(1), False]).start()
            next(source)
        assert looks <= 3

    def test_a_steady_camera_is_not_lost(self, camera: FakeCamera) -> None:
        with Live("fake", camera.open, ReconnectPolicy(stall_s=0.3)) as source:
            assert next(frame for frame in source if frame.timestamp_s > 0.5).index > 0
            assert source.losses.gaps == 0


class TestPictures:
    @pytest.mark.parametrize(
        "what",
        [
            None,
            cv2.error("the decoder fails"),
            np.full((6, 8, 3), math.nan, np.float32),
            np.zeros((0, 8, 3), np.uint8),
            np.zeros((6, 8, 2), np.uint8),
        ],
        ids=["undecodable", "decoder raises", "nan", "empty", "two channels"],
    )
    def test_one_that_is_none_is_left_out_and_counted(self, what: Any) -> None:
        script = FakeScript(grey(1))
        with Live("fake", lambda: script) as source:
            next(source)
            script.tell(what, what, grey(2))
            frame = next(source)
            assert (level_of(frame), frame.index) == (2, 1)
            assert (source.losses.unreadable, source.losses.dropped, source.losses.gaps) == (2, 0, 0)
            script.tell(False)

    def test_black_ones_and_other_sizes_pass(self) -> None:
        script = FakeScript(grey(1))
        with Live("fake", lambda: script) as source:
            next(source)
            for picture in (grey(0), grey(9, width=20), grey(9)):
                script.tell(picture)
                assert (next(source).image_rgb == picture).all()
            script.tell(False)

    def test_nothing_but_undecodable_ones_count_as_lost(self) -> None:
        """A camera whose data are all torn is opened again, which helps."""
        torn, sound = FakeScript(grey(1), *[None] * 5), FakeScript(grey(2), False)
        captures = iter([torn, sound])
        with Live("fake", lambda: next(captures), HASTY) as source:
            assert [level_of(next(source)), level_of(next(source))] == [1, 2]
            torn.tell(None)  # a read that was left behind comes to an end; it does not count any more
            assert source.losses.unreadable == 5 and source.losses.gaps == 1


class TestLoss:
    def test_is_said_mended_and_measured(self, camera: FakeCamera, caplog: pytest.LogCaptureFixture) -> None:
        with Live("fake", camera.open, QUICK) as source:
            before = next(source)
            camera.unplug()
            lost_s = time.monotonic()
            wait_until(lambda: source.poll() is None and source.lost)
            time.sleep(0.05)
            camera.picture = grey(2)
            camera.plug()
            frame = wait_for_level(source, 2)
            gap_s = time.monotonic() - lost_s
        assert source.losses.gaps == 1
        assert 0.05 <= source.losses.gap_s <= gap_s + (frame.timestamp_s - before.timestamp_s)
        assert frame.timestamp_s - before.timestamp_s >= 0.05
        lost, back = caplog.records
        assert lost.levelno == back.levelno == logging.WARNING
        assert lost.message.startswith("fake was lost after ")
        assert back.message == f"fake is available again after {source.losses.gap_s:.1f} s without a frame"
        assert str(source.losses).endswith(f"1 gap of {source.losses.gap_s:.1f} s in all")

    def test_attempts_back_off_and_begin_anew(self, camera: FakeCamera) -> None:
        with Live("fake", camera.open, ReconnectPolicy(retry_s=0.02, longest_retry_s=0.08, give_up_s=WAIT_S)) as source:
            next(source)
            camera.picture, camera.refusals = grey(2), 5
            camera.unplug()
            camera.plug()
            wait_for_level(source, 2)
            waits = np.diff(camera.attempts_s[1:])
            assert len(waits) == 5 and (waits >= (0.04, 0.08, 0.08, 0.08, 0.08)).all()  # after .02 s before the first
        reconnect = ReconnectPolicy(retry_s=0.001, longest_retry_s=WAIT_S, give_up_s=WAIT_S)
        with Live("fake", camera.open, reconnect) as source:
            for level in range(100, 115):  # doubled 15 times it would be 33 s
                camera.picture = grey(level)
                wait_for_level(source, level)
                camera.unplug()
                camera.plug()
            assert source.losses.gap_s < WAIT_S

    def test_for_good_ends_with_one_sentence(self, camera: FakeCamera) -> None:
        with Live("fake", camera.open, ReconnectPolicy(retry_s=0.01, give_up_s=0.05)) as source:
            next(source)
            camera.unplug()
            with pytest.raises(TrackerError, match=r"fake was lost after \d+ frames and did not return: the fake c"):
                for _ in source:
                    pass
            assert next(source, None) is None
        assert len(camera.attempts_s) >= 3

    def test_without_patience_ends_at_once(self, camera: FakeCamera) -> None:
        with Live("fake", camera.open, ReconnectPolicy(give_up_s=0)) as source:
            next(source)
            camera.unplug()
            with pytest.raises(TrackerError, match="it gives no more frames"):
                list(source)
        assert len(camera.attempts_s) == 1

    @pytest.mark.parametrize("script", [[False], [None, False]], ids=["at once", "after a torn one"])
    def test_before_the_first_picture_is_an_error(self, script: list[Any]) -> None:
        with (
            Live("fake", lambda: FakeScript(*script)) as source,
            pytest.raises(TrackerError, match="fake was opened but gives no frames"),
        ):
            next(source)

    def test_a_first_picture_may_take_longer(self) -> None:
        script = FakeScript()
        with Live("fake", lambda: script, ReconnectPolicy(stall_s=0.05)) as source:
            threading.Timer(0.2, script.tell, [grey(1)]).start()
            assert level_of(next(source)) == 1
            script.tell(False)

    def test_a_first_picture_that_never_comes_is_an_error(self) -> None:
        script = FakeScript()
        with Live("fake", lambda: script, ReconnectPolicy(open_s=0.05)) as source:
            with pytest.raises(TrackerError, match="gives no frames"):
                next(source)
            script.tell(False)

    def test_of_what_cannot_be_opened_at_all(self, camera: FakeCamera) -> None:
        camera.unplug()
        with pytest.raises(TrackerError, match="could not be opened"):
            Live("fake", camera.open)

    def test_a_mistake_in_the_code_is_not_taken_for_a_loss(self, camera: FakeCamera) -> None:
        script = FakeScript(grey(1), ZeroDivisionError("a mistake"))
        with Live("fake", lambda: script) as source, pytest.raises(ZeroDivisionError):
            list(source)


def wait_for_level(source: Live, level: int) -> Frame:
    return next(frame for frame in source if level_of(frame) == level)


class TestHanging:
    def test_read_is_left_behind_and_ends_when_it_can(
        self, camera: FakeCamera, caplog: pytest.LogCaptureFixture
    ) -> None:
        camera.hangs = True
        with Live("fake", camera.open, HASTY) as source:
            next(source)
            camera.picture = grey(2)
            camera.plug()  # at once under another number: the old read hangs, the new one works
            wait_for_level(source, 2)
            hanging = [t for t in threading.enumerate() if t.name == "reader of fake"]
            assert len(hanging) == 2
            camera.let_go()
            wait_until(lambda: sum(t.is_alive() for t in hanging) == 1)
            assert source.losses.gaps == 1 and source.losses.gap_s >= 0.1

    def test_to_the_end_is_said_when_closed(
        self, camera: FakeCamera, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tracker.sources.live.CLOSE_S", 0.05)
        camera.hangs = True
        with Live("fake", camera.open) as source:
            next(source)
            camera.unplug()
            start_s = time.monotonic()
        assert time.monotonic() - start_s < 1
        assert caplog.messages == ["fake is closed, but 1 reads of it still hang in the driver"]
        camera.let_go()

    def test_too_often_ends_with_one_sentence(self, camera: FakeCamera) -> None:
        camera.hangs = True
        with Live("fake", camera.open, ReconnectPolicy(stall_s=0.05, retry_s=0.001, give_up_s=WAIT_S)) as source:
            plugged_again = (camera.plug() for _ in source)
            with pytest.raises(TrackerError, match=f"fake: {MAX_STUCK_READERS} reads hang in its driver; unplug it"):
                list(plugged_again)
            assert threading.active_count() <= 1 + MAX_STUCK_READERS + baseline_threads()
            camera.let_go()

    def test_while_opening_is_left_behind_too(self, camera: FakeCamera) -> None:
        free, attempts = threading.Event(), iter([camera.open, lambda: free.wait(WAIT_S) and camera.open()])

        def open_capture() -> Any:
            return next(attempts, camera.open)()

        with Live("fake", open_capture, HASTY) as source:
            next(source)
            camera.picture = grey(2)
            camera.plug()
            wait_for_level(source, 2)
            free.set()  # the late capture is released again, unread: the fixture counts its handle


def baseline_threads() -> int:
    return sum(t.name != "reader of fake" for t in threading.enumerate()) - 1


class TestClose:
    def test_wakes_who_waits_in_another_thread(self) -> None:
        script = FakeScript(grey(1))
        source = Live("fake", lambda: script)
        frames: list[Frame] = []
        consumer = threading.Thread(target=lambda: frames.extend(source))
        consumer.start()
        wait_until(lambda: len(frames) == 1)
        threading.Timer(0.05, script.tell, [False]).start()
        source.close()
        consumer.join(WAIT_S)
        assert not consumer.is_alive() and len(frames) == 1

    def test_does_not_wait_for_the_next_attempt(self, camera: FakeCamera) -> None:
        source = Live("fake", camera.open, ReconnectPolicy(retry_s=600))
        next(source)
        camera.unplug()
        consumer = threading.Thread(target=lambda: list(source))
        consumer.start()
        wait_until(lambda: source.lost)
        source.close()
        consumer.join(WAIT_S)
        assert not consumer.is_alive()

    def test_twice_and_reading_afterwards(self, camera: FakeCamera) -> None:
        source = Live("fake", camera.open)
        next(source)
        source.close()
        source.close()
        assert next(source, None) is None and source.poll() is None

    def test_forgotten_is_closed_when_it_is_collected(self, camera: FakeCamera) -> None:
        source = Live("fake", camera.open)
        next(source)
        del source
        gc.collect()  # nothing_left sees to the rest


class TestWindow:
    """What tracker.run makes of a live source that is shown."""

    class FakeWindow:
        """Its user closes it after so many looks at nothing new."""

        def __init__(self, looks: int) -> None:
            self.looks = looks

        @property
        def closed(self) -> bool:
            return self.looks == 0

        def look(self, wait_ms: int) -> None:
            time.sleep(wait_ms / 1e3)
            self.looks -= 1

    def test_is_looked_after_while_its_camera_is_lost(self) -> None:
        script = FakeScript(grey(1))
        window: Any = self.FakeWindow(looks=20)
        with Live("fake", lambda: script, ReconnectPolicy(stall_s=WAIT_S)) as source:
            levels = [level_of(frame) for frame in shown_frames(source, window)]
        assert levels == [1]
        assert window.closed
        script.tell(False)  # the end of the camera, and of its thread

    def test_without_one_the_source_waits_as_ever(self) -> None:
        script = FakeScript(grey(1))
        with Live("fake", lambda: script) as source:
            frames = shown_frames(source, None)
            assert level_of(next(frames)) == 1
            source.close()
            assert list(frames) == []
        script.tell(False)


class TestPoll:
    def test_never_waits(self) -> None:
        script = FakeScript(grey(1))
        with Live("fake", lambda: script) as source:
            wait_until(lambda: (frame := source.poll()) is not None and level_of(frame) == 1)
            assert source.poll() is None
            script.tell(grey(2))
            frame = source.poll()
            assert frame is not None and (level_of(frame), frame.index) == (2, 1)
            script.tell(False)

    def test_several_sources_in_one_loop(self) -> None:
        """One of three is unplugged for a while: the others are not held up by it."""
        cameras = [FakeCamera() for _ in range(3)]
        for level, camera in enumerate(cameras):
            camera.picture = grey(level)
        sources = [Live(f"fake {i}", camera.open, QUICK) for i, camera in enumerate(cameras)]
        counts = [0, 0, 0]

        def look() -> None:
            for i, source in enumerate(sources):
                if (frame := source.poll()) is not None:
                    assert level_of(frame) == i
                    counts[i] += 1

        def look_until(true: Callable[[], bool]) -> None:
            wait_until(lambda: look() or true())

        look_until(lambda: min(counts) > 10)
        cameras[1].unplug()
        look_until(lambda: sources[1].lost)
        before = list(counts)
        look_until(lambda: min(counts[0] - before[0], counts[2] - before[2]) > 20)
        assert counts[1] == before[1]
        cameras[1].plug()
        look_until(lambda: counts[1] > before[1] + 10)
        assert [source.losses.gaps for source in sources] == [0, 1, 0]
        for source in sources:
            source.close()


@pytest.mark.parametrize("hangs", [False, True], ids=["the read ends", "the read hangs"])
def test_plugged_and_unplugged_100_times(camera: FakeCamera, hangs: bool) -> None:
    """The loop goes on; at the end there are as many threads and file handles as before (see nothing_left)."""
    camera.hangs = hangs
    reconnect = (
        ReconnectPolicy(stall_s=0.03, retry_s=0.001, longest_retry_s=0.002, give_up_s=WAIT_S) if hangs else QUICK
    )
    with Live("fake", camera.open, reconnect) as source:
        most = 0
        for cycle in range(1, 101):
            camera.picture = grey(cycle)
            frame = wait_for_level(source, cycle)
            camera.unplug()
            camera.refusals = cycle % 3
            camera.plug()
            if hangs:
                threading.Timer(0.04, camera.let_go).start()
            most = max(most, threading.active_count())
        camera.let_go()
        assert source.losses.gaps >= 99
        assert frame.index >= 99
        assert most - baseline_threads() <= 2 + MAX_STUCK_READERS + 2  # timers


def test_a_tracker_forgets_everything_over_a_gap(
    frames: list[Frame], make_tracker: Callable[..., Tracker], camera: FakeCamera
) -> None:
    """After a gap longer than a face is held the same picture is a new face, measured as if it were the first."""
    camera.picture = np.ascontiguousarray(frames[10].image_rgb[..., ::-1])
    tracker, afresh = make_tracker(), make_tracker()
    expected = afresh.step(Frame(frames[20].image_rgb, 0.0, 0)).faces[0]
    with Live("fake", camera.open, ReconnectPolicy(retry_s=0.55, give_up_s=WAIT_S)) as source:
        for _ in range(5):
            assert [face.id for face in tracker.step(next(source)).faces] == [1]
        camera.unplug()
        camera.picture = np.ascontiguousarray(frames[20].image_rgb[..., ::-1])
        camera.plug()
        result = next(tracker.step(frame) for frame in source if source.losses.gaps == 1)
    (face,) = result.faces
    assert face.id == 2
    np.testing.assert_array_equal(face.landmarks.points_px, expected.landmarks.points_px)
