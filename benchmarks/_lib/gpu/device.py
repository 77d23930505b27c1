"""Captures work as a CUDA graph and times it; on a CPU the same calls run the work directly, as a rehearsal."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from benchmarks._lib.gpu.stages import Record, Task
from benchmarks._lib.gpu.timing import WARM_UP_S, time_calls, warm_up

WARM_UP = 3  # before the capture: libraries choose their kernels and allocate their workspaces then


def measure_start(task: Task, record: Record) -> None:
    """Wake the device, so that no other stage pays for that, and show that a forked process can.

    Args:
        task: what the stage is given.
        record: gets name and, on a GPU, memory_gb and capability.
    """
    device = Device(task.sizes.device)
    torch.zeros(1, device=device.torch).add_(1)
    device.synchronise()
    record.update(name=device.name)
    if device.is_gpu:
        found = torch.cuda.get_device_properties(device.torch)
        record.update(memory_gb=round(found.total_memory / 1e9, 1), capability=f"{found.major}.{found.minor}")


class Device:
    """The first GPU, or the CPU in a rehearsal.

    Args:
        name: "cuda" or "cpu".
        stream: the handle of the stream that work is captured and launched on; PyTorch chooses one if None.
    """

    def __init__(self, name: str, stream: int | None = None) -> None:
        self.torch = torch.device(name)
        self.is_gpu = self.torch.type == "cuda"
        self._stream: Any = None
        self._warm_up, self._warm_up_s = (WARM_UP, WARM_UP_S) if self.is_gpu else (1, 0.0)
        if self.is_gpu:
            torch.backends.cudnn.benchmark = True
            made = torch.cuda.Stream() if stream is None else torch.cuda.ExternalStream(stream)  # type: ignore[no-untyped-call]
            self._stream = made

    @property
    def name(self) -> str:
        """The card's."""
        return torch.cuda.get_device_name() if self.is_gpu else "a CPU, as a rehearsal"

    def capture(self, work: Callable[[], Sequence[Tensor]]) -> tuple[Callable[[], None], list[Tensor]]:
        """The work as something to launch, and the tensors that every launch fills.

        Args:
            work: reads tensors that stay where they are, and gives tensors. Called some times.
        """
        if not self.is_gpu:
            with torch.no_grad():
                answer = [tensor.clone() for tensor in work()]

            def repeat() -> None:
                with torch.no_grad():
                    for kept, new in zip(answer, work(), strict=True):
                        kept.copy_(new)

            return repeat, answer
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.no_grad(), torch.cuda.stream(self._stream):
            for _ in range(self._warm_up):
                work()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.no_grad(), _nothing_collected(), torch.cuda.graph(graph, stream=self._stream):
            answer = list(work())
        torch.cuda.synchronize()

        return graph.replay, answer

    def on_stream(self) -> AbstractContextManager[Any]:
        """Makes the stream of the captured work the current one."""
        return torch.cuda.stream(self._stream) if self.is_gpu else nullcontext()

    def synchronise(self) -> None:
        """Wait for the device."""
        if self.is_gpu:
            torch.cuda.synchronize()

    def call_ms(self, launch: Callable[[], None], calls: int) -> dict[str, float]:
        """What one call takes whose answer is waited for, by the host's clock.

        Returns:
            p50_ms, p95_ms and calls.
        """
        with self.on_stream():
            warm_up(self._waited_for(launch), self._warm_up_s)
            return time_calls(self._waited_for(launch), calls)

    def _waited_for(self, launch: Callable[[], object]) -> Callable[[], None]:
        def call() -> None:
            launch()
            self.synchronise()

        return call

    def back_to_back_ms(self, launch: Callable[[], object], calls: int) -> float:
        """Milliseconds a call where the next one is queued before the last is done, by the device's clock."""
        with self.on_stream():
            warm_up(self._waited_for(launch), self._warm_up_s)
            if not self.is_gpu:
                start = time.perf_counter()
                for _ in range(calls):
                    launch()
                return 1000 * (time.perf_counter() - start) / calls
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            first.record()
            for _ in range(calls):
                launch()
            last.record()
            last.synchronize()
            return float(first.elapsed_time(last)) / calls


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keeps Python from collecting cycles meanwhile: what then lets go of a GPU's memory would break the capture."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class HostCopies:
    """Copies tensors into page-locked memory of the host, always the same, so that it can be captured.

    Args:
        device: where they come from.
    """

    def __init__(self, device: Device) -> None:
        self._locked = device.is_gpu
        self._kept: list[Tensor] = []

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Queue the copies, and give the tensors of the host that will hold them."""
        if not self._kept:
            self._kept = [torch.empty(t.shape, dtype=t.dtype, pin_memory=self._locked) for t in tensors]
        for kept, tensor in zip(self._kept, tensors, strict=True):
            kept.copy_(tensor, non_blocking=True)
        return self._kept


class HostConstants(TorchFunctionMode):
    """Keeps on the device what torch.tensor and lists as indices bring there, from the first time on.

    A copy out of ordinary host memory cannot be captured in a CUDA graph. What is captured must run once before under
    the same object.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.tensor:
            return self._constant(args[0], kwargs.get("dtype"), kwargs.get("device"))
        if func is torch.Tensor.__getitem__ and isinstance(args[1], tuple):
            place = tuple(self._constant(i, None, args[0].device) if isinstance(i, list) else i for i in args[1])
            args = (args[0], place)
        return func(*args, **kwargs)

    def _constant(self, value: Any, dtype: torch.dtype | None, device: Any) -> Tensor:
        key = f"{value!r} {dtype} {device}"
        if key not in self._kept:
            self._kept[key] = torch.tensor(value, dtype=dtype, device=device)
        return self._kept[key]
