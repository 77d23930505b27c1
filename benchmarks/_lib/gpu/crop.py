"""Stage "crop": the crop kernel against OpenCV, and the runtime's buffers, streams, events and CUDA graphs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import partial
from itertools import product
from typing import Any

import cv2
import numpy as np

from benchmarks._lib.gpu.driver import TimedCuda, open_cuda
from benchmarks._lib.gpu.stages import Record, Task
from benchmarks._lib.gpu.timing import WARM_UP_S, time_calls, warm_up
from benchmarks._lib.machine import machine, versions
from tracker.engines.tensorrt.check import GREY_LEVELS, compare_gpu_crops
from tracker.engines.tensorrt.cuda import Buffer
from tracker.engines.tensorrt.gpu_crop import VIEW, CropKernel, views_of
from tracker.face.crop import Roi, warp
from tracker.face.geometry import Array
from tracker.gpu_frame import GpuFrame

PACKAGES = ("torch", "triton", "lightning", "pytorch-lightning", "numpy", "onnxruntime", "pycuda", "cuda-bindings")
SIZE = 128
SIDES_PX = {"enlarged": 90, "shrunk to a third": 400}  # of the view in the frame
GRAPH_LAUNCHES = 20


def card() -> dict[str, Any]:
    """The card, its driver, the toolkit and the packages, as far as they are there."""
    found: dict[str, Any] = {**machine(), **versions(PACKAGES), "opencv": cv2.__version__}
    found["cores of this process"] = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    asked = "name,driver_version,memory.total,power.limit,clocks.max.sm"
    for name, command in {
        "nvidia-smi": ["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader"],
        "nvcc": ["nvcc", "--version"],
    }.items():
        if shutil.which(command[0]):
            found[name] = _said_by(command)
    return found


def _said_by(command: list[str]) -> str:
    """The last line of what a command says; why there is none, where it hangs or cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "".join((done.stdout.strip() or done.stderr.strip()).splitlines()[-1:])


def measure_crop(task: Task, record: Record) -> None:
    """Say what the card is, hold the kernel's crops against OpenCV's, and time both.

    Args:
        task: what the stage is given.
        record: gets card, through, crops, times and graph.
    """
    record.update(card=card())
    cuda, name, refused = open_cuda()
    record.update(through=name, refused=refused, grey_levels_allowed=GREY_LEVELS)
    record.part("crops_against_opencv", lambda: compare_gpu_crops(cuda))
    image = noise(task.sizes.frame)
    with cuda.active():
        record.part("graph", lambda: check_graph(cuda))
        frame, kernel = upload_frame(cuda, image), CropKernel(cuda)
        for batch, (title, side) in product(task.sizes.batches, SIDES_PX.items()):
            views = _views(task.sizes.frame, side, batch)
            timed = partial(_times, cuda, kernel, frame, views, task.sizes.calls)
            record.part(f"{batch} crops of {SIZE} px, {title}", timed)
    for title, side in SIDES_PX.items():
        (view,) = _views(task.sizes.frame, side, 1)
        took = time_calls(partial(warp, image, view, SIZE), task.sizes.calls)
        record.update(**{f"OpenCV, one crop of {SIZE} px, {title}, ms": took["p50_ms"]})


def measure_crop_again(task: Task, record: Record) -> None:
    """The stage once more, where PyCUDA was still being built at first and is there now.

    Args:
        task: what the stage is given.
        record: as that of measure_crop.
    """
    first = task.output / "crop.json"
    if first.exists() and json.loads(first.read_bytes()).get("through") == "PyCUDA":
        record.update(note="the first stage had PyCUDA already")
    else:
        measure_crop(task, record)


def noise(frame: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(H, W, 3) random pixels for a frame of (width, height)."""
    return np.random.default_rng(0).integers(0, 256, (frame[1], frame[0], 3), dtype=np.uint8)


def upload_frame(cuda: TimedCuda, image: np.ndarray[Any, np.dtype[np.uint8]]) -> GpuFrame:
    """The picture (H, W, 3) in the GPU's memory. While cuda is active."""
    buffer = cuda.buffer(image.shape, np.uint8)
    buffer.host[:] = image
    cuda.upload(buffer)
    cuda.synchronise()
    return GpuFrame(buffer.address, image.shape[1], image.shape[0], 3 * image.shape[1], owner=buffer)


def check_graph(cuda: TimedCuda) -> dict[str, Any]:
    """Copies there and back, captured and launched with other bytes each time: whether all came back, and the time."""
    there, spare = cuda.buffer((4096,), np.uint8), cuda.buffer((4096,), np.uint8)
    # The same memory of the GPU into another of the host; on a GPU that shares the host's there is nothing to copy.
    back = there if there.memory is None else Buffer(spare.host, there.address, there.memory)

    def work() -> None:
        cuda.upload(there)
        cuda.download(back)

    work()
    cuda.synchronise()
    launch, rng, lost = cuda.capture(work), np.random.default_rng(0), 0
    for _ in range(GRAPH_LAUNCHES):
        sent = rng.integers(0, 256, there.host.shape, dtype=np.uint8)
        there.host[:] = sent
        launch()
        cuda.synchronise()
        lost += int(not np.array_equal(back.host, sent))
    return {"launches": GRAPH_LAUNCHES, "lost": lost, "ms": cuda.elapsed_ms(launch)}


def _views(frame: tuple[int, int], side_px: float, count: int) -> list[Array]:
    """Transforms to crops of slightly turned views around the middle."""
    x, y = frame[0] / 2, frame[1] / 2
    return [Roi((x + i, y - i), side_px, 0.02 * i).crop_from_image(SIZE) for i in range(count)]


def _times(cuda: TimedCuda, kernel: CropKernel, frame: GpuFrame, views: list[Array], calls: int) -> dict[str, float]:
    """Milliseconds of the kernel alone, by events, and of a call that is waited for, by the host's clock."""
    given = cuda.buffer((len(views),), VIEW)
    crops = cuda.buffer((len(views), SIZE, SIZE, 3), np.uint8)
    given.host[:] = views_of(frame, views, SIZE)
    cuda.upload(given)
    cuda.synchronise()

    def repeated() -> None:
        for _ in range(calls):
            kernel.queue(given, crops)

    def call() -> None:
        given.host[:] = views_of(frame, views, SIZE)
        cuda.upload(given)
        kernel.queue(given, crops)
        cuda.synchronise()

    def waited_for() -> None:
        repeated()
        cuda.synchronise()

    warm_up(waited_for, WARM_UP_S if calls > 1 else 0)
    return {"kernel_ms": round(cuda.elapsed_ms(repeated) / calls, 5), "call_ms": time_calls(call, calls)["p50_ms"]}
