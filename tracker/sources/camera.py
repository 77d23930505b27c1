"""Cameras as live sources: by number, device path, a Jetson's CSI connector, or a GStreamer pipeline."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path

import cv2

from tracker.errors import TrackerError
from tracker.redaction import redact_source
from tracker.sources.capture import Capture, open_capture
from tracker.sources.devices import DEV, device_number, stable_path
from tracker.sources.live import Live, ReconnectPolicy

log = logging.getLogger(__name__)

MOST_CAMERAS = 99
CSI_SIZE, CSI_FPS = (1280, 720), 30.0
_ADVICE = "check that it is connected and not used by another program, or try another number"


class Camera(Live):
    """A camera as a live source: each read gives the newest frame, see Live.

    A camera that was lost is searched by its stable name, so it is found even if its number has changed.

    Args:
        camera: a number from 0; a device such as /dev/video2, or /dev/v4l/by-id/..., which stays with one camera;
            csi://0, a Jetson's first CSI camera; or a GStreamer pipeline that ends in an appsink giving BGR.
        size: (width, height) in pixels to request; a warning says what the camera gives instead.
        fps: frames per second to request, likewise.
        reconnect: how long a lost camera is waited for.

    Raises:
        TrackerError: as Live; also if there is no such camera, or it needs GStreamer and OpenCV was built without it.
    """

    def __init__(
        self,
        camera: int | str,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        reconnect: ReconnectPolicy | None = None,
    ) -> None:
        if isinstance(camera, str) and camera.isdecimal():
            camera = int(camera)
        super().__init__(_name(camera), _opener(camera, size, fps), reconnect)


def _name(camera: int | str) -> str:
    return f"camera {camera}" if isinstance(camera, int) else redact_source(camera)


def _opener(camera: int | str, size: tuple[int, int] | None, fps: float | None) -> Callable[[], Capture]:
    """Return a function that opens the camera, the first time and after each loss."""
    name = _name(camera)
    if isinstance(camera, str) and (csi := re.fullmatch(r"csi://(\d+)", camera)):
        return lambda: _open_pipeline(csi_pipeline(int(csi[1]), size or CSI_SIZE, fps or CSI_FPS), name)
    if isinstance(camera, str) and "!" in camera:
        return lambda: _open_pipeline(camera, name)
    if isinstance(camera, int):
        if not 0 <= camera <= MOST_CAMERAS:  # OpenCV misinterprets other numbers, or crashes
            raise TrackerError(f"camera {camera} does not exist: cameras are numbered from 0 to {MOST_CAMERAS}")
        device = Path(stable_path(DEV / f"video{camera}"))
    elif camera.startswith(f"{DEV}/"):
        device = Path(camera if "v4l" in Path(camera).parts else stable_path(Path(camera)))
    else:
        raise TrackerError(
            f"camera {name} does not exist: expected a number, a device such as /dev/video0, csi://0 or a "
            "GStreamer pipeline; python -m tracker.doctor lists the cameras"
        )
    return lambda: _open_device(device, name, size, fps)


def _open_device(device: Path, name: str, size: tuple[int, int] | None, fps: float | None) -> Capture:
    number = device_number(device)
    if number is None:
        raise TrackerError(f"{name} could not be opened: {_ADVICE}")
    known = sys.platform == "linux" and cv2.CAP_V4L2 in cv2.videoio_registry.getCameraBackends()
    capture = open_capture(number, f"{name} could not be opened: {_ADVICE}", cv2.CAP_V4L2 if known else cv2.CAP_ANY)
    if size or fps:
        _ask_for(capture, name, size, fps)
    return capture


def _ask_for(capture: cv2.VideoCapture, name: str, size: tuple[int, int] | None, fps: float | None) -> None:
    """Request a size and a rate; warn where the camera gives another."""
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))  # USB is too slow for large raw pictures
    keys = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)
    asked = {key: value for key, value in zip(keys, (*(size or (None, None)), fps)) if value is not None}
    for key, value in asked.items():
        capture.set(key, value)
    if any(round(capture.get(key)) != round(value) for key, value in asked.items()):
        width, height, rate = (capture.get(key) for key in keys)
        log.warning("%s gives %dx%d at %g frames a second, not the requested format", name, width, height, rate)


def _open_pipeline(pipeline: str, name: str) -> Capture:
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise TrackerError(
            f"{name} needs an OpenCV that was built with GStreamer, and this one was not; on a Jetson, remove the "
            "OpenCV that pip installed (pip uninstall opencv-python), so that the system's own is used"
        )
    advice = "check that the camera is connected, and try the pipeline with gst-launch-1.0"
    return open_capture(pipeline, f"{name} could not be opened by GStreamer: {advice}", cv2.CAP_GSTREAMER)


def csi_pipeline(sensor: int, size: tuple[int, int], fps: float) -> str:
    """Return the GStreamer pipeline of a Jetson's CSI camera, which gives the newest picture in BGR.

    Args:
        sensor: the camera's number, from 0.
        size: (width, height) in pixels.
        fps: frames per second; rounded.
    """
    width, height = size
    return (
        f"nvarguscamerasrc sensor-id={sensor} "
        f"! video/x-raw(memory:NVMM),width={width},height={height},framerate={round(fps)}/1 "
        "! nvvidconv ! video/x-raw,format=BGRx ! videoconvert ! video/x-raw,format=BGR "
        "! appsink drop=true max-buffers=1 sync=false"
    )
