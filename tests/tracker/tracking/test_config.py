"""The thresholds of tracking can be set, and invalid ones are refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from tracker import Frame, Tracker, TrackerConfig, TrackerError


@pytest.mark.parametrize("name", [field.name for field in fields(TrackerConfig)])
@pytest.mark.parametrize("value", [math.nan, math.inf, "2", None])
def test_invalid_values(name: str, value: Any) -> None:
    with pytest.raises(TrackerError, match=f"TrackerConfig: {name} must be a finite number of at least 0, got"):
        TrackerConfig(**{name: value})


def test_negative_values() -> None:
    with pytest.raises(TrackerError, match="max_jump must be a finite number of at least 0, got -1"):
        TrackerConfig(max_jump=-1)
    assert TrackerConfig(unconfident_margin=-0.7).unconfident_margin == -0.7


@pytest.mark.parametrize(("interval_s", "runs"), [(0.1, 5), (1.0, 1), (1e9, 1)])
def test_the_detector_runs_at_its_interval(
    interval_s: float, runs: int, make_tracker: Callable[..., Tracker], frames: list[Frame]
) -> None:
    tracker = make_tracker(config=TrackerConfig(detect_interval_s=interval_s))
    results = [tracker.step(Frame(frames[0].image_rgb, index * 0.03, index)) for index in range(20)]
    assert sum("detect" in result.stage_s for result in results) == runs


@pytest.mark.parametrize(("max_jump", "runs"), [(0.5, 1), (0.0, 4)])
def test_a_face_that_moves_farther_than_max_jump_is_detected_again(
    max_jump: float, runs: int, make_tracker: Callable[..., Tracker], frames: list[Frame]
) -> None:
    tracker = make_tracker(config=TrackerConfig(max_jump=max_jump))
    results = [tracker.step(frame) for frame in frames[:4]]
    assert sum("detect" in result.stage_s for result in results) == runs
    assert [[face.id for face in result.faces] for result in results] == [[1]] * 4
