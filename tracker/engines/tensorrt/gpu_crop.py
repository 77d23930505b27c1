"""The crop of tracker/face/crop.py for frames that are on the GPU: the kernel crop.cu and its arguments.

crop.fatbin is the compiled kernel; crop.sha256 has the sums of crop.fatbin and of its source (`make kernels` writes
both, `sha256sum -c` checks them). The crops differ from those of warp by one grey level at most, because the means of
blocks are not rounded; by more with OpenCV 4, which samples at 1/32 px (check.GREY_LEVELS).

Not proven so far, because no GPU was available: that the kernel is loaded and run. Its arithmetic is tested: the tests
compile crop.cu for the CPU and compare it with warp.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.engines.tensorrt.cuda import Buffer, Cuda
from tracker.errors import TrackerError
from tracker.face.crop import block_side, image_from_blocks, seen_px
from tracker.face.geometry import Array, compose, invert
from tracker.gpu_frame import GpuFrame

FATBIN = Path(__file__).with_name("crop.fatbin")
NEEDS = "compute capability 7.5 or newer and a driver of CUDA 12.2 or newer"
_TILE = 16  # side of the square of pixels that one block of threads makes

VIEW = np.dtype(
    [
        *((name, np.int64) for name in ("address", "row_bytes", "pixel_bytes", "channel_bytes")),
        *((name, np.int32) for name in ("width", "height", "block_px", "left", "top")),
        ("weight", np.float32),
        ("blocks_from_crop", np.float32, (2, 3)),
    ]
)
"""One view of a frame, with the layout of the struct View in crop.cu. With zeros only, the crop is black."""


def views_of(frame: GpuFrame, crops_from_image: Sequence[Array], size: int) -> NDArray[np.void]:
    """Compute the kernel's arguments for some crops of a frame.

    Args:
        frame: the frame on the GPU.
        crops_from_image: N (2, 3) similarity transforms, see Roi.crop_from_image.
        size: side of the crops in pixels.

    Returns:
        (N,) of VIEW.
    """
    views = np.zeros(len(crops_from_image), VIEW)
    for index, crop_from_image in enumerate(crops_from_image):
        factor = block_side(crop_from_image)
        low, _ = seen_px(crop_from_image, size, factor, (frame.width, frame.height))
        place = (*low, 1 / factor**2, invert(compose(crop_from_image, image_from_blocks(low, factor))))
        layout = (frame.address, frame.row_bytes, frame.pixel_bytes, frame.channel_bytes)
        views[index] = (*layout, frame.width, frame.height, factor, *place)
    return views


class CropKernel:
    """The kernel crop.cu on the GPU. Make and use it while cuda is active.

    Args:
        cuda: the GPU.

    Raises:
        TrackerError: crop.fatbin is missing or damaged, or not accepted by the GPU or its driver.
    """

    def __init__(self, cuda: Cuda) -> None:
        fatbin = _checked_fatbin()
        try:
            self._queue = cuda.load(fatbin, "crop", "PPi")
        except TrackerError as error:
            raise TrackerError(f"{error}; crops on the GPU need {NEEDS}") from None

    def queue(self, views: Buffer, crops: Buffer) -> None:
        """Queue the kernel on the stream.

        Args:
            views: (N,) of VIEW, on the GPU.
            crops: (N, S, S, 3) uint8 on the GPU, which the kernel writes.
        """
        count, size = crops.host.shape[:2]
        tiles = -(-size // _TILE)
        self._queue((tiles, tiles, count), (_TILE, _TILE, 1), views.address, crops.address, size)


def _checked_fatbin() -> bytes:
    try:
        fatbin, sums = FATBIN.read_bytes(), FATBIN.with_suffix(".sha256").read_text().split()
    except OSError as error:
        raise TrackerError(f"{error.filename}: {error.strerror}; install landmark-tracker again") from None
    if hashlib.sha256(fatbin).hexdigest() not in sums:
        raise TrackerError(f"{FATBIN} is damaged, its SHA-256 is wrong; install landmark-tracker again")
    return fatbin
