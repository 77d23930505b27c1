"""PyCUDA is called as its documentation says, and the driver for graphs as CUDA's says, on fakes of both."""

from __future__ import annotations

import logging
import struct
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tracker.engines.tensorrt.cuda import PyCuda
from tracker.errors import TrackerError

BIG = 0x7F00_0000_1234  # a pointer that does not fit in 32 bits


class FakeDriver(ModuleType):
    """Stands for pycuda.driver and for libcuda: notes every call, with the contexts that were pushed then."""

    class Error(Exception):
        pass

    host_alloc_flags = SimpleNamespace(DEVICEMAP=2)
    device_attribute = SimpleNamespace(INTEGRATED=18)

    def __init__(self, integrated: bool = False) -> None:
        super().__init__("pycuda.driver")
        self.integrated = integrated
        self.fails: dict[str, int] = {}
        self.pushed = 0
        self.calls: list[str] = []
        self.capturing = False
        self.Context = SimpleNamespace(pop=self._pop)

    def _note(self, name: str) -> int:
        self.calls.append(name)
        return self.fails.get(name, 0)

    def init(self) -> None:
        if self._note("init"):
            raise self.Error("cuInit failed: no CUDA-capable device is detected")

    def Device(self, number: int) -> Any:  # noqa: N802, as PyCUDA names it
        assert number == 0
        context = SimpleNamespace(push=self._push)
        return SimpleNamespace(
            retain_primary_context=lambda: context, get_attribute={18: int(self.integrated)}.__getitem__
        )

    def _push(self) -> None:
        self.pushed += 1

    def _pop(self) -> None:
        self.pushed -= 1

    def Stream(self, flags: int) -> Any:  # noqa: N802
        assert self.pushed == 1 and flags == 1
        return SimpleNamespace(handle=BIG, synchronize=lambda: self._note("synchronise"))

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: Any, mem_flags: int) -> NDArray[Any]:
        assert self.pushed == 1 and mem_flags == (2 if self.integrated else 0)

        class Locked(np.ndarray[Any, Any]):
            base = SimpleNamespace(get_device_pointer=lambda: BIG + 1)

        return np.full(shape, 9, dtype).view(Locked)

    def mem_alloc(self, size: int) -> int:
        assert self.pushed == 1
        self._note(f"mem_alloc {size}")
        return BIG + 2

    def memcpy_htod_async(self, to: int, source: NDArray[Any], stream: Any) -> None:
        assert to == BIG + 2 and stream.handle == BIG
        self._note("upload")

    def memcpy_dtoh_async(self, to: NDArray[Any], source: int, stream: Any) -> None:
        assert source == BIG + 2 and stream.handle == BIG
        if self._note("download"):
            raise self.Error("cuMemcpyDtoHAsync failed: an illegal memory access was encountered")

    def module_from_buffer(self, image: bytes) -> Any:
        assert self.pushed == 1
        if self._note(f"load {image!r}"):
            raise self.Error("cuModuleLoadDataEx failed: no kernel image is available for execution on the device - \n")
        return SimpleNamespace(get_function=self._function)

    def _function(self, name: str) -> Any:
        def queue(grid: Any, block: Any, stream: Any, *values: int) -> None:
            assert stream.handle == BIG
            self._note(f"{name} {grid} {block} {len(struct.pack(kernel.formats, *values))}")

        def prepare(formats: str) -> Any:
            kernel.formats = formats
            return kernel

        kernel = SimpleNamespace(prepare=prepare, prepared_async_call=queue)
        return kernel

    # libcuda
    def cuStreamSynchronize(self, stream: Any) -> int:  # noqa: N802
        assert stream.value == BIG + 5
        return self._note("wait")

    def cuStreamBeginCapture_v2(self, stream: Any, mode: int) -> int:  # noqa: N802
        assert stream.value == BIG and mode == 1
        failed = self._note("begin")
        self.capturing = not failed
        return failed

    def cuStreamEndCapture(self, stream: Any, graph: Any) -> int:  # noqa: N802
        assert stream.value == BIG
        self.capturing = False
        graph._obj.value = BIG + 3
        return self._note("end")

    def cuGraphInstantiateWithFlags(self, executable: Any, graph: Any, flags: Any) -> int:  # noqa: N802
        assert graph.value == BIG + 3 and flags.value == 0
        executable._obj.value = BIG + 4
        return self._note("instantiate")

    def cuGraphDestroy(self, graph: Any) -> int:  # noqa: N802
        assert graph.value == BIG + 3
        return self._note("destroy graph")

    def cuGraphLaunch(self, executable: Any, stream: Any) -> int:  # noqa: N802
        assert (executable.value, stream.value) == (BIG + 4, BIG)
        return self._note("launch")

    def cuGraphExecDestroy(self, executable: Any) -> int:  # noqa: N802
        assert executable.value == BIG + 4
        return self._note("destroy")


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeDriver]:
    def install(integrated: bool = False) -> FakeDriver:
        driver = FakeDriver(integrated)
        monkeypatch.setitem(sys.modules, "pycuda", ModuleType("pycuda"))
        monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
        monkeypatch.setattr("tracker.engines.tensorrt.cuda.cuda_library", lambda: driver)
        return driver

    return install


