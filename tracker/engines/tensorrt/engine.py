"""Runs landmark models as TensorRT or TensorRT-RTX engines, on the first GPU.

Each number of faces that a plan was built for is a "bucket": an execution context, buffers and a CUDA graph, made once.
Shapes and addresses do not change afterwards, and a call copies crops to the GPU, launches one graph, and copies the
results back. The contexts share the plan's single optimisation profile, which TensorRT allows since version 10.
For frames on the GPU there is a second graph, made at the first of them, which begins with the crop.

Not proven so far, because no GPU was available: that a plan runs. The tests replace TensorRT and CUDA by a fake that
computes with ONNX Runtime.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.engines.base import EngineOutput, expect_crops
from tracker.engines.spec import INPUT, OUTPUTS, ModelSpec
from tracker.engines.tensorrt.cuda import Buffer, Cuda, PyCuda
from tracker.engines.tensorrt.gpu_crop import VIEW, CropKernel, views_of
from tracker.engines.tensorrt.plan import (
    TITLES,
    EngineKey,
    ForeignPlan,
    checked_plan,
    complaints,
    described_plan,
    first_gpu,
    load_tensorrt,
    short_reason,
)
from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.gpu_frame import GpuFrame

_Outputs = list[NDArray[np.float32]]
_NUMPY = {"UINT8": np.uint8, "FLOAT": np.float32}
_REBUILD = "`python -m export.tensorrt` builds one for this machine"


class TensorRtEngine:
    """A plan that export built. Use it only in the thread that made it.

    Making it takes some seconds, because all graphs are captured.

    Args:
        plan: file of the plan, with its sidecar file in the same folder.
        cuda: memory and stream of the GPU; by default those of the first GPU, through PyCUDA.

    Attributes:
        path: of the plan.
        spec: what the model expects and what its outputs mean.

    Raises:
        TrackerError: a package or the GPU is missing, the plan was changed or is for another machine or version, or
            its tensors contradict the spec.
    """

    def __init__(self, plan: Path, cuda: Cuda | None = None) -> None:
        self.path = plan
        key, self.spec = described_plan(plan)
        trt, _ = load_tensorrt(key.flavour)
        try:
            content = checked_plan(plan, _key_here(key, trt, plan))
        except ForeignPlan as error:
            raise ForeignPlan(f"{error}; {_REBUILD}") from None
        self._cuda = cuda or PyCuda()
        with self._cuda.active():
            self._engine = _deserialise(trt, content, plan, key)
            _check_tensors(self._engine, self.spec, plan)
            self._kernel: CropKernel | None = None
            self._buckets = [_Bucket(trt, self._engine, self._cuda, n, self.spec) for n in sorted(set(key.faces))]

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        """Compute the landmarks of crops (N, S, S, 3), in the smallest bucket that is large enough or in several calls.

        See Engine.run.

        Raises:
            TrackerError: the crops have another shape or type, or the GPU fails.
        """
        expect_crops(crops, self.spec.size)
        return self._in_parts(crops, _Bucket.run)

    def run_on(self, frame: GpuFrame, crops_from_image: Sequence[Array]) -> EngineOutput:
        """Crop a frame on the GPU and compute the landmarks of the crops.

        Only the transforms are copied to the GPU, and only the landmarks are copied back. The frame may be reused
        afterwards. The first call for each bucket takes longer, because its graph is made then. See GpuEngine.run_on.

        Raises:
            TrackerError: the GPU fails, or cannot run the crop kernel.
        """
        views = views_of(frame, crops_from_image, self.spec.size)
        with self._cuda.active():
            if frame.stream is not None:
                self._cuda.wait_for(frame.stream)
            kernel = self._kernel = self._kernel or CropKernel(self._cuda)
        return self._in_parts(views, lambda bucket, part: bucket.run_on(part, kernel))

    def _in_parts(self, given: NDArray[Any], run: Callable[[_Bucket, NDArray[Any]], _Outputs]) -> EngineOutput:
        """Run in the smallest bucket that is large enough, or in several calls if none is."""
        most = self._buckets[-1].faces
        parts = [given[start : start + most] for start in range(0, max(len(given), 1), most)]
        with self._cuda.active():
            outputs = [run(next(b for b in self._buckets if b.faces >= len(part)), part) for part in parts]
        return EngineOutput(*map(np.concatenate, zip(*outputs)))


class _Bucket:
    """An execution context for one number of faces, with fixed shapes and addresses, and its work as one graph."""

    def __init__(self, trt: Any, engine: Any, cuda: Cuda, faces: int, spec: ModelSpec) -> None:
        self.faces = faces
        self._cuda = cuda
        self._complaints = complaints(trt)[1]
        self._context = _context(trt, engine)
        self._must(self._context.set_optimization_profile_async(0, cuda.stream), "take its profile")
        tensors = _tensors(spec)
        self._buffers: dict[str, Buffer] = {}
        for name, (kind, shape) in tensors.items():
            self._buffers[name] = cuda.buffer((faces, *shape), _NUMPY[kind])
            self._must(self._context.set_tensor_address(name, self._buffers[name].address), f"take {name}")
        self._must(self._context.set_input_shape(INPUT, (faces, *tensors[INPUT][1])), f"take {faces} faces")
        self._launch = self._captured(lambda: cuda.upload(self._buffers[INPUT]))
        self._on_gpu: tuple[Buffer, Callable[[], None]] | None = None

    def run(self, crops: NDArray[np.uint8]) -> _Outputs:
        """Return the OUTPUTS of crops, at most as many as the bucket's number of faces."""
        return self._run(self._buffers[INPUT], crops, self._launch)

    def run_on(self, views: NDArray[np.void], kernel: CropKernel) -> _Outputs:
        """Return the OUTPUTS of views of a frame, at most as many as the bucket's number of faces."""
        if self._on_gpu is None:
            self._on_gpu = self._with_crop(kernel)
        buffer, launch = self._on_gpu
        return self._run(buffer, views, launch)

    def _run(self, buffer: Buffer, given: NDArray[Any], launch: Callable[[], None]) -> _Outputs:
        buffer.host[: len(given)] = given
        buffer.host[len(given) :] = np.zeros((), buffer.host.dtype)
        launch()
        self._cuda.synchronise()
        return [self._buffers[name].host[: len(given)].copy() for name in OUTPUTS]

    def _with_crop(self, kernel: CropKernel) -> tuple[Buffer, Callable[[], None]]:
        """Return the buffer of views, and the graph that makes the crops from it and runs the engine on them."""
        views = self._cuda.buffer((self.faces,), VIEW)

        def crop() -> None:
            self._cuda.upload(views)
            kernel.queue(views, self._buffers[INPUT])

        return views, self._captured(crop)

    def _captured(self, bring_crops: Callable[[], None]) -> Callable[[], None]:
        """Capture a graph that makes the crops, runs the engine and downloads its outputs.

        The work is run once before the capture, because TensorRT initialises new shapes in the first run.
        """

        def work() -> None:
            bring_crops()
            self._must(self._context.execute_async_v3(self._cuda.stream), "run")
            for name in OUTPUTS:
                self._cuda.download(self._buffers[name])

        work()
        self._cuda.synchronise()
        return self._cuda.capture(work)

    def _must(self, done: bool, what: str) -> None:
        if not done:
            raise TrackerError(f"the engine for {self.faces} faces cannot {what}: {short_reason(self._complaints)}")


