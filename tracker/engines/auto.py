"""The model that `--model auto` takes: the default one, or its twin in INT8 if that is faster on this CPU."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from tracker.engines.base import Engine
from tracker.engines.onnx import OnnxEngine
from tracker.engines.spec import INPUT
from tracker.weights.packaged import PACKAGED, landmark_model

AUTO = "auto"
INT8 = f"{PACKAGED[0]}_int8"
WORTH = 0.9
"""The largest time of INT8 over FP32's at which it is taken. Its landmarks differ a little, so a tie is not enough."""
_WARM_UP, _CALLS = 3, 15


def choose_model() -> Path:
    """Return INT8 if it takes at most WORTH of the default model's time on this CPU, else the default model.

    Both are loaded and timed with one face on one core, which takes less than a second.

    Raises:
        TrackerError: if a packaged model is missing or damaged.
    """
    return landmark_model(Path(name_for(int8_time_ratio())))


def name_for(ratio: float) -> str:
    """Return the name of the model to take if INT8 needs so much of the default model's time."""
    return INT8 if ratio <= WORTH else PACKAGED[0]


def int8_time_ratio() -> float:
    """Return the least time of INT8 over the default model's least, for one face on one core of this CPU.

    The least one, because other programs only ever make a call longer, and on a busy machine most calls.

    Raises:
        TrackerError: if a packaged model is missing or damaged.
    """
    whole, quantised = (OnnxEngine(landmark_model(path)) for path in (None, Path(INT8)))
    crop = np.random.default_rng(0).integers(0, 256, (1, *whole.spec.shapes()[INPUT]), np.uint8)
    times: dict[Engine, list[float]] = {whole: [], quantised: []}
    for _ in range(_WARM_UP + _CALLS):
        for engine, taken in times.items():  # in turns: the clock rate varies
            start = time.perf_counter()
            engine.run(crop)
            taken.append(time.perf_counter() - start)
    ours, theirs = (min(taken[_WARM_UP:]) for taken in (times[quantised], times[whole]))
    return ours / theirs
