"""Engines that TensorRT-RTX really builds, and a folder that hands out none but those.

The full TensorRT needs a GPU; here TensorRT-RTX stands in for it under its name, to hold the calls it would get.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

import export.tensorrt
from export.tensorrt import FACES, build, cached_engine, engine_key, flavour_taken, main
from tracker.engines.onnx import OnnxEngine
from tracker.engines.onnx_file import metadata_of
from tracker.engines.spec import KEY, ModelSpec
from tracker.engines.tensorrt.plan import EngineKey, ForeignPlan, checked_plan, described_plan
from tracker.errors import TrackerError

PACKAGED = Path(__file__).parents[2] / "tracker/weights/edge68.onnx"
FLOAT, HALF, UINT8 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8
node = helper.make_node


@pytest.fixture(scope="session")
def rtx() -> Any:
    return pytest.importorskip(
        "tensorrt_rtx", reason="needs TensorRT-RTX: pip install tensorrt-rtx-cu13", exc_type=ImportError
    )


def write_model(path: Path, *nodes: NodeProto, kind: int = UINT8, crops: tuple[Any, ...] = ("n", 8, 8, 3)) -> Path:
    """From crops to y (faces, 8, 8, 3), by default cast to float32."""
    x = helper.make_tensor_value_info("crops", kind, crops)
    y = helper.make_tensor_value_info("y", FLOAT, ["n", 8, 8, 3])
    weights = [
        numpy_helper.from_array(np.full((1, 1, 1, 3), 2, np.float16), "two"),
        numpy_helper.from_array(np.ones((3, 3), np.float32), "nine"),
    ]
    graph = helper.make_graph(nodes or [node("Cast", ["crops"], ["y"], to=FLOAT)], "g", [x], [y], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def write_half(path: Path) -> Path:
    return write_model(
        path,
        node("Cast", ["crops"], ["x"], to=HALF),
        node("Mul", ["x", "two"], ["h"]),
        node("Cast", ["h"], ["y"], to=FLOAT),
    )


def assert_sentence(error: TrackerError, *parts: object) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) < 700
    for part in parts:
        assert str(part) in str(error)


@pytest.mark.usefixtures("rtx")
class TestBuild:
    def test_the_packaged_model(self) -> None:
        key = engine_key(PACKAGED, "tensorrt_rtx")
        plan = build(PACKAGED, key)
        assert 1_000_000 < len(plan) < 10_000_000
        assert key.onnx_sha256 == hashlib.sha256(PACKAGED.read_bytes()).hexdigest()
        assert (key.gpu, key.faces) == ("portable", FACES)
        for capability in key.compute_capabilities:
            assert capability.encode() in plan

    def test_another_target(self) -> None:
        plan = build(PACKAGED, engine_key(PACKAGED, "tensorrt_rtx", targets=("SM75", "SM999")))
        assert b"sm75" in plan and b"sm89" not in plan

    def test_targets_it_does_not_know(self) -> None:
        with pytest.raises(TrackerError, match=r"supports none of the targets SM999"):
            engine_key(PACKAGED, "tensorrt_rtx", targets=("SM999",))

    def test_what_the_builder_refuses(self, tmp_path: Path) -> None:
        """There is no matrix product in float32 on Turing."""
        cast = node("Cast", ["crops"], ["x"], to=FLOAT)
        path = write_model(tmp_path / "model.onnx", cast, node("MatMul", ["x", "nine"], ["y"], name="product"))
        with pytest.raises(TrackerError) as error:
            build(path, engine_key(path, "tensorrt_rtx", targets=("SM75",)))
        assert_sentence(error.value, path, "TensorRT-RTX", "cannot build it", "'product'", "SM75")

    def test_half_precision_is_in_the_file(self, tmp_path: Path) -> None:
        path = write_half(tmp_path / "half.onnx")
        assert build(path, engine_key(path, "tensorrt_rtx", precision="fp16"))
        with pytest.raises(TrackerError, match=r"half\.onnx: the key says fp32, the model is fp16"):
            build(path, engine_key(path, "tensorrt_rtx"))

    def test_a_uint8_transpose(self, tmp_path: Path) -> None:
        turned = node("Transpose", ["crops"], ["t"], perm=[0, 2, 1, 3], name="turn")
        path = write_model(tmp_path / "model.onnx", turned, node("Cast", ["t"], ["y"], to=FLOAT))
        with pytest.raises(TrackerError) as error:
            build(path, engine_key(path, "tensorrt_rtx"))
        assert_sentence(error.value, path, "refuses node 'turn' (Transpose)", "type UInt8", "export.lint")
        assert "_src" not in str(error.value)

    def test_an_unknown_operator(self, tmp_path: Path) -> None:
        path = write_model(tmp_path / "model.onnx", node("Strange", ["crops"], ["y"], name="odd"))
        with pytest.raises(TrackerError) as error:
            build(path, engine_key(path, "tensorrt_rtx"))
        assert_sentence(error.value, path, "refuses node 'odd' (Strange)", "Plugin not found")

    @pytest.mark.parametrize("content", [b"", b"hello", PACKAGED.read_bytes()[:100_000]], ids=["empty", "text", "cut"])
    def test_a_file_that_is_no_model(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        with pytest.raises(TrackerError) as error:
            build(path, engine_key(path, "tensorrt_rtx"))
        assert_sentence(error.value, path, "cannot read it, expected an ONNX model")

    @pytest.mark.parametrize(
        ("kind", "crops"), [(FLOAT, ("n", 8, 8, 3)), (UINT8, (1, 8, 8, 3)), (UINT8, ("n", 8, 9, 3))]
    )
    def test_another_input(self, tmp_path: Path, kind: int, crops: tuple[Any, ...]) -> None:
        cast = node("Cast", ["crops"], ["y"], to=FLOAT)
        path = write_model(tmp_path / "model.onnx", cast, kind=kind, crops=crops)
        with pytest.raises(TrackerError) as error:
            build(path, engine_key(path, "tensorrt_rtx"))
        assert_sentence(error.value, path, "expected one input, crops", "got crops (")

    def test_a_model_or_a_version_of_another_key(self) -> None:
        key = engine_key(PACKAGED, "tensorrt_rtx")
        with pytest.raises(TrackerError, match="another model; make a new key"):
            build(PACKAGED, dataclasses.replace(key, onnx_sha256="0"))
        with pytest.raises(TrackerError, match=r"the key is for TensorRT-RTX 1\.0, but .* is installed"):
            build(PACKAGED, dataclasses.replace(key, version="1.0"))


class TestMissing:
    def test_whichever_is_there_is_taken(self, monkeypatch: pytest.MonkeyPatch, rtx: Any) -> None:
        monkeypatch.setitem(sys.modules, "tensorrt", None)
        assert engine_key(PACKAGED).flavour == "tensorrt_rtx"

    def test_the_model(self, tmp_path: Path) -> None:
        with pytest.raises(TrackerError, match=r"model\.onnx: cannot read the model: No such file"):
            engine_key(tmp_path / "model.onnx")

    @pytest.mark.parametrize("faces", [(0, 4, 16), (4, 1, 16), (1, 16, 4)])
    def test_a_range_of_faces(self, faces: tuple[int, int, int]) -> None:
        with pytest.raises(TrackerError, match="the smallest, the most frequent and the largest number"):
            engine_key(PACKAGED, faces=faces)


class TestFullTensorRT:
    @pytest.fixture
    def tensorrt(self, monkeypatch: pytest.MonkeyPatch, fake_orin: Callable[..., None]) -> ModuleType:
        module = ModuleType("tensorrt")
        module.__dict__.update(__version__="10.3.0")
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        fake_orin()
        return module

    @pytest.fixture
    def like_rtx(self, tensorrt: ModuleType, rtx: Any) -> ModuleType:
        """TensorRT-RTX under the name of TensorRT."""
        tensorrt.__dict__.update({k: v for k, v in vars(rtx).items() if not k.startswith("__")})
        return tensorrt

    @pytest.mark.usefixtures("tensorrt")
    def test_the_key_names_the_gpu(self) -> None:
        key = engine_key(PACKAGED)
        assert key == EngineKey(
            key.onnx_sha256, "tensorrt", "10.3.0", "12.6", ("sm87",), "Orin (nvgpu)", "fp32", (1, 4, 16)
        )

    @pytest.mark.usefixtures("tensorrt")
    def test_no_gpu(self, fake_orin: Callable[..., None]) -> None:
        fake_orin("CDLL")
        with pytest.raises(TrackerError) as error:
            engine_key(PACKAGED, "tensorrt")
        assert_sentence(error.value, "an NVIDIA GPU", "ask for tensorrt_rtx")

    @pytest.mark.usefixtures("tensorrt")
    def test_a_key_for_another_gpu(self) -> None:
        key = dataclasses.replace(engine_key(PACKAGED, "tensorrt"), gpu="Thor")
        with pytest.raises(TrackerError, match=r"the key is for Thor with CUDA 12\.6, which was not found"):
            build(PACKAGED, key)

    def test_a_builder_without_a_gpu(self, like_rtx: Any) -> None:
        def broken(logger: object) -> None:
            raise TypeError("pybind11::init(): factory function returned nullptr")

        key = engine_key(PACKAGED, "tensorrt")
        like_rtx.Builder = broken
        with pytest.raises(TrackerError) as error:
            build(PACKAGED, key)
        assert_sentence(error.value, "an NVIDIA GPU", "ask for tensorrt_rtx")
        assert "pybind11" not in str(error.value)

    @pytest.mark.parametrize(("kind", "flags"), [("10", 2), ("11", 0)])
    def test_networks_are_strongly_typed(self, like_rtx: Any, rtx: Any, tmp_path: Path, kind: str, flags: int) -> None:
        asked = []

        class Builder:
            def __init__(self, logger: object) -> None:
                self.real = rtx.Builder(logger)

            def __getattr__(self, name: str) -> Any:
                return getattr(self.real, name)

            def create_network(self, flags: int) -> Any:
                asked.append(flags)
                return self.real.create_network(1)

        like_rtx.Builder = Builder
        del like_rtx.NetworkDefinitionCreationFlag
        if kind == "10":
            like_rtx.NetworkDefinitionCreationFlag = SimpleNamespace(EXPLICIT_BATCH=0, STRONGLY_TYPED=1)
        path = write_model(tmp_path / "model.onnx")
        assert build(path, engine_key(path, "tensorrt"))
        assert asked == [flags]

    @pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")
    def test_timings_are_kept(
        self, like_rtx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        path, timings = write_model(tmp_path / "model.onnx"), tmp_path / "gpu.timings"
        key = engine_key(path, "tensorrt")
        assert build(path, key, timings)
        assert timings.is_file()
        assert build(path, key, timings)
        timings.unlink()
        timings.mkdir()
        assert build(path, key, timings)  # an engine is worth more than its timings
        assert "cannot write the timing cache, so the next build will not be faster" in caplog.text

    def test_timings_of_another_gpu_are_left(self, tmp_path: Path) -> None:
        tried = []

        def accepts(cache: bytes, mismatch: bool) -> bool:
            tried.append((cache, mismatch))
            return cache == b"empty"

        (tmp_path / "gpu.timings").write_bytes(b"of another GPU")
        config = SimpleNamespace(create_timing_cache=lambda b: b or b"empty", set_timing_cache=accepts)
        assert export.tensorrt._attach_timings(config, tmp_path / "gpu.timings") == b"empty"
        assert tried == [(b"of another GPU", False), (b"empty", False)]


def make_key(**changes: Any) -> EngineKey:
    key = EngineKey("ab" * 32, "tensorrt_rtx", "1.7.1", "any", ("sm80", "sm86"), "portable", "fp32", FACES)
    return dataclasses.replace(key, **changes)


class TestCache:
    @pytest.fixture(autouse=True)
    def builds(self, monkeypatch: pytest.MonkeyPatch) -> list[EngineKey]:
        """The keys that were built for; the plan of the n-th is b"plan n"."""
        asked: list[EngineKey] = []

        def fake(onnx: Path, key: EngineKey, timings: Path | None = None) -> bytes:
            asked.append(key)
            return b"plan %d" % len(asked)

        monkeypatch.setattr(export.tensorrt, "build", fake)
        return asked

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "deep" / "engines"

    def said(self, caplog: pytest.LogCaptureFixture) -> str:
        """The one sentence in the log."""
        (record,) = caplog.records
        caplog.clear()
        assert record.levelno == logging.WARNING and "\n" not in record.getMessage()
        return record.getMessage()

    def test_the_first_build(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = cached_engine(PACKAGED, folder, make_key())
        assert (path.parent, path.name) == (folder, make_key().file_name())
        assert path.read_bytes() == checked_plan(path, make_key()) == b"plan 1"
        assert folder.stat().st_mode & 0o777 == 0o700
        sidecar = json.loads((folder / f"{path.name}.json").read_text())
        assert sidecar.keys() == {"key", "metadata", "plan_sha256", "size_bytes", "build_s"}
        assert described_plan(path) == (make_key(), OnnxEngine(PACKAGED).spec)
        said = self.said(caplog)
        assert said.startswith(f"no engine of {make_key().builder()} for this model in {folder} yet: building it from")
        assert "trusted" not in said

    def test_a_hit_touches_nothing(self, folder: Path, builds: Any, caplog: pytest.LogCaptureFixture) -> None:
        path = cached_engine(PACKAGED, folder, make_key())
        caplog.clear()
        before = {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in folder.iterdir()}
        assert cached_engine(PACKAGED, folder, make_key()) == path
        assert {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in folder.iterdir()} == before
        assert len(builds) == 1 and not caplog.records

    @pytest.mark.parametrize(
        ("damage", "reason"),
        [
            ("plan", "its SHA-256 is not the one in its sidecar"),
            ("no sidecar", "its sidecar is missing"),
            (b"\xff{", "its sidecar is damaged"),
            (b"[]", "its sidecar is damaged"),
            ({"plan_sha256": "0"}, "its SHA-256 is not the one in its sidecar"),
            ({"key": {"gpu": "Orin"}}, "it was built for another onnx_sha256, flavour"),
        ],
        ids=str,
    )
    def test_what_was_altered_is_built_again(
        self, folder: Path, caplog: pytest.LogCaptureFixture, damage: Any, reason: str
    ) -> None:
        path = cached_engine(PACKAGED, folder, make_key())
        caplog.clear()
        sidecar = folder / f"{path.name}.json"
        if damage == "plan":
            path.write_bytes(b"plan X")
        elif isinstance(damage, str):
            (path if damage == "no plan" else sidecar).unlink()
        elif isinstance(damage, bytes):
            sidecar.write_bytes(damage)
        else:
            sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | damage))
        with pytest.raises(ForeignPlan, match=reason):
            checked_plan(path, make_key())
        assert cached_engine(PACKAGED, folder, make_key()) == path
        assert checked_plan(path, make_key()) == b"plan 2"
        assert reason in self.said(caplog)

    @pytest.mark.parametrize(
        "changes",
        [
            {"onnx_sha256": "cd" * 32},
            {"flavour": "tensorrt"},
            {"version": "1.8"},
            {"cuda": "13.0"},
            {"compute_capabilities": ("sm80",)},
            {"gpu": "Orin"},
            {"precision": "fp16"},
            {"faces": (1, 2, 16)},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_another_key(
        self, folder: Path, builds: Any, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
    ) -> None:
        first, other = cached_engine(PACKAGED, folder, make_key()), make_key(**changes)
        caplog.clear()
        path = cached_engine(PACKAGED, folder, other)
        assert path != first and builds == [make_key(), other]
        assert f"no engine of {other.builder()} for this model" in self.said(caplog)
        with pytest.raises(ForeignPlan, match=f"it was built for another {next(iter(changes))}"):
            checked_plan(first, other)
        first.replace(path)
        first.with_name(f"{first.name}.json").replace(path.with_name(f"{path.name}.json"))
        assert checked_plan(cached_engine(PACKAGED, folder, other), other) == b"plan 3"
        assert f"it was built for another {next(iter(changes))}" in self.said(caplog)

    def test_a_model_without_a_spec(self, folder: Path, tmp_path: Path, builds: Any) -> None:
        with pytest.raises(TrackerError) as error:
            cached_engine(write_model(tmp_path / "model.onnx"), folder, make_key())
        assert_sentence(error.value, tmp_path / "model.onnx", KEY, "found none", "export.run")
        assert builds == [] and os.listdir(folder) == []

    def test_a_failing_build_leaves_nothing(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def failing(*_: object) -> bytes:
            raise TrackerError("cannot build it")

        monkeypatch.setattr(export.tensorrt, "build", failing)
        with pytest.raises(TrackerError, match="cannot build it"):
            cached_engine(PACKAGED, folder, make_key())
        assert os.listdir(folder) == []

    @pytest.mark.parametrize("succeed", [0, 1])
    def test_a_failing_write_leaves_nothing_to_trust(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, succeed: int
    ) -> None:
        """The disk is full at once, or after the plan."""
        left, replace = [None] * succeed, os.replace

        def full(source: Path, target: Path) -> None:
            if not left:
                raise OSError(28, "No space left on device")
            left.pop()
            replace(source, target)

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(TrackerError) as error:
            cached_engine(PACKAGED, folder, make_key())
        assert_sentence(error.value, folder, "cannot write the engine: No space left on device")
        assert os.listdir(folder) == [make_key().file_name()] * succeed
        with pytest.raises(ForeignPlan):
            checked_plan(folder / make_key().file_name(), make_key())

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        for folder in (tmp_path / "file", tmp_path / "file" / "engines"):
            with pytest.raises(TrackerError) as error:
                cached_engine(PACKAGED, folder, make_key())
            assert_sentence(error.value, folder, "cannot keep engines there")

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_cannot_be_written(self, folder: Path) -> None:
        folder.mkdir(parents=True, mode=0o500)
        with pytest.raises(TrackerError, match="cannot write the engine: Permission denied"):
            cached_engine(PACKAGED, folder, make_key())

    @pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX modes")
    def test_a_folder_that_others_can_write(self, folder: Path, builds: Any) -> None:
        path = cached_engine(PACKAGED, folder, make_key())
        folder.chmod(0o770)
        for use in (cached_engine, lambda *_: checked_plan(path, make_key())):
            with pytest.raises(TrackerError, match="others may write there") as error:
                use(PACKAGED, folder, make_key())
            assert not isinstance(error.value, ForeignPlan)
        assert len(builds) == 1


@pytest.mark.usefixtures("rtx")
def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A real engine is built, kept with its spec, and not built twice."""
    path = write_model(tmp_path / "model.onnx")
    spec = ModelSpec(8, "ibug68", 0.5, "cast", "none", {}, "here")
    model = onnx.load(path)
    helper.set_model_props(model, spec.to_metadata())
    onnx.save(model, path)
    monkeypatch.setattr(sys, "argv", ["export.tensorrt", "--model", str(path), "--flavour", "tensorrt_rtx"])
    assert (main(), main()) == (0, 0)
    out, err = capsys.readouterr()
    first, second = out.split()
    assert first == second
    taken = f"took {engine_key(path, 'tensorrt_rtx').builder()}\n"
    assert taken.startswith("took TensorRT-RTX ") and err.count(taken) == 2
    plan, key = Path(first), engine_key(path, "tensorrt_rtx")
    assert len(checked_plan(plan, key)) > 1000
    assert described_plan(plan) == (key, spec)
    assert sorted(os.listdir(plan.parent)) == [plan.name, f"{plan.name}.json"]


def test_says_when_another_flavour_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module that is None stands for TensorRT that is not installed."""
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    key = make_key()
    assert key.flavour == "tensorrt_rtx"
    assert flavour_taken(key, "tensorrt_rtx") == f"took {key.builder()}"
    assert flavour_taken(key, None) == (
        f"took {key.builder()}, because TensorRT is not installed: --flavour tensorrt asks for TensorRT itself, and "
        "says how to install it"
    )


class TestMetadata:
    def test_is_what_onnx_reads(self) -> None:
        expected = {entry.key: entry.value for entry in onnx.load(PACKAGED).metadata_props}
        assert metadata_of(PACKAGED.read_bytes()) == expected and KEY in expected

    @pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 9, b"r\x04\x0a\x02\xff\xff"])
    def test_of_no_model(self, content: bytes) -> None:
        assert metadata_of(content) == {}
