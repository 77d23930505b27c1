"""The engine of a model's file, by its suffix."""

from __future__ import annotations

from pathlib import Path

from tracker.engines import Engine
from tracker.engines.onnx import OnnxEngine, Provider
from tracker.engines.tensorrt import TensorRtEngine


def load_engine(path: Path, provider: Provider = "cpu", allow_cpu: bool = False) -> Engine:
    """TensorRT for a .plan that export.tensorrt built, ONNX Runtime for any other file.

    provider, allow_cpu: of ONNX Runtime, as OnnxEngine has them. Raises TrackerError as the engines do.
    """
    return TensorRtEngine(path) if path.suffix == ".plan" else OnnxEngine(path, 1, provider, allow_cpu)
