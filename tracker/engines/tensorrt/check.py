"""Compares crops made by the GPU with crops made by the CPU, for tracker.doctor; this needs a GPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.engines.base import GpuEngine
from tracker.engines.tensorrt.cuda import Cuda
from tracker.engines.tensorrt.gpu_crop import VIEW, CropKernel, views_of
from tracker.errors import TrackerError
from tracker.face.crop import Roi, warp
from tracker.face.geometry import Array
from tracker.gpu_frame import GpuFrame

GREY_LEVELS = 1 if int(cv2.__version__.split(".")[0]) >= 5 else 9
"""The largest difference, by rounding, between a crop of the GPU and one of warp. OpenCV 4 rounds x and y to 1/32 px,
up to 1/64 px each, which adds up to eight levels at an edge of 255 levels."""

_WIDTH, _HEIGHT, _SIZE = 640, 480, 128
_MOST_PX = 0.001
# enlarged; about the same size; averaged and rotated; shrunk to a third and partly outside
_VIEWS = (
    Roi((320, 240), 50),
    Roi((200.3, 150.8), 140, 0.4),
    Roi((350.5, 260.2), 300, -2),
    Roi((600, 80), 450, math.pi),
)


def compare_gpu_crops(cuda: Cuda, engine: GpuEngine | None = None) -> str:
    """Compare crops of random pixels made by the GPU and by warp, and the landmarks of an engine in both.

    Args:
        cuda: the GPU.
        engine: also compare its landmarks in a frame on the GPU with those in the same crops.

    Returns:
        The differences, as a text.

    Raises:
        TrackerError: the kernel cannot be run, the crops differ by more than GREY_LEVELS, or the landmarks differ.
    """
    image = np.random.default_rng(0).integers(0, 256, (_HEIGHT, _WIDTH, 3), dtype=np.uint8)
    size = engine.spec.size if engine else _SIZE
    views = [roi.crop_from_image(size) for roi in _VIEWS]
    frame = _uploaded(cuda, image)
    crops = _crops(cuda, frame, views, size)
    differences = np.abs(crops.astype(int) - np.stack([warp(image, view, size) for view in views]))
    if differences.max() > GREY_LEVELS:
        raise TrackerError(
            f"the GPU's crops differ from the CPU's by up to {differences.max()} grey levels, {GREY_LEVELS} are "
            "allowed; do not use frames on the GPU"
        )
    if engine:
        _compare_landmarks(engine, frame, views, crops)
    return f"largest difference {differences.max()} of 255, mean {differences.mean():.4f}"


def _uploaded(cuda: Cuda, image: NDArray[np.uint8]) -> GpuFrame:
    with cuda.active():
        buffer = cuda.buffer(image.shape, np.uint8)
        buffer.host[:] = image
        cuda.upload(buffer)
        cuda.synchronise()
    return GpuFrame(buffer.address, _WIDTH, _HEIGHT, 3 * _WIDTH, owner=buffer)


def _crops(cuda: Cuda, frame: GpuFrame, views: Sequence[Array], size: int) -> NDArray[np.uint8]:
    with cuda.active():
        kernel, given = CropKernel(cuda), cuda.buffer((len(views),), VIEW)
        crops = cuda.buffer((len(views), size, size, 3), np.uint8)
        given.host[:] = views_of(frame, views, size)
        cuda.upload(given)
        kernel.queue(given, crops)
        cuda.download(crops)
        cuda.synchronise()
    return crops.host.copy()


def _compare_landmarks(engine: GpuEngine, frame: GpuFrame, views: Sequence[Array], crops: NDArray[np.uint8]) -> None:
    distance = np.abs(engine.run_on(frame, views).points_px - engine.run(crops).points_px).max()
    if not distance <= _MOST_PX:  # nor is NaN
        raise TrackerError(
            f"the engine's landmarks in a frame on the GPU are {distance:.3f} px from those in the same crops of the "
            "host; do not use frames on the GPU"
        )
