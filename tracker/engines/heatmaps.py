"""Decodes heatmaps in NumPy, for models that end before their decoding: accelerators, ncnn, Core ML."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.engines.base import EngineOutput
from tracker.errors import TrackerError


def decode_heatmaps(
    logits: ArrayLike,
    stride: int,
    window: int = 7,
    temperature: float = 1.0,
    label_px2: float = 0.0,
    floor_px2: float = 0.0,
    deviation_scale: float = 1.0,
) -> EngineOutput:
    """Decode heatmaps into landmarks, as a complete model does inside its graph.

    The softmax is taken over each map. The window around its highest cell (of equal ones the first, row by row) holds
    the landmark: its mass is the score, its mean the point, its covariance the covariance. A window that would leave
    the map is moved inside it. The method is the local soft-argmax of Bulat et al., BMVC 2021, with the window's size
    and the correction of the covariances that the model was verified with; `landmarks export` writes all the
    parameters as the table `decoding` of the model's JSON file.

    Args:
        logits: (N, K, H, W) floating-point maps, before any softmax. Quantised ones must be dequantised before.
        stride: side of a cell in pixels of the crop; cell j has its middle at pixel (j + 0.5) * stride - 0.5.
        window: side of the window in cells.
        temperature: by which the logits are divided.
        label_px2: the variance that is subtracted from the covariances in every direction, in squared pixels.
        floor_px2: the variance that is left at least in every direction, in squared pixels.
        deviation_scale: factor on the deviations after that.

    Returns:
        Points (N, K, 2), scores (N, K) and covariances (N, K, 3), float32, in pixels of the crop.

    Raises:
        TrackerError: if the maps have another shape or are integers, or a parameter is out of its range.
    """
    maps = np.asarray(logits)
    if maps.ndim != 4 or 0 in maps.shape[1:] or not np.issubdtype(maps.dtype, np.floating):
        raise TrackerError(
            f"logits: expected floating-point heatmaps (N, K, H, W), got {maps.dtype} {maps.shape}; "
            "add the dimension of the faces, and dequantise integers"
        )
    for name, value, least in (("stride", stride, 1), ("window", window, 1)):
        if value != int(value) or value < least:
            raise TrackerError(f"{name}: expected a whole number from {least} on, got {value}")
    if not 0 < temperature < math.inf:
        raise TrackerError(f"temperature: expected a number above 0, got {temperature}")
    if not (0 <= label_px2 < math.inf and 0 <= floor_px2 < math.inf):
        raise TrackerError(f"label_px2, floor_px2: expected variances from 0 on, got {label_px2} and {floor_px2}")
    if not 0.01 <= deviation_scale <= 100:
        raise TrackerError(f"deviation_scale: expected a number from 0.01 to 100, got {deviation_scale}")
    faces, count, height, width = maps.shape
    flat = maps.reshape(faces, count, height * width).astype(np.float32) * np.float32(1 / temperature)
    mass = np.exp(flat - flat.max(-1, keepdims=True))
    mass /= mass.sum(-1, keepdims=True)
    row, column = np.divmod(mass.argmax(-1), width)
    rows, columns = min(window, height), min(window, width)
    row = np.clip(row, rows // 2, height - rows + rows // 2)
    column = np.clip(column, columns // 2, width - columns + columns // 2)
    dy, dx = (axis.ravel() for axis in np.mgrid[:rows, :columns] - np.array([rows // 2, columns // 2])[:, None, None])
    near = np.take_along_axis(mass, (row * width + column)[..., None] + dy * width + dx, -1)
    x, y = dx.astype(np.float32) * stride, dy.astype(np.float32) * stride  # pixels from the window's middle
    sums = near @ np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)
    moments = sums[..., 1:] / sums[..., :1]
    mean, squares = moments[..., :2], moments[..., 2:]
    middle = np.stack([column, row], -1).astype(np.float32) * stride + (stride - 1) / 2
    covariances = squares - mean[..., [0, 0, 1]] * mean[..., [0, 1, 1]]
    return EngineOutput(
        (middle + mean).astype(np.float32),
        sums[..., 0].astype(np.float32),
        _narrowed(covariances, label_px2, floor_px2) * np.float32(deviation_scale**2),
    )


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
