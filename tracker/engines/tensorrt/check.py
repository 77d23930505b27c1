"""Whether the GPU makes the crops that the CPU makes, for the doctor: what no test can show without a GPU."""

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
"""How far a crop by the GPU may be from warp's: rounding. OpenCV 4 goes to the nearest 1/32 px in x and in y, so that
each is up to 1/64 px off, and across an edge of 255 levels both together make eight."""

_WIDTH, _HEIGHT, _SIZE = 640, 480, 128
_MOST_PX = 0.001
# enlarged; about as it is; averaged and turned; shrunk to a third and reaching outside
_VIEWS = (
    Roi((320, 240), 50),
    Roi((200.3, 150.8), 140, 0.4),
    Roi((350.5, 260.2), 300, -2),
    Roi((600, 80), 450, math.pi),
)


def compare_gpu_crops(cuda: Cuda, engine: GpuEngine | None = None) -> str:
    """Crops of random pixels, by the GPU and by warp, in words; and those that the engine makes for itself.

    Raises TrackerError where the kernel cannot be run, where the crops differ by more than GREY_LEVELS, or where the
    engine does not find in its own crops what it finds in these.
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
            "allowed; do not give frames on the GPU"
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
            "host; do not give frames on the GPU"
        )
