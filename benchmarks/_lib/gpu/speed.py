"""Stages "rate", "edge", "hourglass" and "compiled": how fast the card is, and the nets on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks._lib.gpu.crop import upload_frame
from benchmarks._lib.gpu.device import Device, HostCopies
from benchmarks._lib.gpu.driver import open_cuda
from benchmarks._lib.gpu.memory import tensor_of
from benchmarks._lib.gpu.nets import Deployed, edge_graph, hourglass_graph, operations
from benchmarks._lib.gpu.stages import Record, Sizes, Task, share_of_rate
from tracker.engines.onnx import OnnxEngine
from tracker.engines.tensorrt.gpu_crop import VIEW, CropKernel, views_of
from tracker.face.crop import Roi, roi_of_landmarks, warp
from tracker.sources.demo import DemoClip
from tracker.weights.packaged import landmark_model
from train.models.hourglass import Residual

PRODUCTS = 50  # timed, of the matrix product and of the copy
FACES = 6  # views of the demo clip


def measure_rate(task: Task, record: Record) -> None:
    """The card's own speed: a large FP16 matrix product of random numbers, and a large copy.

    Args:
        task: what the stage is given.
        record: gets matrix_tflops and copy_gb_per_s, bytes read and written counted.
    """
    device, side = Device(task.sizes.device), task.sizes.matrix
    a, b = (torch.randn(side, side, device=device.torch).half() for _ in range(2))
    products = torch.empty_like(a)
    ms = device.back_to_back_ms(lambda: torch.matmul(a, b, out=products), PRODUCTS)
    source = torch.randint(0, 256, (64 * side * side // 4,), dtype=torch.uint8, device=device.torch)
    target = torch.empty_like(source)
    copy_ms = device.back_to_back_ms(lambda: target.copy_(source), PRODUCTS)
    record.update(
        device=device.name,
        matrix_tflops=round(2 * side**3 / ms / 1e9, 6),
        copy_gb_per_s=round(2 * source.numel() / copy_ms / 1e6, 2),
        matrix_side=side,
        copy_bytes=source.numel(),
    )


def measure_edge(task: Task, record: Record) -> None:
    """The packaged edge68 in FP16: its landmarks, its times by batch, and a frame on the GPU to landmarks in one graph.

    Args:
        task: what the stage is given.
        record: gets landmarks, an entry for each batch, and frame.
    """
    device, full = Device(task.sizes.device), edge_graph()
    graph = Deployed(full, device)
    engine = OnnxEngine(landmark_model(Path("edge68")))
    record.part("against_onnx_runtime_px", lambda: compare_points(device, graph, engine))
    measure_net(device, graph, operations(full, engine.spec.size), engine.spec.size, task, record)
    record.part("frame_to_landmarks", lambda: measure_frame(graph, engine, task.sizes))


def compare_points(device: Device, graph: Deployed, engine: OnnxEngine) -> dict[str, float]:
    """How far the graph's landmarks are from ONNX Runtime's, in pixels of the crop."""
    crops = demo_crops(engine.spec.size)
    distances = np.linalg.norm(graph_points(device, graph, crops) - engine.run(crops).points_px, axis=2)
    return {"p99": round(float(np.percentile(distances, 99)), 5), "largest": round(float(distances.max()), 5)}


def measure_hourglass(task: Task, record: Record) -> None:
    """The four-stack hourglass in FP16, its weights random.

    Args:
        task: what the stage is given.
        record: gets maps_against_fp32, the relative error of its maps, and an entry for each batch.
    """
    device, full = Device(task.sizes.device), hourglass_graph(task.sizes)
    size = task.sizes.hourglass_px
    crops = random_crops(device, 2, size)
    graph, flops = Deployed(full, device), operations(full, size)

    def compare() -> float:
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            exact = full.to(device.torch).maps(crops)[0]
            return float((graph.maps(crops) - exact).norm() / exact.norm())

    record.part("maps_against_fp32", compare)
    measure_net(device, graph, flops, size, task, record)


def measure_compiled(task: Task, record: Record) -> None:
    """The hourglass once more through torch.compile: its residual blocks first, then the whole net.

    A block is compiled once for each of its shapes, some seconds each; the whole net takes minutes, which there may
    not be.

    Args:
        task: what the stage is given.
        record: gets an entry for each way and batch, the largest batch first.
    """
    device, full = Device(task.sizes.device), hourglass_graph(task.sizes)
    size, batches = task.sizes.hourglass_px, task.sizes.batches[::-1]
    flops = operations(full, size)
    graph = Deployed(full, device)
    crops = random_crops(device, batches[0], size)  # of the batch that is timed first, so that it is compiled once
    with torch.no_grad():
        plain = graph.maps(crops)
    compile_blocks(graph.net, device)

    def compare() -> float:
        with torch.no_grad():
            return float((graph.maps(crops) - plain).float().norm() / plain.float().norm())

    record.part("blocks_against_plain", compare)
    for batch in batches:
        record.part(f"blocks, batch {batch}", partial(_time_whole, graph, device, batch, flops, task))
    if device.is_gpu:  # on a CPU it takes too long for a rehearsal, and shows nothing more
        graph = Deployed(full, device)
        graph.net = torch.compile(graph.net, dynamic=False)  # type: ignore[assignment]
        for batch in batches:
            record.part(f"whole net, batch {batch}", partial(_time_whole, graph, device, batch, flops, task))


def compile_blocks(net: nn.Module, device: Device) -> None:
    """Compile every residual block of the hourglass in place; on a CPU they are traced only."""
    torch._dynamo.config.recompile_limit = 64  # a block has a shape for each level, channels and batch
    how: dict[str, Any] = {} if device.is_gpu else {"backend": "eager"}
    for module in net.modules():
        if isinstance(module, Residual):
            module.compile(dynamic=False, **how)


def _time_whole(graph: Deployed, device: Device, batch: int, flops: int, task: Task) -> dict[str, Any]:
    crops, copies = random_crops(device, batch, task.sizes.hourglass_px), HostCopies(device)
    launch, _ = device.capture(lambda: copies(graph(crops)))
    return _timed(device, launch, batch, flops, task)


def measure_net(device: Device, graph: Deployed, flops: int, size: int, task: Task, record: Record) -> None:
    """Times by batch: the whole graph, its net alone, its decoding alone, and decoding on the host instead.

    Args:
        device: where.
        graph: the net that is measured.
        flops: its operations for one picture.
        size: side of the crops in pixels.
        task: what the stage is given.
        record: gets gflop_per_picture, and an entry for each batch.
    """
    record.update(gflop_per_picture=round(flops / 1e9, 4), parameters=sum(p.numel() for p in graph.net.parameters()))
    for batch in task.sizes.batches:
        record.part(
            f"batch {batch}", partial(_time_parts, device, graph, flops, random_crops(device, batch, size), task)
        )


def _time_parts(device: Device, graph: Deployed, flops: int, crops: Tensor, task: Task) -> dict[str, Any]:
    """Of one batch: the whole graph, its net alone, its decoding alone, and decoding on the host instead."""
    answers, copies = HostCopies(device), HostCopies(device)
    launch, _ = device.capture(lambda: answers(graph(crops)))
    net, (maps,) = device.capture(lambda: [graph.maps(crops)])
    net()
    decoding, _ = device.capture(lambda: graph.decode(maps))
    copying, (host,) = device.capture(lambda: copies([graph.maps(crops)]))

    def on_host() -> None:
        copying()
        device.synchronise()
        with torch.no_grad():
            graph.decode(host)

    timed = _timed(device, launch, len(crops), flops, task)
    calls = task.sizes.calls
    alone, reading = (device.back_to_back_ms(each, calls) for each in (net, decoding))
    timed["net alone, ms"] = round(alone, 4)
    timed["decoding alone, ms"] = round(reading, 4)
    timed["decoding, share of the call"] = round(1 - alone / timed["back to back, ms"], 4)
    timed["maps copied and decoded on the host"] = device.call_ms(on_host, max(1, calls // 10))
    return timed


def _timed(device: Device, launch: Callable[[], None], batch: int, flops: int, task: Task) -> dict[str, Any]:
    """Times of a call, pictures a second, and the share of the card's measured matrix rate."""
    waited = device.call_ms(launch, task.sizes.calls)
    ms = device.back_to_back_ms(launch, task.sizes.calls)
    tflops = flops * batch / ms / 1e9
    found: dict[str, Any] = {**waited, "back to back, ms": round(ms, 4), "pictures/s": round(1000 * batch / ms, 1)}
    return found | share_of_rate(task.output, tflops)


