"""PERCLOS and blink rate of known sequences, and why eyes are not judged."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from tracker import EyeMonitor, EyeReport, Landmarks, TrackedFace, TrackerError, camera_matrix
from tracker.analysis.eye_monitor import find_hindrance
from tracker.analysis.head_pose import mean_head_mm
from tracker.face.schemes import IBUG68

FPS = 25
SIZE = (640, 480)


def face_at(yaw_deg: float = 0, distance_mm: float = 600, opening: float = 0.3, state: str = "tracking") -> TrackedFace:
    """The mean head before a camera, with lids at a known opening."""
    turn = cv2.Rodrigues(np.array([0.0, math.radians(yaw_deg), 0.0]))[0]
    seen = mean_head_mm() @ turn.T + (0, 0, distance_mm)
    points = (seen @ camera_matrix(*SIZE).T)[:, :2] / seen[:, 2:]
    for first in (36, 42):
        corner, width = points[first], points[first + 3] - points[first]
        down = np.array([-width[1], width[0]])
        for at, along, height in ((1, 0.3, -1), (2, 0.7, -1), (4, 0.7, 0), (5, 0.3, 0)):
            points[first + at] = corner + along * width + (0.1 + height * opening) * down
    marks = Landmarks.from_points(points, IBUG68)
    return TrackedFace(1, state, 1.0, marks, marks)  # type: ignore[arg-type]


def grey(level: int = 120) -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), level, np.uint8)


def watch(monitor: EyeMonitor, openings: list[float], start_s: float = 0) -> EyeReport:
    for at, opening in enumerate(openings):
        report = monitor.step(face_at(opening=opening), grey(), start_s + at / FPS)
    return report


def test_a_minute_with_known_blinks() -> None:
    """Ten blinks of .2 s and one look down of 2 s in 60 s."""
    second = [0.3] * FPS
    blinking = [0.3] * 20 + [0.15] * 5
    report = watch(EyeMonitor(), second * 5 + (second * 3 + blinking) * 10 + second * 5 + [0.15] * 50 + second * 8)
    assert report.state == "open" and report.reason is None
    assert report.blink_s == pytest.approx(0.2)
    assert report.blinks_per_minute == pytest.approx(10, rel=0.03)
    assert report.perclos == pytest.approx(10 * 0.2 / 60, rel=0.03)
    assert report.perclos_most == pytest.approx((10 * 0.2 + 2) / 60, rel=0.03)
    assert report.longest_closure_s == pytest.approx(0.2)
    assert report.longest_untold_s == pytest.approx(2)
    assert report.judged_s == pytest.approx(60, abs=0.1)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    monitor = EyeMonitor(window_s=10)
    watch(monitor, [0.3] * 200 + [0.15] * 5 + [0.3] * 10)
    report = watch(monitor, [0.3] * 300, start_s=8.6)
    assert report.perclos == 0 and report.blinks_per_minute == 0 and math.isnan(report.blink_s)
    assert report.judged_s == pytest.approx(10, abs=0.1)


def test_lids_that_are_down_now_count() -> None:
    report = watch(EyeMonitor(), [0.3] * 250 + [0.15] * 50)
    assert report.state == "untold"
    assert report.down_s == report.longest_untold_s == pytest.approx(49 / FPS)
    assert report.perclos == 0 and report.perclos_most == pytest.approx(49 / 299, rel=0.02)


def test_unknown_time_is_left_out_of_perclos() -> None:
    monitor = EyeMonitor()
    watch(monitor, [0.3] * 100)
    for at in range(100):
        report = monitor.step(face_at(yaw_deg=50), grey(), 4 + at / FPS)
    assert report.state == "unknown" and report.reason == "turned away" and math.isnan(report.opening)
    assert report.unknown_s == pytest.approx(4, abs=0.1) and report.judged_s == pytest.approx(4, abs=0.1)


def eyes_painted(level: int, around: int = 120) -> np.ndarray:
    picture = grey(around)
    for first in (36, 42):
        x, y = face_at().raw.points_px[first : first + 6].mean(0).astype(int)
        cv2.rectangle(picture, (int(x) - 20, int(y) - 12), (int(x) + 20, int(y) + 12), (level, level, level), -1)
    return picture


@pytest.mark.parametrize(
    ("face", "picture", "reason"),
    [
        (face_at(), grey(), None),
        (face_at(yaw_deg=20), grey(), None),
        (face_at(yaw_deg=-45), grey(), "turned away"),
        (face_at(distance_mm=6000), grey(), "too small"),
        (face_at(), grey(5), "too dark"),
        (face_at(), eyes_painted(255), "glare"),
        (face_at(), eyes_painted(20), "covered"),
        (face_at(state="coasting"), grey(), "not measured"),
    ],
)
def test_says_why_eyes_are_not_judged(face: TrackedFace, picture: np.ndarray, reason: str | None) -> None:
    assert find_hindrance(face, picture) == reason


@pytest.mark.parametrize("window_s", [0, -1, math.nan, math.inf])
def test_refuses_a_window_of_no_length(window_s: float) -> None:
    with pytest.raises(TrackerError, match="window_s"):
        EyeMonitor(window_s)
