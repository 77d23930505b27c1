"""The engine of a model's file, by its suffix."""

from __future__ import annotations

from pathlib import Path

from tracker.engines import Engine
from tracker.engines.onnx import OnnxEngine
from tracker.engines.tensorrt import TensorRtEngine


def load_engine(path: Path) -> Engine:
    """TensorRT for a .plan that export.tensorrt built, ONNX Runtime on the CPU for any other file.

    Raises TrackerError as they do.
    """
    return TensorRtEngine(path) if path.suffix == ".plan" else OnnxEngine(path)
