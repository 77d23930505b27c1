"""The desktop's window, with a real Qt and a real tracker, on Xvfb where that is installed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.slow
pytest.importorskip(
    "PySide6.QtWidgets",
    reason="needs PySide6 and its libraries: pip install 'landmark-tracker[desktop]', apt-get install libegl1",
    exc_type=ImportError,
)
pytest.importorskip("skimage.data", reason="needs scikit-image's astronaut picture")

from PySide6.QtCore import Qt  # noqa: E402
from PySide6.QtGui import QAccessible, QImage  # noqa: E402
from PySide6.QtTest import QTest  # noqa: E402
from PySide6.QtWidgets import QApplication, QFileDialog, QLabel, QWidget  # noqa: E402

from demos import desktop, desktop_run  # noqa: E402
from demos.desktop import Window  # noqa: E402
from demos.desktop_run import DEMO  # noqa: E402
from tests.conftest import ROOT  # noqa: E402
from tests.demos.desktop_parts import FakeCamera, until  # noqa: E402
from tracker import Tracker  # noqa: E402
from tracker.sources import Live, ReconnectPolicy  # noqa: E402
from tracker.sources.demo import DemoClip  # noqa: E402

FAST = "edge68_fast"


@pytest.fixture(scope="session")
def screen() -> Iterator[None]:
    """A display of its own: Xvfb, or Qt's platform without one where there is no Xvfb."""
    with pytest.MonkeyPatch.context() as patch:
        desktop.forget_opencv_qt()
        if shutil.which("Xvfb") is None:
            patch.setenv("QT_QPA_PLATFORM", "offscreen")
            yield
            return
        read, write = os.pipe()
        command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1200x24", "-nolisten", "tcp"]
        server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as answer:
            patch.setenv("DISPLAY", f":{answer.readline().strip()}")
        patch.setenv("QT_QPA_PLATFORM", "xcb")
        yield
        server.terminate()
        server.wait()


@pytest.fixture(scope="session")
def application(screen: None) -> Any:
    return QApplication.instance() or QApplication(["desktop"])


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Ten seconds, so that no test sees its end."""
    path = str(tmp_path_factory.mktemp("clips") / "clip.mp4")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), 10, (320, 240))
    for frame in islice(DemoClip((320, 240)), 100):
        writer.write(cv2.cvtColor(frame.image_rgb, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@pytest.fixture
def open_window(application: Any) -> Iterator[Callable[..., Window]]:
    windows: list[Window] = []

    def start(source: str, model: str = FAST) -> Window:
        windows.append(Window(source, model))
        windows[-1].show()
        return windows[-1]

    yield start
    for window in windows:
        window.close()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[threading.Thread, str, Any]]:
    """Of every step of the tracker: thread, model, result."""
    seen: list[tuple[threading.Thread, str, Any]] = []
    step = Tracker.step

    def spy(tracker: Tracker, frame: Any) -> Any:
        result = step(tracker, frame)
        seen.append((threading.current_thread(), Path(tracker.engine.path).stem, result))  # type: ignore[attr-defined]
        return result

    monkeypatch.setattr(Tracker, "step", spy)
    return seen


def wait(ready: Callable[[], bool]) -> None:
    until(ready, QApplication.processEvents)


def wait_for_frame(window: Window) -> None:
    wait(lambda: window.state == "running" and window.shown is not None)


def pick(monkeypatch: pytest.MonkeyPatch, path: Path | str) -> None:
    """In the place of the user, who picks a file in Qt's dialog."""
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (str(path), ""))


def button_of(window: Window, text: str) -> QWidget:
    (found,) = [each for each in window.findChildren(QWidget) if text in str(each.property("text"))]
    return found


def figures_of(window: Window) -> dict[str, str]:
    return {name: label.text() for name, label in window.figures.labels.items()}


def spoken_name(widget: QWidget) -> str:
    """What a screen reader says of a widget: its label's name; on Linux the name of a box is its choice."""
    interface = QAccessible.queryAccessibleInterface(widget)
    labels = [label for label, kind in interface.relations() if kind == QAccessible.RelationFlag.Label]
    return str((labels or [interface])[0].text(QAccessible.Text.Name))


def pixels_of(image: QImage) -> Any:
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()  # the image goes


