"""Cameras by number, path and pipeline; found again under another number; listed. All hardware is a fake here."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tracker.errors import TrackerError
from tracker.sources import Camera, ReconnectPolicy, camera_lines, open_source
from tracker.sources.camera import csi_pipeline
from tracker.sources.devices import cameras

QUICK = ReconnectPolicy(retry_s=0.001, longest_retry_s=0.01, give_up_s=10.0)


@dataclass(eq=False)
class FakeCamera:
    level: int


class FakeMachine:
    """A machine's cameras: /dev and /sys in a folder, and cv2.VideoCapture over what is plugged in.

    A camera gives pictures of its own level. opened: all that cv2.VideoCapture was called with.
    """

    def __init__(self, folder: Path) -> None:
        self.dev, self.sys = folder / "dev", folder / "sys"
        self.dev.mkdir()
        self.sys.mkdir()
        self.plugged: dict[int, FakeCamera] = {}
        self.opened: list[tuple[Any, ...]] = []
        self.answers: dict[int, float] = {}  # what the camera insists on
        self.set: dict[int, float] = {}

    def plug(self, number: int, level: int, name: str, link: str = "v4l/by-id/usb-{}-video-index0") -> None:
        """As Linux does it: two nodes, the second for metadata, and links made by udev."""
        self.plugged[number] = FakeCamera(level)
        for index in range(2):
            node = self.sys / f"video{number + index}"
            node.mkdir()
            (node / "name").write_text(f"{name}\n")
            (node / "index").write_text(f"{index}\n")
            (self.dev / node.name).touch()
        if link:
            path = self.dev / link.format(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(self.dev / f"video{number}")

    def unplug(self, number: int) -> None:
        del self.plugged[number]
        for link in self.dev.glob("v4l/*/*"):
            link.unlink()
        for index in range(2):
            for file in (self.sys / f"video{number + index}").iterdir():
                file.unlink()
            (self.sys / f"video{number + index}").rmdir()
            (self.dev / f"video{number + index}").unlink()

    def video_capture(self, *target: Any) -> FakeCapture:
        self.opened.append(target)
        return FakeCapture(self, target[0])


class FakeCapture:
    """cv2.VideoCapture of such a camera, or of any pipeline."""

    def __init__(self, machine: FakeMachine, target: int | str) -> None:
        self._machine = machine
        self._camera = FakeCamera(9) if isinstance(target, str) else machine.plugged.get(target)

    def isOpened(self) -> bool:  # noqa: N802
        return self._camera is not None

    def grab(self) -> bool:
        time.sleep(0.001)
        return self._camera is not None and (self._camera.level == 9 or self._camera in self._machine.plugged.values())

    def retrieve(self) -> tuple[bool, Any]:
        return True, np.full((4, 6, 3), self._camera.level if self._camera else 0, np.uint8)

    def get(self, propId: int) -> float:  # noqa: N803
        return self._machine.answers.get(propId, self._machine.set.get(propId, 30.0))

    def set(self, propId: int, value: float) -> bool:  # noqa: N803
        self._machine.set[propId] = value
        return propId not in self._machine.answers

    def release(self) -> None: ...


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    machine = FakeMachine(tmp_path)
    monkeypatch.setattr("tracker.sources.devices.DEV", machine.dev)
    monkeypatch.setattr("tracker.sources.camera.DEV", machine.dev)
    monkeypatch.setattr("tracker.sources.devices.VIDEO4LINUX", machine.sys)
    monkeypatch.setattr(cv2, "VideoCapture", machine.video_capture)
    return machine


def level_of(source: Iterator[Any]) -> int:
    return int(next(source).image_rgb[0, 0, 0])


class TestByName:
    def test_number(self, machine: FakeMachine) -> None:
        machine.plug(0, 50, "C920")
        for camera in (0, "0"):
            with Camera(camera) as source:
                assert (source.name, level_of(source), source.live) == ("camera 0", 50, True)
        with open_source(0) as source:
            assert isinstance(source, Camera)

    def test_path(self, machine: FakeMachine) -> None:
        machine.plug(2, 60, "C920")
        for path in ("video2", "v4l/by-id/usb-C920-video-index0"):
            with Camera(str(machine.dev / path)) as source:
                assert level_of(source) == 60
            assert machine.opened[-1][0] == 2

    @pytest.mark.parametrize(
        ("camera", "sentence"),
        [
            (-1, "camera -1 does not exist: cameras are numbered from 0 to 99"),
            ("1000", "camera 1000 does not exist"),
            ("front", "camera front does not exist: expected a number, a device such as /dev/video0, csi://0"),
            (7, "camera 7 could not be opened: check that it is connected"),
        ],
    )
    def test_what_is_none(self, camera: int | str, sentence: str, machine: FakeMachine) -> None:
        with pytest.raises(TrackerError) as caught:
            Camera(camera)
        assert str(caught.value).startswith(sentence)

    def test_a_path_that_is_not_there(self, machine: FakeMachine) -> None:
        with pytest.raises(TrackerError, match="usb-gone could not be opened: check that it is connected"):
            Camera(str(machine.dev / "v4l/by-id/usb-gone"))
        assert machine.opened == []

    def test_missing_is_one_quiet_sentence(self, capfd: pytest.CaptureFixture[str]) -> None:
        """With the real OpenCV."""
        with pytest.raises(TrackerError, match=r"camera 87 could not be opened: .* try another"):
            Camera(87)
        assert capfd.readouterr().err == ""


class TestGStreamer:
    @pytest.fixture
    def pipelines(self, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Any]]:
        monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda backend: backend == cv2.CAP_GSTREAMER)
        return lambda: machine.opened

    def test_csi(self, pipelines: Callable[[], list[Any]]) -> None:
        with Camera("csi://1") as source:
            assert (source.name, level_of(source)) == ("csi://1", 9)
        with open_source("csi://0") as source:
            assert isinstance(source, Camera)
        with Camera("csi://0", (1920, 1080), 60):
            pass
        first, second, third = pipelines()
        assert first == (csi_pipeline(1, (1280, 720), 30), cv2.CAP_GSTREAMER)
        assert second == (csi_pipeline(0, (1280, 720), 30), cv2.CAP_GSTREAMER)
        assert "sensor-id=0 ! video/x-raw(memory:NVMM),width=1920,height=1080,framerate=60/1 !" in third[0]

    def test_pipeline_as_it_is(self, pipelines: Callable[[], list[Any]]) -> None:
        text = "videotestsrc ! videoconvert ! video/x-raw,format=BGR ! appsink"
        for source in (Camera(text), open_source(text)):
            with source:
                assert level_of(source) == 9
        assert pipelines() == [(text, cv2.CAP_GSTREAMER)] * 2

    def test_without_it_is_one_sentence(self, machine: FakeMachine) -> None:
        if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
            pytest.skip("this OpenCV has GStreamer")
        with pytest.raises(TrackerError, match=r"^rtspsrc ! appsink needs an OpenCV that was built with GStreamer"):
            Camera('rtspsrc location=rtsp://h/s user-id=anna user-pw="se ! cret" ! appsink')
        with pytest.raises(TrackerError, match=r"csi://0 needs an OpenCV .* remove the OpenCV that pip installed"):
            Camera("csi://0")
        assert machine.opened == []


class TestWhatIsAskedFor:
    def test_is_set(self, machine: FakeMachine, caplog: pytest.LogCaptureFixture) -> None:
        machine.plug(0, 50, "C920")
        with Camera(0, (1280, 720), 60):
            pass
        assert machine.set == {
            cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG"),
            cv2.CAP_PROP_FRAME_WIDTH: 1280,
            cv2.CAP_PROP_FRAME_HEIGHT: 720,
            cv2.CAP_PROP_FPS: 60,
        }
        assert not caplog.records

    def test_something_else_is_said(self, machine: FakeMachine, caplog: pytest.LogCaptureFixture) -> None:
        machine.plug(0, 50, "C920")
        machine.answers = {cv2.CAP_PROP_FRAME_WIDTH: 640, cv2.CAP_PROP_FRAME_HEIGHT: 480}
        with Camera(0, (1280, 720)):
            pass
        assert caplog.messages == ["camera 0 gives 640x480 at 30 frames a second, not the requested format"]

    def test_nothing_is_left_alone(self, machine: FakeMachine) -> None:
        machine.plug(0, 50, "C920")
        with Camera(0):
            pass
        assert machine.set == {}


class TestFoundAgain:
    @pytest.mark.parametrize("by", ["number", "video0", "v4l/by-id/usb-C920-video-index0"])
    def test_under_another_number(self, machine: FakeMachine, by: str) -> None:
        """And not taken for the other camera that has its number now."""
        machine.plug(0, 50, "C920")
        with Camera(0 if by == "number" else str(machine.dev / by), (640, 480), reconnect=QUICK) as source:
            assert level_of(source) == 50
            machine.unplug(0)
            machine.plug(0, 99, "Brio")
            machine.plug(4, 51, "C920")
            machine.set.clear()
            assert level_of(frame for frame in source if frame.image_rgb[0, 0, 0] != 50) == 51
            assert machine.set[cv2.CAP_PROP_FRAME_WIDTH] == 640  # asked for anew
            assert source.losses.gaps == 1

    def test_by_its_socket_where_it_has_no_name_of_its_own(self, machine: FakeMachine) -> None:
        link = "v4l/by-path/pci-usb-0:2-video-index0"
        machine.plug(0, 50, "clone", link)
        with Camera(0, reconnect=QUICK) as source:
            next(source)
            machine.unplug(0)
            machine.plug(2, 51, "clone", link)
            assert level_of(frame for frame in source if frame.image_rgb[0, 0, 0] != 50) == 51


class TestList:
    def test_names_each_camera_once(self, machine: FakeMachine) -> None:
        machine.plug(10, 50, "Brio", link="")
        machine.plug(2, 50, "C920")
        (machine.sys / "v4l-subdev0").mkdir()
        link = machine.dev / "v4l/by-id/usb-C920-video-index0"
        assert [(c.number, c.path, c.name) for c in cameras()] == [
            (2, str(link), "C920"),
            (10, str(machine.dev / "video10"), "Brio"),
        ]
        assert camera_lines() == [f"camera 2: C920, {link}", f"camera 10: Brio, {machine.dev / 'video10'}"]

    def test_none(self, machine: FakeMachine) -> None:
        assert camera_lines() == [f"cameras: none found in {machine.sys}"]

    def test_here(self) -> None:
        """Whatever this machine has."""
        assert all(re.fullmatch(r"camera \d+: .+, /dev/.+|cameras: none found in .+", line) for line in camera_lines())
