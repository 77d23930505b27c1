"""The same figures for a TensorRT engine, on any machine that has TensorRT: needs no PyTorch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._lib.gpu.crop import card, noise, upload_frame
from benchmarks._lib.gpu.driver import open_cuda
from benchmarks._lib.gpu.stages import Record, share_of_rate
from benchmarks._lib.gpu.timing import WARM_UP_S, time_calls, warm_up
from tracker.engines.onnx import OnnxEngine
from tracker.engines.tensorrt.engine import TensorRtEngine
from tracker.engines.tensorrt.plan import described_plan, first_gpu
from tracker.errors import TrackerError
from tracker.face.crop import Roi, warp
from tracker.weights.packaged import sha256_of

FRAME = (1280, 720)


def measure_engine(plan: Path, output: Path, model: Path | None = None, calls: int = 200) -> dict[str, Any]:
    """Time a plan for every number of faces it was built for, in crops of the host and of a frame on the GPU.

    Args:
        plan: what export.tensorrt built.
        output: the folder of the results; engine.NAME.json is written there, by the plan's name.
        model: the .onnx file it was built from, whose landmarks and operations it is held against.
        calls: how often each is timed.

    Returns:
        The record. Raises TrackerError for an engine that cannot be run, as without a GPU, or a model that is not the
        plan's.
    """
    key, spec = described_plan(plan)
    if model is not None and sha256_of(model) != key.onnx_sha256:
        raise TrackerError(f"{plan} was built from another model than {model}; name its model with --model")
    if first_gpu() is None:
        raise TrackerError(f"{plan}: timing it needs an NVIDIA GPU and its driver, which were not found")
    cuda, through, refused = open_cuda()
    engine = TensorRtEngine(plan, cuda)
    record = Record(output / f"engine.{plan.stem}.json")
    found: dict[str, Any] = {"card": card(), "plan": plan.name, "builder": key.builder(), "precision": key.precision}
    found |= {"through": through, "refused": refused}
    reference = OnnxEngine(model) if model is not None else None
    flops = operations_in(model) if model is not None else None
    with cuda.active():
        frame = upload_frame(cuda, noise(FRAME))
    for faces in sorted(set(key.faces)):
        rois = [Roi((FRAME[0] / 2 + 5 * i, FRAME[1] / 2), 200 + 20 * i, 0.1 * i) for i in range(faces)]
        views = [roi.crop_from_image(spec.size) for roi in rois]
        crops = np.stack([warp(noise(FRAME), view, spec.size) for view in views])
        timed = _timed(lambda crops=crops: engine.run(crops), calls)  # type: ignore[misc]
        timed["pictures/s"] = round(1000 * faces / timed["p50_ms"], 1)
        if flops is not None:
            timed |= share_of_rate(output, flops * faces / timed["p50_ms"] / 1e9)
        timed["frame on the GPU"] = _timed(lambda views=views: engine.run_on(frame, views), calls)  # type: ignore[misc]
        if reference is not None:
            apart = np.linalg.norm(engine.run(crops).points_px - reference.run(crops).points_px, axis=2)
            timed["from ONNX Runtime, p99 px"] = round(float(np.percentile(apart, 99)), 5)
        found[f"batch {faces}"] = timed
        record.update(**found)
    record.update(state="done")
    return found


def _timed(call: Callable[[], Any], calls: int) -> dict[str, Any]:
    """Of a call that is waited for, the card warm."""
    warm_up(call, WARM_UP_S)
    return time_calls(call, calls)


def operations_in(model: Path) -> int | None:
    """Multiplications and additions of an .onnx file's convolutions for one picture; None without the package onnx."""
    try:
        onnx = importlib.import_module("onnx")
    except ImportError:
        return None
    graph = onnx.shape_inference.infer_shapes(onnx.load(str(model))).graph
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    shapes: Mapping[str, Any] = {info.name: info.type.tensor_type.shape.dim for info in graph.value_info}
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            height, width = (dim.dim_value for dim in shapes[node.output[0]][2:])
            total += 2 * int(np.prod(weights[node.input[1]])) * height * width
    return total
