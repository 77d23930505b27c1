"""Memory and stream of the GPU, through PyCUDA. No other file uses PyCUDA; it is imported when an engine is made.

The protocol Cuda has everything that a TensorRT engine needs of CUDA, so that tests can replace it by a fake.

PyCUDA has no CUDA graphs (as of 2026.1), so they are made by calls to the driver's library, on PyCUDA's stream. If the
driver does not support them, the work is enqueued again in each call, which is slower and has the same results.

Not proven so far, because no GPU was available: all of it. The tests check its calls with a fake driver.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tracker.engines.tensorrt.plan import cuda_library, short_reason, why_absent
from tracker.errors import TrackerError

log = logging.getLogger(__name__)

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: not synchronised with default streams
_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: does not restrict other threads during the capture


@dataclass(frozen=True, eq=False)
class Buffer:
    """An array in host memory and in GPU memory, which may be the same memory.

    Attributes:
        host: the array in host memory, page-locked.
        address: address in GPU memory.
        memory: keeps the GPU memory alive; None if it is the host memory, so that nothing has to be copied.
    """

    host: NDArray[Any]
    address: int
    memory: object | None


class Cuda(Protocol):
    """The functions of CUDA that an engine needs. Call them in one thread and, except active, within `with active():`.

    upload, download and kernels are queued on the stream in order, and return immediately.
    """

    @property
    def stream(self) -> int:
        """The handle of the stream, which is not the default stream."""
        ...

    def active(self) -> AbstractContextManager[None]:
        """Return a context manager that makes the GPU current, and turns errors of CUDA into TrackerError."""
        ...

    def buffer(self, shape: tuple[int, ...], dtype: DTypeLike) -> Buffer:
        """Allocate a buffer; the host's side is zero.

        Args:
            shape: of the array.
            dtype: of its elements.

        Returns:
            The buffer.
        """
        ...

    def upload(self, buffer: Buffer) -> None:
        """Copy a buffer from the host to the GPU, unless they share the memory.

        Args:
            buffer: the buffer.
        """
        ...

    def download(self, buffer: Buffer) -> None:
        """Copy a buffer from the GPU to the host, unless they share the memory. Read it after synchronise.

        Args:
            buffer: the buffer.
        """
        ...

    def synchronise(self) -> None:
        """Wait until all queued work is done."""
        ...

    def wait_for(self, stream: int) -> None:
        """Wait until all work on another stream is done.

        Args:
            stream: handle of that stream.
        """
        ...

    def load(self, image: bytes, name: str, arguments: str) -> Callable[..., None]:
        """Load a kernel.

        Args:
            image: a fatbin with the kernel.
            name: of the kernel.
            arguments: types of its arguments, as formats of struct: P is an address, i an int.

        Returns:
            A function that queues the kernel, called with its grid (x, y, z), its block (x, y, z) and its arguments.

        Raises:
            TrackerError: the GPU or its driver does not accept the kernel.
        """
        ...

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Capture work on the stream, to queue it in one step afterwards.

        Args:
            work: queues the work; it must have run once before. It is called here, but the work is only captured.

        Returns:
            A function that queues the same work; in one step if the driver supports that.
        """
        ...


