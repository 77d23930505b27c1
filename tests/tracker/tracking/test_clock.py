"""Timestamps are checked: what is no time is refused, small steps back are mended, and what is odd is said once."""

from __future__ import annotations

import math
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker import Frame, TrackerError
from tracker.tracking.clock import Clock

PICTURE = np.zeros((2, 2, 3), np.uint8)


def read(clock: Clock, *times: Any) -> list[float]:
    return [clock(Frame(PICTURE, time, index)) for index, time in enumerate(times)]


@pytest.mark.parametrize("time", [None, math.nan, math.inf, -math.inf, "0.1", datetime(2026, 1, 1), 10**400, 1j])
def test_what_is_no_time_is_refused_and_forgotten(time: Any) -> None:
    clock = Clock(0.5)
    read(clock, 0.0, 0.1)
    with pytest.raises(TrackerError, match="frame 0: expected its timestamp_s in seconds as a finite number, got"):
        read(clock, time)
    assert read(clock, 0.2) == [0.2]
    assert clock.interval_s == pytest.approx(0.1)


@pytest.mark.parametrize("kind", [int, float, np.float32, np.int64])
def test_every_kind_of_number_is_a_time(kind: Any) -> None:
    assert read(Clock(0.5), kind(0), kind(1)) == [0, 1]


def test_a_small_step_back_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    assert read(Clock(0.5), 0.0, 0.1, 0.2, 0.15, 0.25, 0.2) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert [message.split(";")[0] for message in caplog.messages] == [
        "the timestamp of frame 3 is 0.050 s before that of the frame before"
    ]


def test_a_large_step_back_is_another_video(caplog: pytest.LogCaptureFixture) -> None:
    assert read(Clock(0.5), 10.0, 10.1, 0.0, 0.1) == [10, 10.1, 0, 0.1]
    assert len(caplog.messages) == 1


@pytest.mark.parametrize(("interval", "said"), [(1 / 30, 0), (1.0, 0), (1000 / 30, 1), (1000 / 240, 1), (1e6 / 30, 1)])
def test_milliseconds_are_said_once(interval: float, said: int, caplog: pytest.LogCaptureFixture) -> None:
    read(Clock(0.5), *(interval * index for index in range(50)))
    assert ["divide milliseconds by 1000" in message for message in caplog.messages] == [True] * said


def test_the_usual_interval_is_not_that_of_a_pause() -> None:
    clock = Clock(0.5)
    read(clock, 0.0, 0.1, 0.2, 99.0)
    assert clock.interval_s == pytest.approx(0.1)
    clock = Clock(0.5)
    read(clock, 0.0, 1e9)
    assert clock.interval_s == 0


@given(st.lists(st.floats(-1e4, 1e4), max_size=30))
def test_runs_back_only_by_more_than_it_mends(times: list[float]) -> None:
    now = read(Clock(0.5), *times)
    assert all(later >= earlier or earlier - later > 0.5 for earlier, later in pairwise(now))