def test_a_clip_plays_and_the_window_does_no_work(open_window: Any, clip: str, steps: list[Any]) -> None:
    window = open_window(clip)
    wait_for_frame(window)
    wait(lambda: figures_of(window)["Faces"] == "1")
    figures = figures_of(window)
    assert float(figures["Score"]) > 0.5
    assert figures["Latency"].endswith(" ms")
    assert all(figures[name].endswith("°") for name in ("Pitch", "Yaw", "Roll"))
    assert figures["Dropped"] == "0"
    assert window.message.text() == "Playing clip.mp4"
    assert {thread for thread, *_ in steps} == {window.run}


def test_the_picture_is_drawn_at_the_pixels_of_the_screen(open_window: Any, clip: str) -> None:
    """The grabbed window has the pixels that the tracker's thread has drawn, neither enlarged nor blurred."""
    window = open_window(clip)
    wait_for_frame(window)
    wide, tall = window.view.size_px()
    wait(lambda: window.shown.image_rgb.shape[1] == wide or window.shown.image_rgb.shape[0] == tall)
    ratio = float(os.environ.get("QT_SCALE_FACTOR", "1"))
    assert window.view.devicePixelRatioF() == ratio
    drawn = window.shown.image_rgb
    seen = pixels_of(window.view.grab().toImage())
    assert seen.shape[:2] == (tall, wide)
    y, x = (tall - drawn.shape[0]) // 2, (wide - drawn.shape[1]) // 2
    np.testing.assert_array_equal(seen[y : y + drawn.shape[0], x : x + drawn.shape[1]], drawn)


