"""The TensorRT engine on a fake GPU: what it asks for is done with ONNX Runtime, on bytes that lie apart.

Nothing here shows that a plan runs; it shows that the right crops go to the right place in the right order, and that
what comes back is handed out. The fakes refuse what a GPU would refuse or get wrong in silence.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tracker.engines.tensorrt.fake_cuda import FakeCuda, bytes_of
from tracker.engines.base import GpuEngine
from tracker.engines.onnx import OnnxEngine
from tracker.engines.spec import OUTPUTS, ModelSpec
from tracker.engines.tensorrt.check import GREY_LEVELS, compare_gpu_crops
from tracker.engines.tensorrt.engine import TensorRtEngine
from tracker.engines.tensorrt.gpu_crop import views_of
from tracker.engines.tensorrt.plan import EngineKey, ForeignPlan, Gpu, write_plan
from tracker.errors import TrackerError
from tracker.face.crop import Roi, warp
from tracker.gpu_frame import GpuFrame

PACKAGED = Path(__file__).parents[4] / "tracker/weights/edge68.onnx"
SIZE = OnnxEngine(PACKAGED).spec.size
ORIN = Gpu("12.6", "sm87", "Orin (nvgpu)")
KEY = EngineKey("ab" * 32, "tensorrt", "10.3.0", ORIN.cuda, (ORIN.capability,), ORIN.name, "fp32", (1, 4, 16))


class FakeRuntime:
    """Stands for TensorRT: one plan deserialises, into an engine that ONNX Runtime computes from the GPU's bytes.

    crops: what each execution was given. Attributes may be set to make it fail.
    """

    plan = b"a plan"
    error = "IRuntime::deserializeCudaEngine: Error Code 6: The engine plan file is not compatible"

    def __init__(self, cuda: FakeCuda, model: OnnxEngine) -> None:
        self.cuda, self.model = cuda, model
        self.crops: list[NDArray[np.uint8]] = []
        self.refuses = ""
        size = model.spec.size
        self.tensors: dict[str, tuple[str, tuple[int, ...]]] = {
            "scores": ("FLOAT", (-1, 68)),
            "crops": ("UINT8", (-1, size, size, 3)),
            "points_px": ("FLOAT", (-1, 68, 2)),
            "covariances_px2": ("FLOAT", (-1, 68, 3)),
        }

    def module(self, name: str, version: str) -> ModuleType:
        """What `import tensorrt` gives."""
        module = ModuleType(name)
        logger = type("ILogger", (), {"ERROR": 1})
        module.__dict__.update(__version__=version, ILogger=logger, Runtime=self._with_logger)
        return module

    def _with_logger(self, logger: Any) -> FakeRuntime:
        self.logger = logger
        return self

    def deserialize_cuda_engine(self, plan: bytes) -> FakeRuntime | None:
        if plan == self.plan:
            return self
        self.logger.log(1, self.error)
        return None

    num_io_tensors = property(lambda self: len(self.tensors))

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=self.tensors[name][0])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name][1]

    def create_runtime_config(self) -> Any:
        return SimpleNamespace(dynamic_shapes_kernel_specialization_strategy="lazy")

    def create_execution_context(self, config: Any = None) -> FakeContext:
        self.config = config
        return FakeContext(self)


class FakeContext:
    """Its execution context: reads and writes nothing but the addresses it was given."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self.runtime = runtime
        self.addresses: dict[str, int] = {}
        self.shape: tuple[int, ...] = ()
        self.profile = -1

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        self.profile = index
        return stream == self.runtime.cuda.stream

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return name == "crops" and shape[0] <= 16 and self.runtime.refuses != "shape"

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return name in self.runtime.tensors

    def execute_async_v3(self, stream: int) -> bool:
        ready = self.profile == 0 and self.shape and self.addresses.keys() == self.runtime.tensors.keys()
        if not ready or stream != self.runtime.cuda.stream or self.runtime.refuses == "run":
            return False
        self.runtime.cuda.queue(f"run {self.shape[0]}", self._compute)
        return True

    def _compute(self) -> None:
        memory = self.runtime.cuda.memory
        crops = memory[self.addresses["crops"]].reshape(self.shape).copy()
        self.runtime.crops.append(crops)
        output = self.runtime.model.run(crops)
        for name in OUTPUTS:
            np.copyto(memory[self.addresses[name]], bytes_of(getattr(output, name)))


