"""A picture in GPU memory, as a hardware decoder gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tracker.errors import TrackerError

LARGEST_SIDE = 1 << 20


@dataclass(frozen=True, eq=False)
class GpuFrame:
    """An RGB picture in the first GPU's memory, uint8, read in place and never copied.

    NV12, the default of most decoders, is not supported: ask for RGB (PyNvVideoCodec's OutputColorType.RGB, DALI,
    torchcodec; on a Jetson nvvidconv to RGBA, because NV12 has a block-linear layout there).

    Args:
        address: of the first pixel's red value.
        width: in pixels.
        height: in pixels.
        row_bytes: the pitch, from one row to the next.
        pixel_bytes: from one pixel to the next: 3, or 4 with a byte of alpha or padding.
        channel_bytes: from red to green, and from green to blue: 1, -1 for BGR (whose red is at address + 2), or the
            size of a plane.
        stream: the CUDA stream that produces the picture, waited for before it is read; None if it is ready.
        owner: an object that keeps the memory alive.

    Raises:
        TrackerError: for a picture without pixels or an address, or with invalid sizes.
    """

    address: int
    width: int
    height: int
    row_bytes: int
    pixel_bytes: int = 3
    channel_bytes: int = 1
    stream: int | None = None
    owner: object = None

    def __post_init__(self) -> None:
        if self.address <= 0 or self.width < 1 or self.height < 1:
            raise TrackerError(
                f"a frame on the GPU needs an address and pixels, got {self.width} x {self.height} at {self.address}"
            )
        steps = (self.row_bytes, self.pixel_bytes, self.channel_bytes)
        if max(self.width, self.height) > LARGEST_SIDE or max(map(abs, steps)) >> 40 or self.address >> 63:
            raise TrackerError(
                f"a frame on the GPU may have {LARGEST_SIDE} pixels a side and steps of a terabyte at most, got "
                f"{self.width} x {self.height}, {steps} at {self.address}"
            )

    @classmethod
    def of(cls, array: Any) -> GpuFrame:
        """Wrap an array of CuPy, PyTorch, Numba, PyNvVideoCodec or jetson-utils without a copy.

        Args:
            array: an object with __cuda_array_interface__, (H, W, 3) RGB or (H, W, 4) RGBA, uint8, on the first GPU,
                with any strides: views such as `planes.permute(1, 2, 0)` or `bgr[..., ::-1]` are allowed. PyTorch
                states no stream: synchronise before.

        Raises:
            TrackerError: for anything else.
        """
        interface = getattr(array, "__cuda_array_interface__", None)
        if interface is None:
            raise TrackerError(
                "a frame on the GPU must have __cuda_array_interface__, as arrays of CuPy and PyTorch have there, "
                f"got {type(array).__name__}"
            )
        shape, kind = tuple(interface["shape"]), interface["typestr"]
        if len(shape) != 3 or shape[2] not in (3, 4) or kind[1:] != "u1":
            raise TrackerError(
                f"a frame on the GPU must be RGB or RGBA of shape (height, width, 3 or 4) and type uint8, got {shape} "
                f"of {kind}: ask the decoder for RGB"
            )
        height, width, channels = shape
        row, pixel, channel = interface.get("strides") or (width * channels, channels, 1)
        return cls(interface["data"][0] or 0, width, height, row, pixel, channel, interface.get("stream"), array)