def _key_here(key: EngineKey, trt: Any, plan: Path) -> EngineKey:
    """Return the key that the plan must have on this machine, with its package and its GPU."""
    gpu = first_gpu()
    if gpu is None:
        raise TrackerError(f"{plan}: running it needs an NVIDIA GPU and its driver, which were not found")
    if key.flavour == "tensorrt":
        key = dataclasses.replace(key, cuda=gpu.cuda, compute_capabilities=(gpu.capability,), gpu=gpu.name)
    elif gpu.capability not in key.compute_capabilities:
        built = ", ".join(key.compute_capabilities)
        raise ForeignPlan(f"{plan}: built for {built}, but {gpu.name} is {gpu.capability}; {_REBUILD}")
    return dataclasses.replace(key, version=trt.__version__)


def _deserialise(trt: Any, content: bytes, plan: Path, key: EngineKey) -> Any:
    logger, lines = complaints(trt)
    lines.clear()
    try:
        engine = trt.Runtime(logger).deserialize_cuda_engine(content)
    except TypeError:  # pybind11::init(): factory function returned nullptr
        raise TrackerError(f"{TITLES[key.flavour]} finds no NVIDIA GPU and driver that it can use") from None
    if engine is None:
        raise TrackerError(f"{plan}: {key.builder()} does not accept it ({short_reason(lines)}); {_REBUILD}")
    return engine


def _context(trt: Any, engine: Any) -> Any:
    """Create an execution context. TensorRT-RTX compiles for the GPU now, rather than in the first calls."""
    if hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):
        config = engine.create_runtime_config()
        config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        return engine.create_execution_context(config)
    return engine.create_execution_context()


def _tensors(spec: ModelSpec) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return TensorRT's type name and the shape for one face of each input and output, by name."""
    return {name: ("UINT8" if name == INPUT else "FLOAT", shape) for name, shape in spec.shapes().items()}


def _check_tensors(engine: Any, spec: ModelSpec, plan: Path) -> None:
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    found = {name: (engine.get_tensor_dtype(name).name, tuple(engine.get_tensor_shape(name))[1:]) for name in names}
    if found != _tensors(spec):
        raise TrackerError(f"{plan}: its tensors contradict its spec; expected {_tensors(spec)}, got {found}")
