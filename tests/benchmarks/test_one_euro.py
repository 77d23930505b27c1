"""The One Euro filter that ours is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks._lib.one_euro import OneEuro

Array = np.ndarray[Any, np.dtype[np.float64]]


def slow_reference(points: Array, times: Array, size: float, cutoff: float, beta: float, dcutoff: float) -> Array:
    """The paper's algorithm 1, number by number, with the speed of both coordinates taken together; the first points
    are averaged at least."""

    def alpha(cutoff_hz: float, rate_hz: float) -> float:
        tau, period = 1 / (2 * np.pi * cutoff_hz), 1 / rate_hz
        return 1 / (1 + tau / period)

    out = points.copy()
    for k in range(points.shape[1]):
        speed = [0.0, 0.0]
        for t in range(1, len(points)):
            rate = float(1 / (times[t] - times[t - 1]))
            for c in range(2):
                now = float(points[t, k, c] - out[t - 1, k, c]) * rate / size
                speed[c] = alpha(dcutoff, rate) * now + (1 - alpha(dcutoff, rate)) * speed[c]
            a = max(alpha(cutoff + beta * float(np.hypot(speed[0], speed[1])), rate), 1 / (t + 1))
            for c in range(2):
                out[t, k, c] = a * points[t, k, c] + (1 - a) * out[t - 1, k, c]
    return out


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 5), st.floats(0, 100), st.floats(0.1, 10))
@settings(max_examples=20, deadline=None)
def test_is_the_filter_of_the_paper(seed: int, cutoff: float, beta: float, dcutoff: float) -> None:
    rng = np.random.default_rng(seed)
    points = np.cumsum(rng.normal(0, 3, (25, 5, 2)), 0) + rng.uniform(0, 2000, (5, 2))
    times = np.cumsum(rng.uniform(0.005, 0.2, 25))
    smooth = OneEuro(cutoff, beta, dcutoff)
    found = np.array([smooth(p, t, 200.0) for p, t in zip(points, times.tolist())])
    np.testing.assert_allclose(found, slow_reference(points, times, 200.0, cutoff, beta, dcutoff), rtol=1e-9)
