"""python -m benchmarks.decode: times decoding inside the graph against decoding in NumPy."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.utils import Extractor

from benchmarks._lib.machine import machine, versions
from benchmarks._lib.reports import check_report, write_report
from tracker.cli.command import run_command
from tracker.engines.base import EngineOutput
from tracker.engines.heatmaps import HeatmapDecoder, decode_heatmaps
from tracker.engines.onnx import OnnxEngine
from tracker.engines.spec import OUTPUTS
from tracker.errors import TrackerError
from tracker.system.onnx_runtime import import_onnxruntime
from tracker.weights.packaged import landmark_model

if TYPE_CHECKING:
    import onnxruntime

WINDOW, STRIDE = 7, 4
FACES = (1, 4)
CALLS, ROUNDS = 200, 8


def main() -> int:
    """Run the command line."""
    return run_command(decode, "benchmarks.decode")


def decode(model: Path | None = None, report: Path = Path("runs/decode.json")) -> None:
    """Time the engine, its net alone, and the net with NumPy's decoding, in turns, on one thread.

    Args:
        model: an .onnx file of export.run that decode_heatmaps can decode, too; the packaged one if not given.
        report: the .json file to write.

    Raises:
        TrackerError: for a model with another decoder.
    """
    check_report(report)
    cv2.setNumThreads(1)
    path = landmark_model(model)
    engine, (net, logits) = session(path.read_bytes()), net_alone(path)
    spec = OnnxEngine(path).spec
    if spec.decoder not in get_args(HeatmapDecoder):
        known = " or ".join(get_args(HeatmapDecoder))
        raise TrackerError(f"--model: expected one that is read by {known}, got {path} with {spec.decoder}")
    in_numpy = partial(
        decode_heatmaps,
        stride=STRIDE,
        window=WINDOW,
        temperature=spec.temperature,
        decoder=cast(HeatmapDecoder, spec.decoder),
    )
    rng = np.random.default_rng(0)
    size = engine.get_inputs()[0].shape[1]
    record = {"machine": machine(), "versions": versions(), "ms": {}}
    for faces in FACES:
        crops = rng.integers(0, 256, (faces, size, size, 3), dtype=np.uint8)
        check(engine, net, logits, crops, in_numpy)
        ways: dict[str, Callable[[], object]] = {
            "engine": lambda crops=crops: engine.run(list(OUTPUTS), {"crops": crops}),  # type: ignore[misc]
            "net": lambda crops=crops: net.run([logits], {"crops": crops}),  # type: ignore[misc]
            "net + NumPy": lambda crops=crops: in_numpy(net.run([logits], {"crops": crops})[0]),  # type: ignore[misc]
        }
        record["ms"][f"{faces} faces"] = timed(ways)  # type: ignore[index]
    write_report(report, record)
    print(table(record["ms"]), record["machine"], sep="\n")  # type: ignore[arg-type]


def session(model: bytes) -> onnxruntime.InferenceSession:
    """Open an ONNX Runtime session on one thread, as the tracker does."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def net_alone(path: Path) -> tuple[onnxruntime.InferenceSession, str]:
    """Return the model up to its maps, the output of the last convolution, and their name."""
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    logits = [node.output[0] for node in model.graph.node if node.op_type == "Conv"][-1]
    part = Extractor(model).extract_model(["crops"], [logits])
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(part, str(Path(folder) / "net.onnx"))
        return session((Path(folder) / "net.onnx").read_bytes()), logits


def check(
    engine: onnxruntime.InferenceSession,
    net: onnxruntime.InferenceSession,
    logits: str,
    crops: NDArray[np.uint8],
    in_numpy: Callable[[NDArray[np.float32]], EngineOutput],
) -> None:
    """Check that both decoders agree; not every point must, because random pixels may have ties of peaks."""
    points = engine.run(["points_px"], {"crops": crops})[0]
    difference = np.abs(in_numpy(net.run([logits], {"crops": crops})[0]).points_px - points)
    assert np.percentile(difference, 95) < 0.01, "the net's maps are not what the engine decodes"


def timed(ways: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Return the median of each round in milliseconds; the first round is a warm-up."""
    medians: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, call in ways.items():
            times = []
            for _ in range(CALLS):
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
            if turn:
                medians[name].append(1000 * float(np.median(times)))
    return medians


def table(ms: dict[str, dict[str, list[float]]]) -> str:
    """Format as Markdown: medians over the rounds and their range, and the share of decoding."""
    rows = [
        "| faces | engine, ms | its net alone | net + NumPy | decoding, of the net |",
        "| --- | --- | --- | --- | --- |",
    ]
    for faces, ways in ms.items():
        cells = [f"{np.median(times):.2f} ({min(times):.2f} to {max(times):.2f})" for times in ways.values()]
        share = 100 * (np.median(ways["engine"]) / np.median(ways["net"]) - 1)
        rows.append(f"| {faces.split()[0]} | {' | '.join(cells)} | {share:.0f} % |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