@pytest.fixture(scope="module")
def onnx_engine() -> OnnxEngine:
    return OnnxEngine(PACKAGED)


@pytest.fixture(scope="module")
def crops(onnx_engine: OnnxEngine) -> NDArray[np.uint8]:
    """40 different ones."""
    size = onnx_engine.spec.size
    coarse = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(size // 8, axis=1).repeat(size // 8, axis=2)


@pytest.fixture(scope="module")
def expected(onnx_engine: OnnxEngine, crops: NDArray[np.uint8]) -> Any:
    return onnx_engine.run(crops)


class Setup:
    """Installs the fakes, writes a plan, and makes the engine."""

    def __init__(self, folder: Path, spec: ModelSpec, patch: pytest.MonkeyPatch, onnx_engine: OnnxEngine) -> None:
        folder.chmod(0o700)
        self.patch, self.spec, self.model = patch, spec, onnx_engine
        self.path = folder / "model.plan"
        self.gpu(ORIN)
        self.use(FakeCuda())
        self.write(KEY)

    def gpu(self, gpu: Gpu | None) -> None:
        self.patch.setattr("tracker.engines.tensorrt.engine.first_gpu", lambda: gpu)

    def use(self, cuda: FakeCuda) -> None:
        self.cuda = cuda
        self.runtime = FakeRuntime(cuda, self.model)
        self.patch.setitem(sys.modules, "tensorrt", self.runtime.module("tensorrt", "10.3.0"))

    def write(self, key: EngineKey, plan: bytes = FakeRuntime.plan) -> None:
        write_plan(self.path, plan, key, self.spec, 0)

    def engine(self) -> TensorRtEngine:
        engine = TensorRtEngine(self.path, self.cuda)
        self.cuda.done.clear()
        self.runtime.crops.clear()
        return engine

    def refusal(self, *parts: str) -> TrackerError:
        """Of the engine that cannot be made: one sentence with these parts."""
        with pytest.raises(TrackerError) as error:
            self.engine()
        assert "\n" not in str(error.value)
        assert [part for part in parts if part not in str(error.value)] == [], error.value
        return error.value


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, onnx_engine: OnnxEngine) -> Setup:
    return Setup(tmp_path, onnx_engine.spec, monkeypatch, onnx_engine)


def assert_rows(output: Any, expected: Any, rows: slice) -> None:
    for name in OUTPUTS:
        found = getattr(output, name)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, getattr(expected, name)[rows], rtol=1e-3, atol=1e-3, err_msg=name)