class PyCuda:
    """The first GPU, through PyCUDA and the primary context, which TensorRT uses, too.

    Use it only in the thread that made it. The methods are described in Cuda.

    Raises:
        TrackerError: PyCUDA is not installed, or there is no working GPU.
    """

    def __init__(self) -> None:
        self._driver = load_pycuda()
        try:
            self._driver.init()
            device = self._driver.Device(0)
            self._context = device.retain_primary_context()
            self._shared = bool(device.get_attribute(self._driver.device_attribute.INTEGRATED))
        except self._driver.Error as error:
            raise TrackerError(f"an engine needs an NVIDIA GPU and its driver, CUDA says: {error}") from None
        with self.active():
            self._stream = self._driver.Stream(_NON_BLOCKING)

    @property
    def stream(self) -> int:
        """The handle of the stream."""
        return int(self._stream.handle)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Push the context and pop it at the end, so that the thread's current context is restored."""
        self._context.push()
        try:
            yield
        except self._driver.Error as error:
            raise TrackerError(f"CUDA failed: {error}") from None
        finally:
            self._driver.Context.pop()

    def buffer(self, shape: tuple[int, ...], dtype: DTypeLike) -> Buffer:
        """Allocate page-locked host memory; if the GPU shares it, as on a Jetson, it is mapped and not copied."""
        flags = self._driver.host_alloc_flags.DEVICEMAP if self._shared else 0
        host = self._driver.pagelocked_empty(shape, np.dtype(dtype), mem_flags=flags)
        host.fill(0)
        if self._shared:
            return Buffer(host, int(host.base.get_device_pointer()), None)
        memory = self._driver.mem_alloc(host.nbytes)
        return Buffer(host, int(memory), memory)

    def upload(self, buffer: Buffer) -> None:
        """Copy a buffer to the GPU, see Cuda.upload."""
        if buffer.memory is not None:
            self._driver.memcpy_htod_async(buffer.address, buffer.host, self._stream)

    def download(self, buffer: Buffer) -> None:
        """Copy a buffer to the host, see Cuda.download."""
        if buffer.memory is not None:
            self._driver.memcpy_dtoh_async(buffer.host, buffer.address, self._stream)

    def synchronise(self) -> None:
        """Wait until all queued work is done."""
        self._stream.synchronize()

    def wait_for(self, stream: int) -> None:
        """Wait for another stream by the driver's library, because PyCUDA accepts only its own streams."""
        _check("cuStreamSynchronize", cuda_library().cuStreamSynchronize(ctypes.c_void_p(stream)))

    def load(self, image: bytes, name: str, arguments: str) -> Callable[..., None]:
        """Load a kernel, see Cuda.load."""
        try:
            module = self._driver.module_from_buffer(image)
            kernel = module.get_function(name).prepare(arguments)
        except self._driver.Error as error:
            reason = short_reason([str(error)]).rstrip(" -")
            raise TrackerError(f"the kernel {name} cannot be loaded on this GPU, CUDA says: {reason}") from None

        def queue(grid: tuple[int, int, int], block: tuple[int, int, int], *values: int) -> None:
            kernel.prepared_async_call(grid, block, self._stream, *values)

        return queue

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Capture a CUDA graph; if the driver or TensorRT refuses, log a warning and return the work itself."""
        try:
            return _Graph(cuda_library(), self.stream, work)
        except (TrackerError, self._driver.Error) as error:
            log.warning("no CUDA graph, so every call is slower: %s", error)
            return work


class _Graph:
    """Work captured on a stream; a call queues it there. Raises TrackerError if it cannot be captured."""

    def __init__(self, driver: Any, stream: int, work: Callable[[], None]) -> None:
        self._driver = driver
        self._stream = ctypes.c_void_p(stream)
        self._executable = ctypes.c_void_p()
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        _check("cuStreamBeginCapture", driver.cuStreamBeginCapture_v2(self._stream, _THREAD_LOCAL))
        try:
            work()
        finally:
            ended = driver.cuStreamEndCapture(self._stream, ctypes.byref(graph))
        _check("cuStreamEndCapture", ended)
        made = driver.cuGraphInstantiateWithFlags(ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
        driver.cuGraphDestroy(graph)
        _check("cuGraphInstantiate", made)
        self._executable = executable

    def __call__(self) -> None:
        _check("cuGraphLaunch", self._driver.cuGraphLaunch(self._executable, self._stream))

    def __del__(self) -> None:
        if self._executable:
            self._driver.cuGraphExecDestroy(self._executable)


def load_pycuda() -> Any:
    """Import pycuda.driver.

    Raises:
        TrackerError: it cannot be imported; the message has the command that installs it.
    """
    try:
        return importlib.import_module("pycuda.driver")
    except (ImportError, OSError) as error:
        raise TrackerError(
            f"PyCUDA, which runs TensorRT engines, is {why_absent('pycuda', error)}; "
            "`pip install pycuda` builds it, with CUDA's nvcc on the PATH"
        ) from None


def _check(call: str, result: int) -> None:
    if result:
        raise TrackerError(f"{call} failed with CUDA's error {result}")
