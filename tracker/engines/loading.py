"""The engine of a model's file, by its suffix."""

from __future__ import annotations

import os
from pathlib import Path

from tracker.engines.base import Engine
from tracker.engines.onnx import OnnxEngine, Provider
from tracker.engines.tensorrt.engine import TensorRtEngine


def load_engine(path: Path, provider: Provider = "cpu", allow_cpu: bool = False, faces: int = 1) -> Engine:
    """TensorRT for a .plan that export.tensorrt built, ONNX Runtime for any other file.

    provider, allow_cpu: of ONNX Runtime, as OnnxEngine has them. faces: as many as come at once; ONNX Runtime takes as
    many threads, if the process may use so many cores. Raises TrackerError as the engines do.
    """
    if path.suffix == ".plan":
        return TensorRtEngine(path)
    return OnnxEngine(path, min(faces, _cores()), provider, allow_cpu)


def _cores() -> int:
    """Those this process may use."""
    if hasattr(os, "sched_getaffinity"):  # on Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
