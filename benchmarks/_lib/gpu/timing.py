"""Times of calls by the host's clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

WARM_UP_S = 0.2
"""Before times are taken: the clocks of an idle card are low and rise under load only."""


def warm_up(call: Callable[[], object], seconds: float) -> None:
    """Call it until the seconds are over, at least once.

    Args:
        call: returns when its work is done.
        seconds: WARM_UP_S in a measurement, 0 in a rehearsal.
    """
    end = time.perf_counter() + seconds
    call()
    while time.perf_counter() < end:
        call()


def time_calls(call: Callable[[], object], calls: int) -> dict[str, Any]:
    """What one call takes.

    Args:
        call: returns when its work is done.
        calls: how often it is timed.

    Returns:
        p50_ms, p95_ms and calls.
    """
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    p50, p95 = np.percentile(times, [50, 95]).tolist()
    return {"p50_ms": round(p50, 5), "p95_ms": round(p95, 5), "calls": calls}