class TestMemory:
    def test_copies_between_two(self, make: Callable[..., FakeDriver]) -> None:
        driver = make()
        cuda = PyCuda()
        with cuda.active():
            buffer = cuda.buffer((4, 8, 8, 3), np.uint8)
            cuda.upload(buffer)
            cuda.download(buffer)
            cuda.synchronise()
        assert (buffer.host.shape, buffer.host.dtype, buffer.address) == ((4, 8, 8, 3), np.uint8, BIG + 2)
        assert not buffer.host.any()
        assert driver.calls == ["init", "mem_alloc 768", "upload", "download", "synchronise"]
        assert (driver.pushed, cuda.stream) == (0, BIG)

    def test_one_that_both_see(self, make: Callable[..., FakeDriver]) -> None:
        driver = make(integrated=True)
        cuda = PyCuda()
        with cuda.active():
            buffer = cuda.buffer((4, 2), np.float32)
            cuda.upload(buffer)
            cuda.download(buffer)
        assert buffer.address == BIG + 1 and driver.calls == ["init"]


class TestGraph:
    def capture(self, driver: FakeDriver, cuda: PyCuda) -> Callable[[], None]:
        """Of work that notes whether it was done or captured."""
        with cuda.active():
            return cuda.capture(lambda: driver.calls.append("captured" if driver.capturing else "done"))

    def test_is_captured_once_and_launched(self, make: Callable[..., FakeDriver]) -> None:
        driver = make()
        cuda = PyCuda()
        launch = self.capture(driver, cuda)
        launch()
        launch()
        del launch
        assert driver.calls[1:] == [
            *("begin", "captured", "end", "instantiate", "destroy graph"),
            *("launch", "launch", "destroy"),
        ]

    @pytest.mark.parametrize("call", ["begin", "end", "instantiate"])
    def test_work_is_queued_anew_where_there_is_none(
        self, make: Callable[..., FakeDriver], call: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        driver = make()
        driver.fails[call] = 901
        launch = self.capture(driver, PyCuda())
        (record,) = caplog.records
        assert record.levelno == logging.WARNING and "error 901" in record.getMessage()
        driver.calls.clear()
        launch()
        assert driver.calls == ["done"] and not driver.capturing

    def test_work_that_refuses_to_be_captured(self, make: Callable[..., FakeDriver]) -> None:
        driver = make()
        cuda = PyCuda()

        def work() -> None:
            if driver.capturing:
                raise TrackerError("the engine cannot run")

        with cuda.active():
            assert cuda.capture(work) is work
        assert not driver.capturing

    def test_a_launch_that_fails(self, make: Callable[..., FakeDriver]) -> None:
        driver = make()
        launch = self.capture(driver, PyCuda())
        driver.fails["launch"] = 700
        with pytest.raises(TrackerError, match="cuGraphLaunch failed with CUDA's error 700"):
            launch()


class TestKernel:
    def test_is_queued_on_the_stream(self, make: Callable[..., FakeDriver]) -> None:
        driver = make()
        cuda = PyCuda()
        with cuda.active():
            queue = cuda.load(b"fatbin", "crop", "PPi")
            queue((8, 8, 2), (16, 16, 1), BIG, BIG + 1, 128)
        assert driver.calls[1:] == ["load b'fatbin'", "crop (8, 8, 2) (16, 16, 1) 20"]

    def test_that_is_not_for_this_gpu(self, make: Callable[..., FakeDriver]) -> None:
        driver = make()
        driver.fails["load b'fatbin'"] = 209
        sentence = "^the kernel crop cannot be loaded on this GPU, CUDA says: .*: no kernel image is .* on the device$"
        cuda = PyCuda()
        with pytest.raises(TrackerError, match=sentence), cuda.active():
            cuda.load(b"fatbin", "crop", "PPi")
        assert driver.pushed == 0

    def test_waits_for_another_stream(self, make: Callable[..., FakeDriver]) -> None:
        driver = make()
        cuda = PyCuda()
        with cuda.active():
            cuda.wait_for(BIG + 5)
        assert driver.calls[1:] == ["wait"]
        driver.fails["wait"] = 400
        with pytest.raises(TrackerError, match="cuStreamSynchronize failed with CUDA's error 400"), cuda.active():
            cuda.wait_for(BIG + 5)


class TestFails:
    def test_without_a_gpu(self, make: Callable[..., FakeDriver]) -> None:
        make().fails["init"] = 100
        with pytest.raises(TrackerError, match="needs an NVIDIA GPU and its driver, CUDA says: cuInit failed"):
            PyCuda()

    def test_later_and_leaves_no_context(self, make: Callable[..., FakeDriver]) -> None:
        driver = make()
        cuda = PyCuda()
        driver.fails["download"] = 700
        with pytest.raises(TrackerError, match="CUDA failed: cuMemcpyDtoHAsync failed"), cuda.active():
            cuda.download(cuda.buffer((1,), np.uint8))
        assert driver.pushed == 0

    def test_without_pycuda(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pycuda.driver", None)
        with pytest.raises(TrackerError, match=r"^PyCUDA, which runs TensorRT engines, is .*; `pip install pycuda`"):
            PyCuda()