def random_crops(device: Device, count: int, size: int) -> Tensor:
    """(count, size, size, 3) uint8 random pixels on the device; zeros would be faster than pictures are."""
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, device=device.torch)


def demo_crops(size: int) -> NDArray[np.uint8]:
    """(FACES, size, size, 3) views of the demo clip's face."""
    clip = DemoClip()
    places = np.linspace(0, clip.covered.start - 1, FACES).astype(int).tolist()
    views = [roi_of_landmarks(clip.truth_px(i)).crop_from_image(size) for i in places]
    return np.stack([warp(clip.picture(i), view, size) for i, view in zip(places, views)])


def graph_points(device: Device, graph: Deployed, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, K, 2) what the graph on the device answers."""
    given = torch.from_numpy(crops).to(device.torch)
    _, (points, *_) = device.capture(lambda: graph(given))
    device.synchronise()
    return points.cpu().numpy()


def measure_frame(graph: Deployed, engine: OnnxEngine, sizes: Sizes) -> dict[str, Any]:
    """A frame in the GPU's memory to landmarks on the host: crop, net, decoding and copies in one graph.

    Args:
        graph: the deployed edge net.
        engine: the same in ONNX Runtime, for its answers.
        sizes: batches up to 4 are timed.

    Returns:
        Through what the kernel was launched, how far the points are from those of ONNX Runtime in OpenCV's crops,
        and by batch the times of a step, the view's transform included.
    """
    cuda, name, _ = open_cuda()
    clip, size = DemoClip(size=sizes.frame), engine.spec.size
    image, roi = clip.picture(0), roi_of_landmarks(clip.truth_px(0))
    found: dict[str, Any] = {"through": name, "frame": list(sizes.frame)}
    with cuda.active():
        device = Device(sizes.device, cuda.stream)
        frame, kernel = upload_frame(cuda, image), CropKernel(cuda)
        for batch in (batch for batch in sizes.batches if batch <= 4):
            given = cuda.buffer((batch,), VIEW)
            crops = cuda.buffer((batch, size, size, 3), np.uint8)
            tensor, copies = tensor_of(crops, device), HostCopies(device)

            def work() -> Sequence[Tensor]:
                cuda.upload(given)  # noqa: B023
                kernel.queue(given, crops)  # noqa: B023
                if not device.is_gpu:  # a stand-in for CUDA does what was queued only now
                    cuda.synchronise()
                return copies(graph(tensor))  # noqa: B023

            views = [_moved(roi, i).crop_from_image(size) for i in range(batch)]
            given.host[:] = views_of(frame, views, size)
            launch, (points, *_) = device.capture(work)

            def step() -> None:
                given.host[:] = views_of(frame, views, size)  # noqa: B023
                launch()  # noqa: B023

            timed: dict[str, Any] = device.call_ms(step, sizes.calls)
            timed["graph alone, ms"] = round(device.back_to_back_ms(launch, sizes.calls), 4)
            expected = engine.run(np.stack([warp(image, view, size) for view in views])).points_px
            timed["from ONNX Runtime, largest px"] = round(float(np.abs(points.numpy() - expected).max()), 4)
            found[f"batch {batch}"] = timed
    return found


def _moved(roi: Roi, pixels: int) -> Roi:
    return Roi((roi.center_px[0] + pixels, roi.center_px[1]), roi.side_px, roi.rotation_rad)
