"""Landmark models as TensorRT or TensorRT-RTX engines, on the first GPU.

Every number of faces that a plan was built for has an execution context, buffers and a CUDA graph of its own, made
once: shapes and addresses never change afterwards, and a call copies crops in, launches one graph, and copies a few
numbers out. The contexts share the plan's one optimisation profile, which TensorRT allows from version 10 on.
For frames that are on the GPU there is a second graph, made at the first of them, which begins with the crop.

Not proven so far, for want of a GPU: that any plan runs. The tests put a fake in the place of TensorRT and CUDA, which
does what was asked of it with ONNX Runtime.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.engines.base import EngineOutput
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
    """A plan that export built, with its sidecar beside it.

    plan: its file. cuda: the GPU's memory and stream; the first GPU's, through PyCUDA, if None.

    Takes some seconds, as every graph is captured here. For the thread that made it. Raises TrackerError for a
    package or a GPU that is missing, a plan that was altered or is for another machine or version, and tensors that
    contradict the model's spec.
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
        """Landmarks of RGB crops (N, S, S, 3), uint8.

        They go into the smallest bucket that holds them, in parts where none does. Raises ValueError for crops of
        another shape or type, TrackerError where the GPU fails.
        """
        size = self.spec.size
        if crops.shape[1:] != (size, size, 3) or crops.dtype != np.uint8:
            raise ValueError(f"expected crops (N, {size}, {size}, 3) uint8, got {crops.shape} {crops.dtype}")
        return self._in_parts(crops, _Bucket.run)

    def run_on(self, frame: GpuFrame, crops_from_image: Sequence[Array]) -> EngineOutput:
        """Landmarks of the views of a frame that lies on the GPU: (2, 3) transforms, as Roi.crop_from_image gives them.

        Nothing crosses to the GPU but the transforms, and nothing back but the landmarks. The frame may be reused
        afterwards. The first call for each bucket takes longer, as its graph is made then. Raises TrackerError where
        the GPU fails, or cannot run the kernel that makes the crops.
        """
        views = views_of(frame, crops_from_image, self.spec.size)
        with self._cuda.active():
            if frame.stream is not None:
                self._cuda.wait_for(frame.stream)
            kernel = self._kernel = self._kernel or CropKernel(self._cuda)
        return self._in_parts(views, lambda bucket, part: bucket.run_on(part, kernel))

    def _in_parts(self, given: NDArray[Any], run: Callable[[_Bucket, NDArray[Any]], _Outputs]) -> EngineOutput:
        """What is given, in the buckets that it fits in: the smallest that holds it, in parts where none does."""
        most = self._buckets[-1].faces
        parts = [given[start : start + most] for start in range(0, max(len(given), 1), most)]
        with self._cuda.active():
            outputs = [run(next(b for b in self._buckets if b.faces >= len(part)), part) for part in parts]
        return EngineOutput(*map(np.concatenate, zip(*outputs)))


class _Bucket:
    """One execution context with one number of faces, its shapes and addresses fixed, and its work as one graph."""

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
        """The OUTPUTS of at most as many crops as the bucket holds."""
        return self._run(self._buffers[INPUT], crops, self._launch)

    def run_on(self, views: NDArray[np.void], kernel: CropKernel) -> _Outputs:
        """The OUTPUTS of at most as many views of a frame, VIEW, as the bucket holds."""
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
        """The views' buffer, and what makes the crops from it and goes on as for crops of the host."""
        views = self._cuda.buffer((self.faces,), VIEW)

        def crop() -> None:
            self._cuda.upload(views)
            kernel.queue(views, self._buffers[INPUT])

        return views, self._captured(crop)

    def _captured(self, bring_crops: Callable[[], None]) -> Callable[[], None]:
        """What brings the crops, runs the engine and fetches its outputs, as a graph.

        Done once before it is captured: TensorRT prepares itself for new shapes in the first run.
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
    """The key that the plan must have to be run on this machine: that of the package and the GPU that are here."""
    gpu = first_gpu()
    if gpu is None:
        raise TrackerError(f"{plan}: running it needs an NVIDIA GPU and its driver, and there is none")
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
        raise TrackerError(f"{plan}: {key.builder()} does not take it ({short_reason(lines)}); {_REBUILD}")
    return engine


def _context(trt: Any, engine: Any) -> Any:
    """An execution context. TensorRT-RTX compiles for the GPU now, not while faces wait, nor after the capture."""
    if hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):
        config = engine.create_runtime_config()
        config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        return engine.create_execution_context(config)
    return engine.create_execution_context()


def _tensors(spec: ModelSpec) -> dict[str, tuple[str, tuple[int, ...]]]:
    """TensorRT's name for the type, and the shape for one face, of all that goes in and out."""
    return {name: ("UINT8" if name == INPUT else "FLOAT", shape) for name, shape in spec.shapes().items()}


def _check_tensors(engine: Any, spec: ModelSpec, plan: Path) -> None:
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    found = {name: (engine.get_tensor_dtype(name).name, tuple(engine.get_tensor_shape(name))[1:]) for name in names}
    if found != _tensors(spec):
        raise TrackerError(f"{plan}: its tensors contradict its spec; expected {_tensors(spec)}, got {found}")
