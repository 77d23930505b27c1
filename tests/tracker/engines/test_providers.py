"""What ONNX Runtime really runs on is what was asked for, or it is said.

Only the CPU is there; for the others a session stands in that answers as ONNX Runtime does.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import types
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pytest

from tracker.engines import onnx_plugins
from tracker.engines.loading import load_engine
from tracker.engines.onnx import OnnxEngine, available_providers
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
    with pytest.raises(TrackerError, match=f"{provider}.* needs ") as error:
        load_engine(PACKAGED, provider)
    assert "--allow-cpu" in str(error.value)


@pytest.mark.parametrize("provider", ABSENT)
def test_unless_the_cpu_is_allowed(provider: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert OnnxEngine(PACKAGED, provider=provider, allow_cpu=True).provider == "cpu"
    assert "running on the CPU" in caplog.text


class FakeHardware(NamedTuple):
    """What ONNX Runtime says of a piece of hardware that is not here."""

    type: str
    vendor: str
    metadata: dict[str, str]


class FakeDevice(NamedTuple):
    """An OrtEpDevice of hardware that is not here."""

    ep_name: str
    device: FakeHardware
    ep_metadata: dict[str, str]


def fake_device(kind: str, vendor: str, provider: str = "WebGpuExecutionProvider", **metadata: str) -> FakeDevice:
    return FakeDevice(provider, FakeHardware(f"OrtHardwareDeviceType.{kind}", vendor, metadata), {"ov_device": kind})


class FakePlugIn:
    """A plug-in for hardware that is not here; the CPU computes.

    devices: that it lists once it is registered. nodes: by which provider the parts of a model run.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, provider: str, devices: list[FakeDevice]) -> None:
        self.registered: list[tuple[str, str]] = []
        self.chosen: list[Any] = []
        self.nodes = [provider, provider, "CPUExecutionProvider"]
        real = onnxruntime.InferenceSession
        module = types.SimpleNamespace(get_ep_names=lambda: [provider], get_library_path=lambda: "/lib/fake.so")

        class FakeOptions(onnxruntime.SessionOptions):  # type: ignore[misc]
            def add_provider_for_devices(inner, devices: list[FakeDevice], options: dict[str, str]) -> None:  # noqa: N805
                self.chosen.append((devices, options))

        def session(model: bytes, options: Any, providers: Any = None) -> Any:
            made = real(model, onnxruntime.capi._pybind_state.SessionOptions(), providers=["CPUExecutionProvider"])
            if providers is None:
                monkeypatch.setattr(made, "get_providers", lambda: [provider, "CPUExecutionProvider"])
                parts = [types.SimpleNamespace(ep_name=name) for name in self.nodes]
                monkeypatch.setattr(made, "get_provider_graph_assignment_info", lambda: parts, raising=False)
            return made

        for plugin in onnx_plugins.PLUGINS.values():
            monkeypatch.setitem(sys.modules, plugin.module, module)
        monkeypatch.setattr(onnxruntime, "register_execution_provider_library", lambda *a: self.registered.append(a))
        monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: devices if self.registered else [])
        monkeypatch.setattr(onnxruntime, "SessionOptions", FakeOptions)
        monkeypatch.setattr(onnxruntime, "InferenceSession", session)


class TestPlugIns:
    def test_the_card_is_chosen_before_the_gpu_in_the_processor(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        devices = [
            fake_device("CPU", "AMD"),
            fake_device("NPU", "AMD"),
            fake_device("GPU", "Intel", Discrete="0"),
            fake_device("GPU", "NVIDIA", Discrete="1", Description="A card"),
        ]
        plug_in = FakePlugIn(monkeypatch, "WebGpuExecutionProvider", devices)
        with caplog.at_level(logging.INFO):
            engine = OnnxEngine(PACKAGED, provider="webgpu")
        assert plug_in.chosen == [([devices[3]], {})]
        assert (engine.provider, engine.device) == ("webgpu", "A card")
        assert "webgpu (A card)" in repr(engine) and "ONNX Runtime on webgpu (A card)" in caplog.text
        assert "A card runs 2 of 3 parts of the model, the CPU the others" in caplog.text
        OnnxEngine(PACKAGED, provider="webgpu")
        assert plug_in.registered == [("WebGpuExecutionProvider", "/lib/fake.so")]  # once in a process

    def test_openvino_computes_in_float32(self, monkeypatch: pytest.MonkeyPatch) -> None:
        name = "OpenVINOExecutionProvider"
        plug_in = FakePlugIn(monkeypatch, name, [fake_device("NPU", "Intel", name), fake_device("CPU", "Intel", name)])
        assert OnnxEngine(PACKAGED, provider="openvino").device == "Intel CPU"
        ((_, options),) = plug_in.chosen
        assert json.loads(options["load_config"]) == {"CPU": {"INFERENCE_PRECISION_HINT": "f32"}}

    @pytest.mark.parametrize("devices", [[], [fake_device("NPU", "AMD")]])
    def test_no_device_is_an_error(self, monkeypatch: pytest.MonkeyPatch, devices: list[FakeDevice]) -> None:
        FakePlugIn(monkeypatch, "WebGpuExecutionProvider", devices)
        with pytest.raises(TrackerError, match="onnxruntime-ep-webgpu found no device here; it needs a GPU"):
            OnnxEngine(PACKAGED, provider="webgpu")
        allowed = OnnxEngine(PACKAGED, provider="webgpu", allow_cpu=True)
        assert (allowed.provider, allowed.device) == ("cpu", "")

    def test_a_device_that_takes_no_part_of_the_model_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """ONNX Runtime then computes all of it on the CPU, and says nothing."""
        plug_in = FakePlugIn(monkeypatch, "WebGpuExecutionProvider", [fake_device("GPU", "AMD")])
        plug_in.nodes = ["CPUExecutionProvider"]
        with pytest.raises(TrackerError, match="webgpu: AMD GPU takes no part of the model"):
            OnnxEngine(PACKAGED, provider="webgpu")

    @pytest.mark.parametrize("provider", onnx_plugins.PLUGINS)
    def test_a_missing_package_is_named(self, provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        plugin = onnx_plugins.PLUGINS[provider]
        monkeypatch.setitem(sys.modules, plugin.module, None)
        with pytest.raises(TrackerError, match=f"{provider} needs {plugin.package}, which is not installed; pip"):
            OnnxEngine(PACKAGED, provider=provider)

    def test_an_old_onnx_runtime_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(onnxruntime, "register_execution_provider_library")
        with pytest.raises(TrackerError, match="needs ONNX Runtime 1\\.23 or newer"):
            OnnxEngine(PACKAGED, provider="webgpu")

    @pytest.mark.parametrize("provider", onnx_plugins.PLUGINS)
    def test_the_real_one_runs_or_says_that_there_is_no_device(self, provider: Any) -> None:
        plugin = onnx_plugins.PLUGINS[provider]
        if not onnx_plugins.installed(provider):
            pytest.skip(f"needs the plug-in: pip install {plugin.package}")
        assert provider in available_providers()
        crops = np.zeros((1, 128, 128, 3), np.uint8)
        engine = OnnxEngine(PACKAGED, provider=provider, allow_cpu=True)
        difference = engine.run(crops).points_px - OnnxEngine(PACKAGED).run(crops).points_px
        assert np.abs(difference).max() < 0.1
        if engine.provider != provider:
            with pytest.raises(TrackerError, match=plugin.needs):
                OnnxEngine(PACKAGED, provider=provider)


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
