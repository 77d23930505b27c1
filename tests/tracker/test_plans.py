"""A plan is handed out only as it was written, for its key, from a folder of one's own."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracker.engines.plans import (
    EngineKey,
    ForeignPlan,
    Gpu,
    checked_plan,
    described_plan,
    first_gpu,
    load_tensorrt,
    write_plan,
)
from tracker.engines.spec import KEY, ModelSpec
from tracker.errors import TrackerError

ORIN = EngineKey("ab" * 32, "tensorrt", "10.3.0", "12.6", ("sm87",), "Orin (nvgpu)", "fp32", (1, 4, 16))
SPEC = ModelSpec(128, "ibug68", 0.5, "softmax", "none", {"epochs": 3}, "here")


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / ORIN.file_name()
    tmp_path.chmod(0o700)
    write_plan(path, b"plan", ORIN, SPEC, 1.23456)
    return path


def change(plan: Path, **parts: Any) -> None:
    sidecar = plan.with_name(f"{plan.name}.json")
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | parts))


class TestKey:
    def test_file_name(self) -> None:
        name = "abababababababab_tensorrt-10.3.0_cuda-12.6_sm87_Orin-nvgpu-_fp32_1-4-16.plan"
        assert ORIN.file_name() == name
        assert ORIN.timings_name() == "tensorrt-10.3.0_cuda-12.6_sm87_Orin-nvgpu-.timings"
        assert ORIN.builder() == "TensorRT 10.3.0"

    def test_file_names_differ(self) -> None:
        others = [
            {"onnx_sha256": "cd" * 32},
            {"flavour": "tensorrt_rtx"},
            {"version": "10.3.1"},
            {"cuda": "13.0"},
            {"compute_capabilities": ("sm87", "sm89")},
            {"gpu": "Thor"},
            {"precision": "fp16"},
            {"faces": (1, 2, 16)},
        ]
        names = {dataclasses.replace(ORIN, **other).file_name() for other in others}  # type: ignore[arg-type]
        assert len(names | {ORIN.file_name()}) == 1 + len(others)


class TestPlan:
    def test_comes_back(self, plan: Path) -> None:
        assert checked_plan(plan, ORIN) == b"plan"
        assert described_plan(plan) == (ORIN, SPEC)
        sidecar = json.loads(plan.with_name(f"{plan.name}.json").read_text())
        assert (sidecar["size_bytes"], sidecar["build_s"]) == (4, 1.235)

    def test_altered(self, plan: Path) -> None:
        plan.write_bytes(b"pl4n")
        with pytest.raises(ForeignPlan, match="its SHA-256 is not the one in its sidecar"):
            checked_plan(plan, ORIN)

    def test_of_another_key(self, plan: Path) -> None:
        with pytest.raises(ForeignPlan, match=r"it was built for another version, gpu$"):
            checked_plan(plan, dataclasses.replace(ORIN, version="10.16", gpu="Thor"))

    @pytest.mark.parametrize("missing", ["there is none yet", "its sidecar is missing"])
    def test_missing(self, plan: Path, missing: str) -> None:
        (plan if "none" in missing else plan.with_name(f"{plan.name}.json")).unlink()
        for use in (described_plan, lambda path: checked_plan(path, ORIN)):
            with pytest.raises(ForeignPlan, match=missing):
                use(plan)

    @pytest.mark.parametrize(
        "key", [None, [], {}, {"gpu": "Orin"}, dataclasses.asdict(ORIN) | {"flavour": "x"}], ids=str
    )
    def test_sidecar_without_a_key(self, plan: Path, key: Any) -> None:
        change(plan, key=key)
        with pytest.raises(ForeignPlan, match="its sidecar is damaged"):
            described_plan(plan)

    @pytest.mark.parametrize("metadata", [{}, {KEY: "{"}, {KEY: json.dumps({"size": 1})}], ids=str)
    def test_sidecar_without_a_spec(self, plan: Path, metadata: Any) -> None:
        change(plan, metadata=metadata)
        with pytest.raises(TrackerError, match=KEY) as error:
            described_plan(plan)
        assert str(plan) in str(error.value)

    def test_sidecar_of_an_earlier_version(self, plan: Path) -> None:
        sidecar = plan.with_name(f"{plan.name}.json")
        old = {name: part for name, part in json.loads(sidecar.read_text()).items() if name != "metadata"}
        sidecar.write_text(json.dumps(old))
        with pytest.raises(ForeignPlan, match="its sidecar is damaged"):
            checked_plan(plan, ORIN)

    @pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX modes")
    def test_in_a_folder_that_others_can_write(self, plan: Path) -> None:
        plan.parent.chmod(0o770)
        with pytest.raises(TrackerError, match="others may write there"):
            checked_plan(plan, ORIN)


class TestGpu:
    def test_is_asked_of_the_driver(self, fake_orin: Callable[..., None]) -> None:
        fake_orin()
        assert first_gpu() == Gpu("12.6", "sm87", "Orin (nvgpu)")

    @pytest.mark.parametrize("failing", ["CDLL", "cuInit", "cuDeviceGet", "cuDeviceGetAttribute"])
    def test_none(self, fake_orin: Callable[..., None], failing: str) -> None:
        fake_orin(failing)
        assert first_gpu() is None


class TestPackage:
    @pytest.mark.parametrize(
        ("flavour", "command"), [("tensorrt", "JetPack"), ("tensorrt_rtx", "pip install tensorrt-rtx-cu13")]
    )
    def test_missing(self, monkeypatch: pytest.MonkeyPatch, flavour: str, command: str) -> None:
        monkeypatch.setitem(sys.modules, flavour, None)
        with pytest.raises(TrackerError, match="is not installed") as error:
            load_tensorrt(flavour)
        assert command in str(error.value) and "\n" not in str(error.value)

    def test_both_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for flavour in ("tensorrt", "tensorrt_rtx"):
            monkeypatch.setitem(sys.modules, flavour, None)
        with pytest.raises(TrackerError, match=r"JetPack.*pip install tensorrt-rtx-cu13"):
            load_tensorrt()

    def test_without_its_libraries(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "tensorrt.py").write_text("raise OSError('libnvinfer.so.10: cannot open')")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
        with pytest.raises(TrackerError, match=r"installed, but cannot be imported \(libnvinfer\.so\.10"):
            load_tensorrt("tensorrt")

    def test_unknown(self) -> None:
        with pytest.raises(TrackerError, match="unknown flavour 'tensorrtx'"):
            load_tensorrt("tensorrtx")