def test_a_screen_with_more_pixels(screen: None) -> None:
    """The test above in a process whose screen has 1.5 pixels to a point."""
    name = "test_the_picture_is_drawn_at_the_pixels_of_the_screen"
    command = [sys.executable, "-m", "pytest", "-m", "slow", "-p", "no:cacheprovider", f"{__file__}::{name}"]
    environment = {**os.environ, "QT_SCALE_FACTOR": "1.5"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "1 passed" in done.stdout


def test_smoothing_changes_while_it_runs_by_the_keyboard(open_window: Any, clip: str, steps: list[Any]) -> None:
    window = open_window(clip)
    wait_for_frame(window)
    wait(lambda: any(face.landmarks is not face.raw for *_, result in steps[-1:] for face in result.faces))
    QTest.keyClick(window.smoothings, Qt.Key.Key_Home)  # "none", the first
    assert window.smoothings.currentData() == "none"
    wait(lambda: all(face.landmarks is face.raw for *_, result in steps[-2:] for face in result.faces))


def test_the_model_changes_while_it_runs(open_window: Any, clip: str, steps: list[Any]) -> None:
    window = open_window(clip)
    wait_for_frame(window)
    QTest.keyClick(window.models, Qt.Key.Key_Home)
    wait(lambda: steps[-1][1] == "edge68")
    assert window.run.source == clip
    assert len({thread for thread, *_ in steps}) == 1  # the clip goes on


def test_a_file_that_is_no_model_is_refused_and_the_former_one_goes_on(
    open_window: Any, clip: str, steps: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    window = open_window(clip)
    wait_for_frame(window)
    pick(monkeypatch, tmp_path / "broken.onnx")
    QTest.mouseClick(button_of(window, "a model"), Qt.MouseButton.LeftButton)
    wait(lambda: "broken.onnx" in window.message.text())
    assert window.models.currentData() == FAST
    assert "\n" not in window.message.text()
    count = len(steps)
    wait(lambda: len(steps) > count + 1)
    assert steps[-1][1] == FAST
    assert "broken.onnx" in window.message.text()  # until the next choice
    QTest.keyClick(window.models, Qt.Key.Key_Home)
    assert window.message.text() == "Playing clip.mp4"


def test_a_file_that_is_no_video_is_an_error_and_can_be_tried_again(
    open_window: Any, clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    window = open_window(DEMO)
    wait_for_frame(window)
    pick(monkeypatch, tmp_path / "text.mp4")
    QTest.mouseClick(button_of(window, "video"), Qt.MouseButton.LeftButton)
    wait(lambda: window.state == "failed")
    assert "text.mp4" in window.message.text()
    assert window.button.text() == "&Retry"
    shutil.copy(clip, tmp_path / "text.mp4")
    QTest.mouseClick(window.button, Qt.MouseButton.LeftButton)
    wait_for_frame(window)
    assert window.button.text() == "S&top"


def test_a_camera_is_unplugged_and_plugged_in_again(open_window: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    camera, patience = FakeCamera(), ReconnectPolicy(stall_s=0.2, retry_s=0.05, give_up_s=0.4)
    monkeypatch.setattr(desktop_run, "open_source", lambda *_: Live("a fake camera", camera.open, patience))
    window = open_window("0")
    wait_for_frame(window)
    camera.plugged = False
    wait(lambda: window.state == "failed")
    assert "a fake camera was lost" in window.message.text()
    camera.plugged = True
    QTest.mouseClick(window.button, Qt.MouseButton.LeftButton)
    wait_for_frame(window)
    assert camera.most_open == 1


def test_a_picture_is_shown_and_another_model_measures_it_again(
    open_window: Any, tmp_path: Path, steps: list[Any]
) -> None:
    cv2.imwrite(str(tmp_path / "face.png"), DemoClip().picture(0)[..., ::-1])
    window = open_window(str(tmp_path / "face.png"))
    wait(lambda: window.state == "ended")
    assert window.shown.faces == 1
    assert window.button.text() == "Start a&gain"
    QTest.keyClick(window.models, Qt.Key.Key_Home)
    wait(lambda: window.state == "ended")
    assert [model for _, model, _ in steps] == [FAST, "edge68"]


def test_stop_and_start_again(open_window: Any, clip: str) -> None:
    window = open_window(clip)
    wait_for_frame(window)
    QTest.keyClick(window.button, Qt.Key.Key_Space)
    run = window.run
    wait(lambda: not run.is_alive())
    assert window.state == "ended"
    QTest.keyClick(window.button, Qt.Key.Key_Space)
    wait_for_frame(window)
    assert window.run is not run


def test_closing_in_the_middle_ends_the_thread_within_a_second(open_window: Any, clip: str) -> None:
    window = open_window(clip)
    wait_for_frame(window)
    started_s = time.monotonic()
    window.close()
    assert time.monotonic() - started_s < 1
    assert not window.run.is_alive()


def test_all_that_takes_keys_has_a_name_and_its_turn(open_window: Any) -> None:
    window = open_window(DEMO)
    wanted = [w for w in window.findChildren(QWidget) if w.focusPolicy() & Qt.FocusPolicy.TabFocus and w.isVisible()]
    assert len(wanted) == 6
    assert window.focusWidget() is window.sources
    turn, widget = [window.sources], window.sources.nextInFocusChain()
    while widget is not window.sources:
        turn += [widget] if widget in wanted else []
        widget = widget.nextInFocusChain()
    assert turn == [
        window.sources, button_of(window, "video"), window.smoothings, window.models, button_of(window, "a model"),
        window.button,
    ]  # fmt: skip
    names = ["Source", "Open a video or picture…", "Smoothing", "Model", "Open a model…", "Stop"]
    assert [spoken_name(each) for each in turn] == names
    assert [each.accessibleName() for each in window.figures.labels.values()][3] == "Faces: –"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="from Python 3.12 on None cannot be freed")
def test_this_qt_keeps_the_count_of_none(application: Any) -> None:
    """PySide6 6.12.0 gives None away without counting it, until Python ends the process after some minutes."""
    label = QLabel()
    before = sys.getrefcount(None)
    for _ in range(1000):
        label.setText("")
    assert sys.getrefcount(None) > before - 500


def run_program(*options: str, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "demos.desktop", *options]
    environment = {**os.environ, **variables}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
def test_without_a_display_it_says_so() -> None:
    program = run_program(DISPLAY="", WAYLAND_DISPLAY="", QT_QPA_PLATFORM="")
    _, told = program.communicate(timeout=120)
    assert program.returncode == 2
    assert told.startswith("desktop: there is no display")
    assert len(told.splitlines()) == 1


def test_a_connection_that_hangs_does_not_keep_the_program(screen: None) -> None:
    """A server that accepts and never answers, which FFmpeg waits 10 s for. Ctrl-C closes the window."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = run_program("--source", f"http://127.0.0.1:{server.getsockname()[1]}/clip.mp4")
        server.settimeout(120)
        connection, _ = server.accept()
        time.sleep(2)  # until the window is there
        program.send_signal(signal.SIGINT)
        started_s = time.monotonic()
        _, told = program.communicate(timeout=30)
        connection.close()
    assert time.monotonic() - started_s < 3
    assert program.returncode == 0, told
    assert "Traceback" not in told
