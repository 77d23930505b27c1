"""A tracker inside somebody else's program: it ends cleanly, shares nothing, and leaves the process as it found it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tracker import Frame, Tracker, TrackerError
from tracker.detectors.loading import load_detector
from tracker.detectors.yunet import CALIBRATION
from tracker.engines.base import EngineOutput
from tracker.tracking.batch import BatchTracker

ROOT = Path(__file__).parents[2]
Make = Callable[..., Tracker]
CLOSED = r"^this tracker was closed; make another one$"


class FakeDetector:
    """Finds nothing."""

    name = "yunet"
    calibration = CALIBRATION

    def detect(self, image_rgb: NDArray[np.uint8]) -> list[Any]:
        return []


class Counted:
    """The engine of another tracker, as an object that can be seen to go."""

    def __init__(self, tracker: Tracker) -> None:
        self._engine = tracker.engine
        self.spec = self._engine.spec

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        return self._engine.run(crops)


def records(tracker: Tracker, frames: Sequence[Frame]) -> list[dict[str, Any]]:
    return [tracker.step(frame).to_json() for frame in frames]


class TestClose:
    def test_frees_the_models_at_once(self, make_tracker: Make, frames: list[Frame]) -> None:
        """By counting references alone, as memory on a GPU must not wait for the garbage collector."""
        engine, detector = Counted(make_tracker()), FakeDetector()
        alive: list[weakref.ref[Any]] = [weakref.ref(engine), weakref.ref(detector)]
        gc.collect()
        gc.disable()
        try:
            with make_tracker(detector, model=engine) as tracker:
                del engine, detector
                tracker.step(frames[0])
                assert all(each() is not None for each in alive)
            assert [each() for each in alive] == [None, None]
        finally:
            gc.enable()

    def test_ends_the_tracker_with_one_sentence(self, make_tracker: Make, frames: list[Frame], video: Path) -> None:
        tracker = make_tracker()
        tracker.close()
        tracker.close()  # twice does no harm
        with pytest.raises(TrackerError, match=CLOSED):
            tracker.step(frames[0])
        with pytest.raises(TrackerError, match=CLOSED):
            next(tracker.run(video))
        with pytest.raises(TrackerError, match=CLOSED):
            BatchTracker([make_tracker(), tracker])

    def test_leaves_others_of_the_same_engine_alone(self, make_tracker: Make, frames: list[Frame]) -> None:
        first = make_tracker()
        second = make_tracker(model=first.engine)
        expected = records(second, frames[:5])
        first.close()
        second.reset()
        assert records(second, frames[:5]) == expected

    def test_comes_with_an_exception(self, make_tracker: Make, frames: list[Frame]) -> None:
        tracker = make_tracker()
        with pytest.raises(ZeroDivisionError), tracker:
            raise ZeroDivisionError
        with pytest.raises(TrackerError, match=CLOSED):
            tracker.step(frames[1])


class TestThreads:
    @pytest.mark.parametrize("shared_engine", [False, True], ids=["engines of their own", "one engine"])
    def test_several_give_what_each_alone_gives(
        self, shared_engine: bool, shared: Path, make_tracker: Make, frames: list[Frame]
    ) -> None:
        """Real detectors, whose state is what threads could mix up; every thread runs twice, over another part."""
        engine = make_tracker().engine if shared_engine else None
        model = shared / "data/models/yunet_n_320_320.onnx"
        parts = [frames[start : start + 12] for start in (0, 20, 44, 66)]
        alone = [records(Tracker(detector_model=model), part) for part in parts]
        trackers = [Tracker(engine, detector_model=model) for _ in parts]
        together: dict[int, list[list[dict[str, Any]]]] = {}
        ready = threading.Barrier(len(parts))

        def work(n: int) -> None:
            ready.wait()
            together[n] = []
            for _ in range(2):
                trackers[n].reset()
                together[n].append(records(trackers[n], parts[n]))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(len(parts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert together == {n: [expected] * 2 for n, expected in enumerate(alone)}
        assert sum(bool(record["faces"]) for part in alone for record in part) > 30

    def test_two_in_one_tracker_get_a_sentence(self, make_tracker: Make, frames: list[Frame]) -> None:
        inside, go_on = threading.Event(), threading.Event()

        class Slow(FakeDetector):
            def detect(self, image_rgb: NDArray[np.uint8]) -> list[Any]:
                inside.set()
                go_on.wait(20)
                return []

        tracker = make_tracker(Slow())
        thread = threading.Thread(target=tracker.step, args=(frames[0],))
        thread.start()
        assert inside.wait(20)
        for use in (lambda: tracker.step(frames[1]), tracker.reset, tracker.close):
            with pytest.raises(TrackerError, match="in use in another thread; make one tracker for each thread"):
                use()
        go_on.set()
        thread.join()
        assert tracker.step(frames[1]).faces == ()

    def test_leave_opencv_as_talkative_as_it_was(self) -> None:
        logging_of = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4, OpenCV 5
        before = logging_of.getLogLevel()
        for _ in range(20):
            threads = [threading.Thread(target=load_detector) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert logging_of.getLogLevel() == before


@pytest.mark.parametrize("name", ["smoothing", "detector", "provider"])
def test_an_unknown_name_is_refused_with_the_choices(name: str) -> None:
    choices = {"smoothing": "balanced", "detector": "blazeface", "provider": "openvino"}
    options: dict[str, Any] = {name: "none of them"}
    with pytest.raises(TrackerError, match=rf"{name}: expected one of .*{choices[name]}.*, got 'none of them'"):
        Tracker(**options)


PROCESS = """
import gc, json, locale, logging, os, random, signal, sys, threading, warnings
import cv2, numpy, onnxruntime, tqdm, jsonargparse

def state():
    root = logging.getLogger()
    ours = [n for n in logging.root.manager.loggerDict if n.split(".")[0] == "tracker"]
    return dict(
        cv2_threads=cv2.getNumThreads(),
        cv2_optimised=cv2.useOptimized(),
        cv2_log=cv2.utils.logging.getLogLevel() if hasattr(cv2.utils, "logging") else None,
        root=[root.level, len(root.handlers)],
        handlers=sum(len(logging.getLogger(n).handlers) for n in ours),
        levels=sum(logging.getLogger(n).level for n in ours),
        signals=[str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM)],
        random=hash(str(random.getstate()) + str(numpy.random.get_state())),
        warnings=len(warnings.filters),
        numpy=numpy.geterr(),
        environment=dict(os.environ),
        folder=os.getcwd(),
        locale=locale.setlocale(locale.LC_ALL),
        python_threads=threading.active_count(),
        hooks=[str(sys.excepthook), str(threading.excepthook)],
    )

cv2.setNumThreads(3)
before = state()
import tracker
imported = state()
with tracker.Tracker(max_faces=2) as one:
    made = state()
    for n in range(3):
        one.step(tracker.Frame(numpy.zeros((240, 320, 3), numpy.uint8), n / 30, n))
    used = state()
after = state()
wrong = {name: [s[name] for s in (before, imported, made, used, after)] for name in before
         if not before[name] == imported[name] == made[name] == used[name] == after[name]}
print(json.dumps(wrong))
"""


def test_the_process_is_left_as_it_was() -> None:
    """Threads of OpenCV, logging, signals, randomness, warnings, environment: none of it is a library's to change."""
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", PROCESS]
    ours = ("OPENCV_FFMPEG_LOGLEVEL", "ORT_DISABLE_TELEMETRY")  # which this process of tests has set
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("{}\n", "")


def test_types_are_shipped() -> None:
    assert (files("tracker") / "py.typed").is_file()