class TestRuns:
    @pytest.mark.parametrize(
        ("faces", "buckets"),
        [(1, [1]), (2, [4]), (4, [4]), (5, [16]), (16, [16]), (17, [16, 1]), (40, [16, 16, 16])],
    )
    def test_as_onnx_runtime_does(
        self, setup: Setup, crops: NDArray[np.uint8], expected: Any, faces: int, buckets: list[int]
    ) -> None:
        engine = setup.engine()
        assert_rows(engine.run(crops[:faces]), expected, slice(faces))
        down = ["download"] * 3
        assert setup.cuda.done == [step for bucket in buckets for step in ("upload", f"run {bucket}", *down)]
        given = np.concatenate(setup.runtime.crops)
        assert (given[:faces] == crops[:faces]).all() and not given[faces:].any()

    @pytest.mark.parametrize("kind", [{"shared": True}, {"graphs": False}, {"shared": True, "graphs": False}], ids=str)
    def test_with_other_memory_and_without_graphs(
        self, setup: Setup, crops: NDArray[np.uint8], expected: Any, kind: Any
    ) -> None:
        setup.use(FakeCuda(**kind))
        engine = setup.engine()
        assert_rows(engine.run(crops[:5]), expected, slice(5))
        assert_rows(engine.run(crops[5:7]), expected, slice(5, 7))
        up, down = ([], []) if setup.cuda.shared else (["upload"], ["download"] * 3)
        assert setup.cuda.done == [*up, "run 16", *down, *up, "run 4", *down]

    def test_memory_and_graphs_are_made_once(self, setup: Setup, crops: NDArray[np.uint8], expected: Any) -> None:
        engine = setup.engine()
        made = len(setup.cuda.memory)
        assert (made, setup.cuda.captured) == (3 * 4, 3)
        first = engine.run(crops[:16])
        assert_rows(engine.run(crops[20:25]), expected, slice(20, 25))  # into the buffers that 16 faces were in
        assert not setup.runtime.crops[-1][5:].any()
        assert_rows(first, expected, slice(16))
        assert (len(setup.cuda.memory), setup.cuda.captured) == (made, 3)

    def test_no_faces(self, setup: Setup, crops: NDArray[np.uint8]) -> None:
        output = setup.engine().run(crops[:0])
        assert (output.points_px.shape, output.scores.shape) == ((0, 68, 2), (0, 68))
        assert output.covariances_px2.shape == (0, 68, 3)

    @pytest.mark.parametrize("wrong", ["type", "shape"])
    def test_other_crops_are_refused(self, setup: Setup, crops: NDArray[np.uint8], wrong: str) -> None:
        given: Any = crops[:1].astype(np.float32) if wrong == "type" else crops[:1, :1]
        with pytest.raises(TrackerError, match=rf"expected crops \(N, {SIZE}, {SIZE}, 3\) uint8, got \(1, "):
            setup.engine().run(given)

    def test_the_spec_is_the_models(self, setup: Setup, onnx_engine: OnnxEngine) -> None:
        assert setup.engine().spec == onnx_engine.spec

    def test_a_gpu_that_fails_later(self, setup: Setup, crops: NDArray[np.uint8], expected: Any) -> None:
        setup.use(FakeCuda(graphs=False))
        engine = setup.engine()
        setup.runtime.refuses = "run"
        with pytest.raises(TrackerError, match="the engine for 1 faces cannot run"):
            engine.run(crops[:1])
        setup.runtime.refuses = ""
        assert_rows(engine.run(crops[:1]), expected, slice(1))


