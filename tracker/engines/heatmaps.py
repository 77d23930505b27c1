"""Decodes heatmaps in NumPy, for models that end before their decoding: accelerators, ncnn, Core ML."""

from __future__ import annotations

import math
from numbers import Real
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.engines.base import EngineOutput
from tracker.errors import TrackerError

HeatmapDecoder = Literal["local_softmax", "softmax_mean"]
"""The point is the mean of the cells around the heatmap's peak, or of all its cells."""


def decode_heatmaps(
    logits: ArrayLike,
    stride: int,
    window: int = 7,
    temperature: float = 1.0,
    label_px2: float = 0.0,
    floor_px2: float = 0.0,
    deviation_scale: float = 1.0,
    decoder: HeatmapDecoder = "local_softmax",
) -> EngineOutput:
    """Decode heatmaps into landmarks, as a complete model does inside its graph.

    The softmax is taken over each map. The mass of the window around its highest cell (of equal ones the first, row by
    row) is the score. A window that would leave the map is moved inside it. The point is the mean, and its covariance
    the covariance, of that window (the local soft-argmax of Bulat et al., BMVC 2021) or of the whole map (the integral
    of Sun et al., ECCV 2018). `landmarks export` writes all the parameters, with which the model was verified, as the
    table `decoding` of the model's JSON file.

    Args:
        logits: (N, K, H, W) floating-point maps, before any softmax. Quantised ones must be dequantised before.
        stride: side of a cell in pixels of the crop; cell j has its middle at pixel (j + 0.5) * stride - 0.5.
        window: side of the window in cells.
        temperature: by which the logits are divided.
        label_px2: the variance that is subtracted from the covariances in every direction, in squared pixels.
        floor_px2: the variance that is left at least in every direction, in squared pixels.
        deviation_scale: factor on the deviations after that.
        decoder: local_softmax computes points and covariances from the window, softmax_mean from the whole map.

    Returns:
        Points (N, K, 2), scores (N, K) and covariances (N, K, 3), float32, in pixels of the crop.

    Raises:
        TrackerError: if the maps have another shape, are integers or hold NaN, or a parameter is out of its range.
    """
    try:
        maps = np.asarray(logits)
    except ValueError as error:  # lists of different lengths
        raise TrackerError(f"logits: expected heatmaps (N, K, H, W), got no array ({error})") from None
    if maps.ndim != 4 or 0 in maps.shape[1:] or not np.issubdtype(maps.dtype, np.floating):
        raise TrackerError(
            f"logits: expected floating-point heatmaps (N, K, H, W), got {maps.dtype} {maps.shape}; "
            "add the dimension of the faces, and dequantise integers"
        )
    for name, value, least in (("stride", stride, 1), ("window", window, 1)):
        if not _is_finite(value) or value != int(value) or value < least:
            raise TrackerError(f"{name}: expected a whole number from {least} on, got {value!r}")
    stride, window = int(stride), int(window)
    if not _is_finite(temperature) or temperature <= 0:
        raise TrackerError(f"temperature: expected a number above 0, got {temperature!r}")
    for name, variance in (("label_px2", label_px2), ("floor_px2", floor_px2)):
        if not _is_finite(variance) or variance < 0:
            raise TrackerError(f"{name}: expected a variance from 0 on, got {variance!r}")
    if not _is_finite(deviation_scale) or not 0.01 <= deviation_scale <= 100:
        raise TrackerError(f"deviation_scale: expected a number from 0.01 to 100, got {deviation_scale!r}")
    if decoder not in get_args(HeatmapDecoder):
        raise TrackerError(f"decoder: expected {' or '.join(get_args(HeatmapDecoder))}, got {decoder!r}")
    faces, count, height, width = maps.shape
    with np.errstate(over="ignore", invalid="ignore"):
        flat = maps.reshape(faces, count, height * width).astype(np.float32) * np.float32(1 / temperature)
    peaks = flat.max(-1, keepdims=True)
    if not np.isfinite(peaks).all():  # single cells may be -inf
        raise TrackerError("logits: expected a finite peak in each map, got NaN or inf (after the temperature)")
    mass = np.exp(flat - peaks)
    mass /= mass.sum(-1, keepdims=True)
    row, column = np.divmod(mass.argmax(-1), width)
    rows, columns = min(window, height), min(window, width)
    row = np.clip(row, rows // 2, height - rows + rows // 2)
    column = np.clip(column, columns // 2, width - columns + columns // 2)
    dy, dx = _offsets(rows, columns)
    near = np.take_along_axis(mass, (row * width + column)[..., None] + dy * width + dx, -1)
    scores, middle = near.sum(-1), np.stack([column, row], -1)
    if decoder == "softmax_mean":
        near, (dy, dx), middle = mass, _offsets(height, width), np.array([width // 2, height // 2])
    x, y = dx.astype(np.float64) * stride, dy.astype(np.float64) * stride  # pixels from the middle
    sums = near @ np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)
    moments = sums[..., 1:] / sums[..., :1]
    mean, squares = moments[..., :2], moments[..., 2:]
    middle_px = middle.astype(np.float32) * stride + (stride - 1) / 2
    covariances = squares - mean[..., [0, 0, 1]] * mean[..., [0, 1, 1]]
    return EngineOutput(
        (middle_px + mean).astype(np.float32),
        scores.astype(np.float32),
        _narrowed(covariances, label_px2, floor_px2) * np.float32(deviation_scale**2),
    )


def _is_finite(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _offsets(rows: int, columns: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows * columns,) how far each cell lies below and to the right of the middle one."""
    dy, dx = np.mgrid[:rows, :columns] - np.array([rows // 2, columns // 2])[:, None, None]
    return dy.ravel(), dx.ravel()


def _narrowed(covariances: NDArray[np.float32], label_px2: float, floor_px2: float) -> NDArray[np.float32]:
    """Subtract label_px2 from both eigenvalues, down to floor_px2; the eigenvectors do not change."""
    xx, xy, yy = np.moveaxis(covariances, -1, 0)
    trace, across, slant = xx + yy, xx - yy, xy + xy
    gap = np.sqrt(across * across + slant * slant)  # between the eigenvalues
    small, large = (np.maximum(each - 2 * label_px2, 2 * floor_px2) for each in (trace - gap, trace + gap))
    shrink = (large - small) / np.maximum(gap, np.float32(1e-9))
    middle = small + large
    narrow = np.stack([middle + shrink * across, shrink * slant, middle - shrink * across], -1) / 4
    return narrow.astype(np.float32)
