"""What ONNX Runtime really runs on is what was asked for, or it is said.

Only the CPU is there; for the others a session stands in that answers as ONNX Runtime does.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from tracker.engines.loading import load_engine
from tracker.engines.onnx import OnnxEngine
from tracker.errors import TrackerError
from tracker.weights.packaged import landmark_model

PACKAGED = landmark_model(None)
ABSENT = [
    name
    for name, provider in (("cuda", "CUDAExecutionProvider"), ("openvino", "OpenVINOExecutionProvider"))
    if provider not in onnxruntime.get_available_providers()
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The providers that a session was asked for, by a build that knows OpenVINO and, without its device, CUDA."""
    real, calls = onnxruntime.InferenceSession, []

    def session(model: bytes, options: Any, providers: list[tuple[str, dict[str, str]]]) -> Any:
        calls.append(providers)
        made = real(model, options, providers=["CPUExecutionProvider"])
        names = [name for name, _ in providers if name != "CUDAExecutionProvider"]  # its library cannot be loaded
        monkeypatch.setattr(made, "get_providers", lambda: names)
        return made

    known = ["CUDAExecutionProvider", "OpenVINOExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: known)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    return calls


def test_the_cpu_is_what_runs_unless_asked_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert OnnxEngine(PACKAGED).provider == "cpu"
    assert "ONNX Runtime on cpu" in caplog.text


@pytest.mark.parametrize("provider", ABSENT)
def test_one_that_is_not_in_this_build_is_an_error(provider: Any) -> None:
    with pytest.raises(TrackerError, match=f"cannot run on {provider} here; it needs onnxruntime-") as error:
        load_engine(PACKAGED, provider)
    assert "--allow-cpu" in str(error.value)


@pytest.mark.parametrize("provider", ABSENT)
def test_unless_the_cpu_is_allowed(provider: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert OnnxEngine(PACKAGED, provider=provider, allow_cpu=True).provider == "cpu"
    assert "running on the CPU" in caplog.text


def test_one_whose_device_is_missing_is_an_error_too(asked: list[Any]) -> None:
    """ONNX Runtime itself falls back without an error."""
    with pytest.raises(TrackerError, match="cannot run on cuda here"):
        OnnxEngine(PACKAGED, provider="cuda")
    assert [name for name, _ in asked[0]] == ["CUDAExecutionProvider", "CPUExecutionProvider"]


def test_openvino_computes_in_float32(asked: list[Any]) -> None:
    assert OnnxEngine(PACKAGED, provider="openvino").provider == "openvino"
    (name, options), _ = asked[0]
    assert name == "OpenVINOExecutionProvider"
    assert '"INFERENCE_PRECISION_HINT": "f32"' in options["load_config"]


def test_a_damaged_model_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"none")
    with pytest.raises(TrackerError, match="expected an ONNX model"):
        OnnxEngine(tmp_path / "model.onnx", provider="cuda", allow_cpu=True)


def test_between_calls_its_threads_leave_the_cores_alone() -> None:
    """ONNX Runtime's own way is to let them turn idly for some 40 ms, in wait of the next call."""
    engine = OnnxEngine(PACKAGED, threads=2)
    crops = np.zeros((4, engine.spec.size, engine.spec.size, 3), np.uint8)
    waited_s = []
    for _ in range(5):
        engine.run(crops)
        before_s = time.process_time()
        time.sleep(0.1)
        waited_s.append(time.process_time() - before_s)
    assert np.median(waited_s) < 0.01