class TestFramesOnTheGpu:
    """The kernel's source, compiled for the CPU, makes the crops: of a frame of the host, as if it were the GPU's."""

    IMAGE = np.random.default_rng(1).integers(0, 256, (12, 16, 3), dtype=np.uint8).repeat(20, 0).repeat(20, 1)

    def frame(self, **more: Any) -> GpuFrame:
        return GpuFrame(self.IMAGE.ctypes.data, 320, 240, 960, owner=self.IMAGE, **more)

    def views(self, count: int) -> list[NDArray[np.float64]]:
        return [Roi((40 + 12 * i, 60 + 7 * i), 50 + 15 * i, 0.3 * i).crop_from_image(128) for i in range(count)]

    @pytest.mark.parametrize(("faces", "buckets"), [(1, [1]), (3, [4]), (17, [16, 1])])
    @pytest.mark.parametrize("kind", [{}, {"shared": True}, {"graphs": False}], ids=str)
    def test_are_cropped_there(self, setup: Setup, faces: int, buckets: list[int], kind: Any) -> None:
        setup.use(FakeCuda(**kind))
        engine, views = setup.engine(), self.views(faces)
        for _ in range(2):  # the first makes the graphs
            setup.cuda.done.clear()
            setup.runtime.crops.clear()
            output = engine.run_on(self.frame(), views)
        given = np.concatenate(setup.runtime.crops)
        expected = np.stack([warp(self.IMAGE, view, 128) for view in views])
        assert np.abs(given[:faces].astype(int) - expected).max() <= GREY_LEVELS and not given[faces:].any()
        assert_rows(output, setup.model.run(given), slice(faces))
        up, down = ([], []) if setup.cuda.shared else (["upload"], ["download"] * 3)
        assert setup.cuda.done == [s for n in buckets for s in (*up, f"crop {n}", f"run {n}", *down)]

    def test_take_turns_with_pictures_of_the_host(self, setup: Setup, crops: NDArray[np.uint8], expected: Any) -> None:
        engine, views = setup.engine(), self.views(4)
        first = engine.run_on(self.frame(), views)
        assert_rows(engine.run(crops[:4]), expected, slice(4))
        assert_rows(engine.run_on(self.frame(), views[:2]), first, slice(2))
        assert not setup.runtime.crops[-1][2:].any()

    def test_memory_and_graphs_are_made_at_the_first(self, setup: Setup) -> None:
        engine = setup.engine()
        engine.run_on(self.frame(), self.views(1))
        made = len(setup.cuda.memory), setup.cuda.captured
        assert made == (3 * 4 + 1, 3 + 1)
        engine.run_on(self.frame(), self.views(1))
        assert (len(setup.cuda.memory), setup.cuda.captured) == made

    def test_are_waited_for(self, setup: Setup) -> None:
        engine = setup.engine()
        engine.run_on(self.frame(stream=5), self.views(1))
        assert setup.cuda.done[0] == "wait for 5"

    def test_of_no_view(self, setup: Setup) -> None:
        assert setup.engine().run_on(self.frame(), []).points_px.shape == (0, 68, 2)

    def test_where_the_kernel_cannot_be_loaded(self, setup: Setup, crops: NDArray[np.uint8], expected: Any) -> None:
        engine = setup.engine()
        setup.cuda.refuses = "no kernel image is available for execution on the device"
        with pytest.raises(TrackerError, match=r"no kernel image is available.*; crops on the GPU need"):
            engine.run_on(self.frame(), self.views(1))
        assert_rows(engine.run(crops[:1]), expected, slice(1))

    def test_are_taken_by_this_engine_only(self, setup: Setup) -> None:
        assert isinstance(setup.engine(), GpuEngine) and not isinstance(setup.model, GpuEngine)

    def test_the_doctor_compares_the_landmarks_too(self, setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
        engine = setup.engine()
        compare_gpu_crops(FakeCuda(), engine)
        monkeypatch.setattr("tracker.engines.tensorrt.engine.views_of", lambda *given: views_of(*given)[::-1])
        with pytest.raises(TrackerError, match=r"landmarks in a frame on the GPU are \d+\.\d+ px from those"):
            compare_gpu_crops(FakeCuda(), engine)


class TestRefuses:
    def test_a_plan_that_does_not_deserialise(self, setup: Setup) -> None:
        setup.write(KEY, b"of TensorRT 10.16")
        setup.refusal(str(setup.path), "TensorRT 10.3.0 does not accept it", "is not compatible", "export.tensorrt")

    def test_a_plan_that_was_altered(self, setup: Setup) -> None:
        setup.path.write_bytes(b"another")
        error = setup.refusal("its SHA-256 is not the one in its sidecar", "export.tensorrt")
        assert isinstance(error, ForeignPlan)

    @pytest.mark.parametrize(
        ("change", "what"),
        [({"version": "10.16.0"}, "version"), ({"gpu": "Thor"}, "gpu"), ({"cuda": "13.0"}, "cuda")],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_plan_of_another_machine(self, setup: Setup, change: dict[str, Any], what: str) -> None:
        setup.write(dataclasses.replace(KEY, **change))
        setup.refusal(f"it was built for another {what}", "builds one for this machine")

    def test_a_machine_without_a_gpu(self, setup: Setup) -> None:
        setup.gpu(None)
        setup.refusal(str(setup.path), "needs an NVIDIA GPU and its driver")

    @pytest.mark.parametrize(
        ("name", "tensor"),
        [
            ("points_px", ("FLOAT", (-1, 98, 2))),
            ("crops", ("FLOAT", (-1, SIZE, SIZE, 3))),
            ("crops", ("UINT8", (-1, 3, SIZE, SIZE))),
            ("scores", ("HALF", (-1, 68))),
            ("heatmaps", ("FLOAT", (-1, 68, 32, 32))),
        ],
    )
    def test_other_tensors(self, setup: Setup, name: str, tensor: Any) -> None:
        setup.runtime.tensors[name] = tensor
        setup.refusal(str(setup.path), "its tensors contradict its spec", name)

    @pytest.mark.parametrize(("refuses", "what"), [("shape", "take 1 faces"), ("run", "run")])
    def test_an_engine_that_refuses(self, setup: Setup, refuses: str, what: str) -> None:
        setup.runtime.refuses = refuses
        setup.refusal(f"the engine for 1 faces cannot {what}")

    def test_without_tensorrt(self, setup: Setup) -> None:
        setup.patch.setitem(sys.modules, "tensorrt", None)
        setup.refusal("TensorRT is not installed", "JetPack", "pip install tensorrt")

    def test_without_pycuda(self, setup: Setup) -> None:
        setup.patch.setitem(sys.modules, "pycuda", None)
        with pytest.raises(TrackerError, match=r"^PyCUDA, which runs TensorRT engines, is .*; `pip install pycuda`"):
            TensorRtEngine(setup.path)

    def test_a_runtime_without_a_gpu(self, setup: Setup) -> None:
        def broken(logger: object) -> None:
            raise TypeError("pybind11::init(): factory function returned nullptr")

        sys.modules["tensorrt"].Runtime = broken  # type: ignore[attr-defined]
        setup.refusal("TensorRT finds no NVIDIA GPU")


class TestRtx:
    """TensorRT-RTX compiles for the GPU when the plan is loaded, so one plan is for several GPUs."""

    RTX = EngineKey("ab" * 32, "tensorrt_rtx", "1.7.1", "any", ("sm86", "sm89"), "portable", "fp32", (1, 4, 16))

    @pytest.fixture
    def rtx(self, setup: Setup) -> Setup:
        module = setup.runtime.module("tensorrt_rtx", "1.7.1")
        module.__dict__.update(DynamicShapesKernelSpecializationStrategy=SimpleNamespace(EAGER="eager"))
        setup.patch.setitem(sys.modules, "tensorrt_rtx", module)
        setup.write(self.RTX)
        return setup

    def test_runs_on_a_gpu_it_was_built_for(self, rtx: Setup, crops: NDArray[np.uint8], expected: Any) -> None:
        rtx.gpu(Gpu("13.0", "sm89", "RTX 4090"))
        assert_rows(rtx.engine().run(crops[:2]), expected, slice(2))
        assert rtx.runtime.config.dynamic_shapes_kernel_specialization_strategy == "eager"

    def test_refuses_another(self, rtx: Setup) -> None:
        rtx.gpu(Gpu("13.0", "sm90", "H100"))
        rtx.refusal("built for sm86, sm89, but H100 is sm90", "export.tensorrt")

    def test_the_real_one(self, setup: Setup) -> None:
        """The real package, given bytes that are no plan."""
        trt = pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX", exc_type=ImportError)
        setup.gpu(Gpu("13.0", "sm89", "RTX 4090"))
        setup.write(dataclasses.replace(self.RTX, version=trt.__version__))
        setup.refusal(str(setup.path), f"TensorRT-RTX {trt.__version__} does not accept it")

    def test_has_what_is_called(self) -> None:
        trt = pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX", exc_type=ImportError)
        fakes = {
            "Runtime": ("deserialize_cuda_engine",),
            "ICudaEngine": ("num_io_tensors", "get_tensor_name", "get_tensor_dtype", "get_tensor_shape"),
            "IExecutionContext": [name for name in vars(FakeContext) if not name.startswith("_")],
            "IRuntimeConfig": ("dynamic_shapes_kernel_specialization_strategy",),
            "DynamicShapesKernelSpecializationStrategy": ("EAGER",),
        }
        assert [(c, name) for c, names in fakes.items() for name in names if not hasattr(getattr(trt, c), name)] == []
        assert hasattr(trt.ICudaEngine, "create_runtime_config") and hasattr(trt.DataType, "FLOAT")
