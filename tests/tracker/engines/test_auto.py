"""--model auto: INT8 where this CPU runs it faster."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tracker.test_doctor import starting
from tracker import Tracker, doctor
from tracker.engines import auto
from tracker.engines.base import EngineOutput
from tracker.engines.loading import find_model
from tracker.engines.onnx import OnnxEngine
from tracker.face.crop import warp
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.sources.demo import DemoClip
from tracker.tracking.estimator import next_roi
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


def test_a_file_of_that_name_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "int8_time_ratio", lambda: pytest.fail("timed"))
    (tmp_path / "auto").write_bytes((WEIGHTS / "edge68_fast.onnx").read_bytes())
    monkeypatch.chdir(tmp_path)
    for given in ("./auto", Path("auto")):
        with Tracker(given) as tracker:
            assert tracker.engine.spec.size == 96


@pytest.mark.parametrize("interrupted", ["none", "int8", "float", "both"])
def test_the_ratio_is_that_of_int8_over_float(interrupted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a busy machine, where most calls are interrupted by other programs."""

    class FakeSlow(OnnxEngine):
        """Computes nothing, and takes 8 ms for the default model, 2 for INT8; 20 more if it is interrupted."""

        calls = 0

        def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
            kind = "int8" if "int8" in str(self.path) else "float"
            self.calls += 1
            late = interrupted in (kind, "both") and self.calls % 3
            time.sleep((0.002 if kind == "int8" else 0.008) + (0.02 if late else 0))
            return EngineOutput(*(np.zeros((1, 68, size), np.float32) for size in (2, 1, 3)))

    monkeypatch.setattr(auto, "OnnxEngine", FakeSlow)
    assert 0.1 < auto.int8_time_ratio() < 0.7


def test_the_ratio_is_measured() -> None:
    assert 0 < auto.int8_time_ratio() < math.inf


def test_int8_is_the_same_model() -> None:
    """On views of the demo clip; the whole budget is measured at export."""
    whole, quantised = (OnnxEngine(WEIGHTS / f"{name}.onnx") for name in ("edge68", "edge68_int8"))
    for part in ("size", "scheme", "licence", "provenance", "decode"):
        assert getattr(quantised.spec, part) == getattr(whole.spec, part), part
    assert quantised.spec.presence == pytest.approx(whole.spec.presence, abs=0.005)
    clip = DemoClip()
    views = [next_roi(Landmarks.from_points(clip.truth_px(i), IBUG68)).crop_from_image(128) for i in range(0, 60, 10)]
    crops = np.stack([warp(clip.picture(10 * i), view, 128) for i, view in enumerate(views)])
    ours, theirs = quantised.run(crops), whole.run(crops)
    assert np.quantile(np.linalg.norm(ours.points_px - theirs.points_px, axis=2), 0.99) < 0.5
    wide = [answer.covariances_px2[..., ::2].sum(-1) for answer in (ours, theirs)]
    assert np.median(wide[0] / wide[1]) == pytest.approx(1, abs=0.1)


def test_the_doctor_says_which(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "int8_time_ratio", lambda: 0.7)
    doctor.doctor(selftest=True)
    line = starting(capsys.readouterr().out.splitlines(), "--model auto ")
    assert line == "--model auto takes edge68_int8 here: edge68_int8 needs 0.70 of edge68's time (taken if at most 0.9)"
