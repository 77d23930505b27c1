"""Latency of engines for one face, measured alternately."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from tracker.engines.onnx import OnnxEngine

ROUNDS, CALLS = 12, 40


def medians_ms(engines: Mapping[str, OnnxEngine]) -> dict[str, float]:
    """Return the median time of a crop of noise; the first calls of a turn are a warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(ROUNDS):
        for name, engine in engines.items():
            crop = np.random.default_rng(0).integers(0, 256, (1, engine.spec.size, engine.spec.size, 3), np.uint8)
            for call in range(CALLS):
                start = time.perf_counter()
                engine.run(crop)
                if call >= CALLS // 8:
                    seconds[name].append(time.perf_counter() - start)
    return {name: round(1000 * float(np.median(values)), 2) for name, values in seconds.items()}
