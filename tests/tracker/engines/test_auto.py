"""--model auto: INT8 where this CPU runs it faster."""

from __future__ import annotations

import math

import pytest

from tests.tracker.test_doctor import starting
from tracker import Tracker, doctor
from tracker.engines import auto
from tracker.engines.loading import find_model
from tracker.sources.demo import DemoClip
from tracker.weights.packaged import WEIGHTS, identify_engine


@pytest.mark.parametrize(
    ("ratio", "name"), [(0.64, "edge68_int8"), (0.9, "edge68_int8"), (0.95, "edge68"), (1.4, "edge68")]
)
def test_int8_is_taken_where_it_is_faster(ratio: float, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "int8_time_ratio", lambda: ratio)
    assert find_model("auto") == WEIGHTS / f"{name}.onnx"
    with Tracker("auto") as tracker:
        assert identify_engine(tracker.engine).name == name
        assert len(tracker.step(next(DemoClip())).faces) == 1


def test_nothing_is_timed_where_it_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for the default nor for a GPU, whose INT8 is another."""
    monkeypatch.setattr(auto, "int8_time_ratio", lambda: pytest.fail("timed"))
    assert find_model() == find_model("edge68") == find_model("auto", "cuda") == WEIGHTS / "edge68.onnx"


def test_the_ratio_is_measured() -> None:
    assert 0 < auto.int8_time_ratio() < math.inf


def test_the_doctor_says_which(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "int8_time_ratio", lambda: 0.7)
    doctor.doctor(selftest=True)
    line = starting(capsys.readouterr().out.splitlines(), "--model auto ")
    assert line == "--model auto takes edge68_int8 here: edge68_int8 needs 0.70 of edge68's time (taken if at most 0.9)"
