"""The GPU's memory and stream, through PyCUDA: the only file that knows it, imported when an engine is made.

What a TensorRT engine needs of CUDA is the Protocol Cuda, so that tests can put a fake in its place.

PyCUDA has no CUDA graphs (2026.1, as the versions before), so they are asked of the driver's library itself, on
PyCUDA's stream. Where the driver does not give one, the work is enqueued anew at every call, which is slower and gives
the same results.

Not proven so far, for want of a GPU: all of it. The tests hold its calls against a fake driver.
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

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: it waits for nobody's default stream
_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do is not refused meanwhile


@dataclass(frozen=True, eq=False)
class Buffer:
    """An array that host and GPU both have: two memories with copies between them, or one that both see.

    host: the host's, page-locked. address: the GPU's, as a number. memory: what keeps the GPU's alive; None where
    it is the host's own, and nothing is to be copied.
    """

    host: NDArray[Any]
    address: int
    memory: object | None


class Cuda(Protocol):
    """What an engine needs of CUDA. All calls but active come between active's enter and exit, in one thread.

    upload, download and what is launched on the stream are queued in order and return at once.
    """

    @property
    def stream(self) -> int:
        """The handle of the one stream, which is not the default one."""
        ...

    def active(self) -> AbstractContextManager[None]:
        """Makes the GPU the current one. Errors of CUDA leave it as TrackerError."""
        ...

    def buffer(self, shape: tuple[int, ...], dtype: DTypeLike) -> Buffer:
        """A new one of that shape, the host's side zero."""
        ...

    def upload(self, buffer: Buffer) -> None:
        """From the host to the GPU; nothing where they share the memory."""
        ...

    def download(self, buffer: Buffer) -> None:
        """From the GPU to the host; nothing where they share the memory. Read it after synchronise."""
        ...

    def synchronise(self) -> None:
        """Wait until all that was queued is done."""
        ...

    def wait_for(self, stream: int) -> None:
        """Wait until all that was queued on another stream, of this handle, is done."""
        ...

    def load(self, image: bytes, name: str, arguments: str) -> Callable[..., None]:
        """What queues a kernel: called with its grid (x, y, z), its block (x, y, z) and its arguments.

        image: a fatbin that holds the kernel of that name. arguments: their types, as struct's formats: P is an
        address, i an int. Raises TrackerError where the GPU or its driver does not take it.
        """
        ...

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """What queues the same work as the call given, from now on in one step where that can be had.

        The work has run once before; it is called, but not done, to be captured.
        """
        ...


class PyCuda:
    """The first GPU, through PyCUDA and its primary context, which TensorRT uses too.

    For the thread that made it. Raises TrackerError when PyCUDA is missing, or there is no GPU that works.
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
        return int(self._stream.handle)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Pushes the context and pops it, so that the thread is left as it was found."""
        self._context.push()
        try:
            yield
        except self._driver.Error as error:
            raise TrackerError(f"CUDA failed: {error}") from None
        finally:
            self._driver.Context.pop()

    def buffer(self, shape: tuple[int, ...], dtype: DTypeLike) -> Buffer:
        """Page-locked on the host; on a GPU that shares the host's memory, as a Jetson's, mapped and not copied."""
        flags = self._driver.host_alloc_flags.DEVICEMAP if self._shared else 0
        host = self._driver.pagelocked_empty(shape, np.dtype(dtype), mem_flags=flags)
        host.fill(0)
        if self._shared:
            return Buffer(host, int(host.base.get_device_pointer()), None)
        memory = self._driver.mem_alloc(host.nbytes)
        return Buffer(host, int(memory), memory)

    def upload(self, buffer: Buffer) -> None:
        if buffer.memory is not None:
            self._driver.memcpy_htod_async(buffer.address, buffer.host, self._stream)

    def download(self, buffer: Buffer) -> None:
        if buffer.memory is not None:
            self._driver.memcpy_dtoh_async(buffer.host, buffer.address, self._stream)

    def synchronise(self) -> None:
        self._stream.synchronize()

    def wait_for(self, stream: int) -> None:
        """Asked of the driver's library, as PyCUDA takes no stream that it has not made."""
        _check("cuStreamSynchronize", cuda_library().cuStreamSynchronize(ctypes.c_void_p(stream)))

    def load(self, image: bytes, name: str, arguments: str) -> Callable[..., None]:
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
        """As a CUDA graph; the work itself, with a warning in the log, where the driver or TensorRT refuses."""
        try:
            return _Graph(cuda_library(), self.stream, work)
        except (TrackerError, self._driver.Error) as error:
            log.warning("no CUDA graph, so every call is slower: %s", error)
            return work


class _Graph:
    """Work captured on a stream; calling it queues it there. Raises TrackerError where it cannot be captured."""

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
    """pycuda.driver. Raises TrackerError with the command that installs it."""
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
