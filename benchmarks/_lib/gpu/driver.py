"""The runtime's CUDA calls, timed: through PyCUDA, or through NVIDIA's bindings if PyCUDA is not available."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from tracker.engines.tensorrt.cuda import Buffer, Cuda, PyCuda
from tracker.errors import TrackerError

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING
_CTYPES = {"P": ctypes.c_void_p, "i": ctypes.c_int}  # of struct's formats, as Cuda.load has them


class TimedCuda(Cuda, Protocol):
    """The CUDA interface of the runtime, with events."""

    def elapsed_ms(self, work: Callable[[], None]) -> float:
        """Return the milliseconds between an event before the work on the stream and one after it."""
        ...


class TimedPyCuda(PyCuda):
    """The runtime's PyCUDA interface, with events."""

    def elapsed_ms(self, work: Callable[[], None]) -> float:
        first, last = self._driver.Event(), self._driver.Event()
        first.record(self._stream)
        work()
        last.record(self._stream)
        last.synchronize()
        return float(last.time_since(first))


class BoundCuda:
    """The same calls through cuda.bindings.driver, of the package cuda-bindings.

    Raises TrackerError where it is missing, or there is no GPU that works.
    """

    def __init__(self) -> None:
        try:
            self._driver: Any = importlib.import_module("cuda.bindings.driver")
        except ImportError as error:
            raise TrackerError(f"cuda-bindings cannot be imported ({error}); `pip install cuda-bindings`") from None
        try:
            self._call("cuInit", 0)
        except RuntimeError as error:  # TrackerError is none; this says that there is no driver
            raise TrackerError(f"cuda-bindings cannot load NVIDIA's driver ({error})") from None
        device = self._call("cuDeviceGet", 0)
        self._context = self._call("cuDevicePrimaryCtxRetain", device)
        integrated = self._driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_INTEGRATED
        self._shared = bool(self._call("cuDeviceGetAttribute", integrated, device))
        with self.active():
            self._stream = self._call("cuStreamCreate", _NON_BLOCKING)

    @property
    def stream(self) -> int:
        return int(self._stream)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Push the context, and pop it on leaving."""
        self._call("cuCtxPushCurrent", self._context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent")

    def buffer(self, shape: tuple[int, ...], dtype: DTypeLike) -> Buffer:
        """Page-locked on the host; mapped and not copied on a GPU that shares the host's memory."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = int(self._call("cuMemHostAlloc", size, 2 if self._shared else 0))  # CU_MEMHOSTALLOC_DEVICEMAP
        host = np.ctypeslib.as_array((ctypes.c_ubyte * size).from_address(address)).view(dtype).reshape(shape)
        host.fill(0)
        if self._shared:
            return Buffer(host, int(self._call("cuMemHostGetDevicePointer", address, 0)), None)
        memory = self._call("cuMemAlloc", size)
        return Buffer(host, int(memory), memory)

    def upload(self, buffer: Buffer) -> None:
        if buffer.memory is not None:
            source = buffer.host.ctypes.data
            self._call("cuMemcpyHtoDAsync", buffer.memory, source, buffer.host.nbytes, self._stream)

    def download(self, buffer: Buffer) -> None:
        if buffer.memory is not None:
            target = buffer.host.ctypes.data
            self._call("cuMemcpyDtoHAsync", target, buffer.memory, buffer.host.nbytes, self._stream)

    def synchronise(self) -> None:
        self._call("cuStreamSynchronize", self._stream)

    def wait_for(self, stream: int) -> None:
        self._call("cuStreamSynchronize", self._driver.CUstream(stream))

    def load(self, image: bytes, name: str, arguments: str) -> Callable[..., None]:
        module = self._call("cuModuleLoadData", image)
        kernel = self._call("cuModuleGetFunction", module, name.encode())
        types = tuple(_CTYPES[kind] for kind in arguments)

        def queue(grid: tuple[int, int, int], block: tuple[int, int, int], *values: int) -> None:
            self._call("cuLaunchKernel", kernel, *grid, *block, 0, self._stream, (values, types), 0)

        return queue

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Capture work as a CUDA graph; raise TrackerError if that fails."""
        mode = self._driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("cuStreamBeginCapture", self._stream, mode)
        try:
            work()
        except BaseException:
            with contextlib.suppress(TrackerError):
                self._call("cuStreamEndCapture", self._stream)
            raise
        graph = self._call("cuStreamEndCapture", self._stream)
        executable = self._call("cuGraphInstantiate", graph, 0)
        self._call("cuGraphDestroy", graph)
        return lambda: self._call("cuGraphLaunch", executable, self._stream)

    def elapsed_ms(self, work: Callable[[], None]) -> float:
        first, last = self._call("cuEventCreate", 0), self._call("cuEventCreate", 0)
        self._call("cuEventRecord", first, self._stream)
        work()
        self._call("cuEventRecord", last, self._stream)
        self._call("cuEventSynchronize", last)
        return float(self._call("cuEventElapsedTime", first, last))

    def _call(self, name: str, *arguments: Any) -> Any:
        """Return the values of a driver call; raise TrackerError if it failed."""
        result, *found = getattr(self._driver, name)(*arguments)
        if int(result):
            raise TrackerError(f"{name} failed with CUDA's error {int(result)} ({result.name})")
        return found[0] if found else None


def open_cuda() -> tuple[TimedCuda, str, list[str]]:
    """The first of both that works, its name, and why those before it did not.

    Raises TrackerError where neither works.
    """
    reasons: list[str] = []
    makers: dict[str, Callable[[], TimedCuda]] = {"PyCUDA": TimedPyCuda, "cuda-bindings": BoundCuda}
    for name, make in makers.items():
        try:
            return make(), name, reasons
        except TrackerError as error:
            reasons.append(f"{name}: {error}")
    raise TrackerError("; ".join(reasons))
