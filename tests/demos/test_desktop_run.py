"""The thread behind the desktop window, with a real tracker and without Qt: needs neither PySide6 nor a display."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demos import desktop_run
from demos.desktop_run import DEMO, News, Run, fit
from tests.conftest import ROOT
from tests.demos.desktop_parts import FakeCamera, until
from tracker import Tracker
from tracker.sources import Live, ReconnectPolicy
from tracker.sources.demo import DemoClip

pytest.importorskip("skimage.data", reason="needs scikit-image's astronaut picture")


@pytest.fixture
def start() -> Any:
    """Starts a run, start(source, **options); at the end it must stop at once."""
    runs = []

    def begin(source: str, model: str = "edge68_fast", notify: Callable[[], None] = lambda: None) -> Run:
        runs.append(Run(source, model, "balanced", notify))
        runs[-1].start()
        return runs[-1]

    yield begin
    for run in runs:
        run.stop()
        run.join(5)
        assert not run.is_alive()


def wait_for(run: Run, wanted: Callable[[News], bool]) -> News:
    """The first news that is wanted."""
    found: list[News] = []

    def look() -> bool:
        found.append(run.fetch())
        return wanted(found[-1])

    until(look)
    return found[-1]


def test_a_frame_has_the_figures_of_the_tracker(start: Any) -> None:
    shown = wait_for(start(DEMO), lambda news: news.shown is not None).shown
    (face,) = Tracker("edge68_fast", max_faces=4).step(next(DemoClip())).faces
    assert shown is not None
    assert shown.faces == 1
    assert shown.score == pytest.approx(face.score)
    assert shown.pose_deg is not None
    assert shown.pose_deg[2] == pytest.approx(4, abs=4)  # the clip begins with its head tilted by 4 degrees
    assert (shown.dropped, shown.not_shown) == (0, 0)
    assert shown.step_s > 0


def test_the_newest_frame_wins_and_is_announced_once(start: Any) -> None:
    """A window that looks at nothing for a while gets one announcement and one frame, the last."""
    told: list[float] = []
    run = start(DEMO, notify=lambda: told.append(time.monotonic()))
    until(lambda: run.tracked > 8)
    assert len(told) == 1
    shown = run.fetch().shown
    assert shown is not None
    assert 8 <= shown.not_shown + 1 <= run.tracked
    until(lambda: len(told) == 2)


def test_a_stopped_run_says_nothing_more(start: Any) -> None:
    told: list[float] = []
    run = start(DEMO, notify=lambda: told.append(time.monotonic()))
    wait_for(run, lambda news: news.shown is not None)
    started = time.monotonic()
    run.stop()
    run.join(5)
    assert time.monotonic() - started < 1
    count = len(told)
    run.fetch()
    time.sleep(0.1)
    assert len(told) == count


@pytest.mark.parametrize(
    ("source", "model", "word"),
    [("nowhere.mp4", "edge68", "nowhere.mp4"), (DEMO, "nowhere.onnx", "nowhere.onnx"), ("77", "edge68", "camera 77")],
)
def test_an_error_is_one_sentence(start: Any, source: str, model: str, word: str) -> None:
    news = wait_for(start(source, model), lambda news: news.state == "failed")
    assert word in news.message
    assert "\n" not in news.message


def test_a_defect_is_told_too(start: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Tracker, "step", fail)
    assert "ZeroDivisionError" in wait_for(start(DEMO), lambda news: news.state == "failed").message
    assert "ended unexpectedly" in caplog.text


def test_a_lost_camera_is_waited_for_and_then_given_up(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = FakeCamera()
    patience = ReconnectPolicy(stall_s=0.2, retry_s=0.01, longest_retry_s=0.01, give_up_s=2)
    monkeypatch.setattr(desktop_run, "open_source", lambda *_: Live("a fake camera", camera.open, patience))
    run = start("0")
    wait_for(run, lambda news: news.state == "running" and news.shown is not None)
    camera.plugged = False
    assert "a fake camera gives no pictures" in wait_for(run, lambda news: news.state == "lost").message
    camera.plugged = True
    wait_for(run, lambda news: news.state == "running" and news.shown is not None)
    camera.plugged = False
    assert "a fake camera was lost" in wait_for(run, lambda news: news.state == "failed").message


def test_a_run_waits_for_the_one_before_to_free_its_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = FakeCamera()
    monkeypatch.setattr(desktop_run, "open_source", lambda *_: Live("a fake camera", camera.open))
    first = Run("0", "edge68_fast", "balanced", lambda: None)
    first.start()
    wait_for(first, lambda news: news.shown is not None)
    first.stop()
    second = Run("0", "edge68_fast", "balanced", lambda: None, after=first)
    second.start()
    wait_for(second, lambda news: news.shown is not None)
    second.stop()
    second.join(5)
    assert camera.most_open == 1
    assert threading.active_count() < 10


def test_a_file_plays_at_its_own_speed(start: Any, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for frame in islice(DemoClip((160, 120)), 2):
        cv2.imwrite(str(pictures / f"{frame.index}.png"), frame.image_rgb)
    started = time.monotonic()
    run = start(str(pictures))
    wait_for(run, lambda news: news.state == "ended")
    assert run.tracked == 2
    assert time.monotonic() - started >= 1  # pictures of a folder are a second apart


@settings(max_examples=50)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 500), st.integers(0, 500))
def test_a_picture_is_fitted_into_the_window(width: int, height: int, wide: int, tall: int) -> None:
    image = np.broadcast_to(np.zeros(3, np.uint8), (height, width, 3))
    fitted, (x, y) = fit(image, (wide, tall))
    assert fitted.shape[:2] == (round(y * height), round(x * width))
    if fitted.shape != image.shape:
        assert fitted.shape[1] <= max(wide, 1)
        assert fitted.shape[0] <= max(tall, 1)
        assert abs(width * y - width * x) <= 1 + width / height  # the shape is kept, to half a pixel


def test_without_pyside6_it_says_what_to_install() -> None:
    code = "import runpy, sys; sys.modules['PySide6'] = None; runpy.run_module('demos.desktop', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("desktop: needs PySide6, which is not installed")
    assert "landmark-tracker[desktop]" in done.stderr
    assert len(done.stderr.splitlines()) == 1
