"""A fake of the GPU's memory and stream, and the source of its one kernel compiled for the CPU."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from tracker.engines.tensorrt.cuda import Buffer
from tracker.engines.tensorrt.gpu_crop import FATBIN
from tracker.errors import TrackerError

GARBAGE = 0xAB

# What CUDA gives a kernel, for one thread after the other.
_AS_CUDA = """
#include <math.h>
#define __device__
#define __global__
static struct { unsigned x, y, z; } blockIdx, blockDim, threadIdx;
#include "crop.cu"
extern "C" unsigned long view_bytes() { return sizeof(View); }
extern "C" void launch(const unsigned *grid, const unsigned *block, const View *views, unsigned char *crops, int size) {
    blockDim = {block[0], block[1], block[2]};
    for (unsigned z = 0; z < grid[2]; ++z) for (unsigned y = 0; y < grid[1]; ++y) for (unsigned x = 0; x < grid[0]; ++x)
        for (unsigned j = 0; j < block[1]; ++j) for (unsigned i = 0; i < block[0]; ++i) {
            blockIdx = {x, y, z};
            threadIdx = {i, j, 0};
            crop(views, crops, size);
        }
}
"""


@functools.cache
def crop_on_cpu() -> Any:
    """crop.cu as a library of this CPU: view_bytes(), and launch(grid, block, views, crops, size).

    What C++ leaves undefined, as an int that overflows, ends the process with SIGILL.
    Skips the test where there is no C++ compiler.
    """
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if compiler is None:
        pytest.skip("needs a C++ compiler, to run the crop kernel's source on the CPU")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "crop.so"
        options = ["-O2", "-w", "-ffp-contract=off", "-shared", "-fPIC"]
        traps = ["-fsanitize=undefined,float-cast-overflow", "-fsanitize-undefined-trap-on-error"]
        command = [compiler, *options, *traps, f"-I{FATBIN.parent}", "-xc++", "-", "-o", str(library)]
        subprocess.run(command, input=_AS_CUDA, text=True, check=True)
        return ctypes.CDLL(str(library))


def launch(grid: tuple[int, ...], block: tuple[int, ...], views: int, crops: int, size: int) -> None:
    """The kernel on the CPU, with the addresses that a GPU would get."""
    three = ctypes.c_uint * 3
    crop_on_cpu().launch(three(*grid), three(*block), ctypes.c_void_p(views), ctypes.c_void_p(crops), size)


class FakeCuda:
    """Stands for a GPU's memory and stream: what is queued happens at synchronise, in order, on bytes of its own.

    shared: as on a Jetson, host and GPU see the same memory. graphs: whether work can be captured.
    done: the names of what has happened, one line for each. refuses: why no kernel can be loaded, where that is so.
    """

    stream = 7

    def __init__(self, shared: bool = False, graphs: bool = True) -> None:
        self.shared, self.graphs = shared, graphs
        self.memory: dict[int, NDArray[np.uint8]] = {}
        self.done: list[str] = []
        self.refuses = ""
        self.captured = 0
        self._queue: list[tuple[str, Callable[[], None]]] = []
        self._graph: list[tuple[str, Callable[[], None]]] | None = None
        self._current = False

    @contextmanager
    def active(self) -> Iterator[None]:
        assert not self._current
        self._current = True
        try:
            yield
        finally:
            self._current = False

    def queue(self, name: str, work: Callable[[], None]) -> None:
        assert self._current
        (self._queue if self._graph is None else self._graph).append((name, work))

    def buffer(self, shape: tuple[int, ...], dtype: DTypeLike) -> Buffer:
        assert self._current and self._graph is None
        host = np.zeros(shape, dtype)
        there = bytes_of(host) if self.shared else np.full(host.nbytes, GARBAGE, np.uint8)
        self.memory[address := there.ctypes.data] = there
        return Buffer(host, address, None if self.shared else there)

    def upload(self, buffer: Buffer) -> None:
        if not self.shared:
            self.queue("upload", lambda: np.copyto(self.memory[buffer.address], bytes_of(buffer.host)))

    def download(self, buffer: Buffer) -> None:
        if not self.shared:
            self.queue("download", lambda: np.copyto(bytes_of(buffer.host), self.memory[buffer.address]))

    def synchronise(self) -> None:
        assert self._current and self._graph is None
        for name, work in self._queue:
            work()
            self.done.append(name)
        self._queue.clear()

    def wait_for(self, stream: int) -> None:
        assert self._current
        self.done.append(f"wait for {stream}")

    def load(self, image: bytes, name: str, arguments: str) -> Callable[..., None]:
        """The crop kernel's source on the CPU; the fatbin is only looked at."""
        assert self._current and self._graph is None
        assert (image, name, arguments) == (FATBIN.read_bytes(), "crop", "PPi")
        if self.refuses:
            raise TrackerError(f"the kernel crop cannot be loaded on this GPU, CUDA says: {self.refuses}")

        def queue(grid: Any, block: Any, views: int, crops: int, size: int) -> None:
            assert {views, crops} <= self.memory.keys() and len(grid) == len(block) == 3 and np.prod(block) <= 1024
            self.queue(f"crop {grid[2]}", lambda: launch(grid, block, views, crops, size))

        return queue

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        assert self.done and not self._queue, "the work must have run once, and be done"
        if not self.graphs:
            return work
        self._graph = graph = []
        work()
        self._graph = None
        self.captured += 1

        def launch() -> None:
            for step in graph:
                self.queue(*step)

        return launch


def bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)
