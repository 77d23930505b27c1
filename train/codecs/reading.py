"""Every decoder by its name: those of maps alone, and those that read a head of the net beside the maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from train.codecs import hih, offsets
from train.codecs.decoders import DECODERS, DecoderName, dark

HeadDecoder = Callable[[Tensor, Tensor, int, int], tuple[Tensor, Tensor, Tensor]]
"""Logits (N, K, H, W), what the head answered, stride and window, to points, scores, covariances."""

HeadName = Literal["decimals", "vector", "map"]
HEAD_DECODERS: dict[HeadName, HeadDecoder] = {
    "decimals": hih.decode,
    "vector": offsets.decode_vector,
    "map": offsets.decode_map,
}
ReadingName = DecoderName | HeadName


def read(
    name: ReadingName, logits: Tensor, head_output: Tensor | None, stride: int, window: int, label_cells: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Decode maps with the decoder of a name.

    Args:
        name: of the decoder.
        logits: (N, K, H, W).
        head_output: the head's answer: (N, K, D, D) for "decimals", (N, K, 2) for "vector", (N, 2, H, W) for "map",
            None for the others.
        stride: pixels per cell.
        window: side in cells.
        label_cells: the width of the labels, which DARK blurs with.

    Returns:
        Points (N, K, 2) in pixels, scores (N, K), covariances (N, K, 3).
    """
    if name == "dark":
        return dark(logits, stride, window, label_cells)
    if name == "decimals" or name == "vector" or name == "map":
        assert head_output is not None
        return HEAD_DECODERS[name](logits, head_output, stride, window)
    return DECODERS[name](logits, stride, window)
