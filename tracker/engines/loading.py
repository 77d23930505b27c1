"""Opens the engine of a model: a file by its suffix, a served model by the scheme of its URL.

A new engine is a file in this folder and a line in ENGINES.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tracker.engines.base import Engine
from tracker.engines.onnx import OnnxEngine, Provider
from tracker.engines.tensorrt.engine import TensorRtEngine
from tracker.engines.triton import open_triton
from tracker.errors import TrackerError
from tracker.redaction import redact_source
from tracker.weights.packaged import url_of_model


@dataclass(frozen=True)
class EngineOptions:
    """How an engine is to run.

    provider, allow_cpu: of ONNX Runtime, as OnnxEngine has them. faces: as many as come at once; ONNX Runtime takes as
    many threads, if the process may use so many cores.
    """

    provider: Provider = "cpu"
    allow_cpu: bool = False
    faces: int = 1


Opener = Callable[[str, EngineOptions], Engine]
"""Opens the model of a path or URL; raises TrackerError where that is impossible."""


def _open_onnx(path: str, options: EngineOptions) -> Engine:
    return OnnxEngine(path, min(options.faces, _cores()), options.provider, options.allow_cpu)


ENGINES: Mapping[str, Opener] = {
    ".onnx": _open_onnx,
    ".plan": lambda path, _: TensorRtEngine(Path(path)),
    "triton://": lambda url, _: open_triton(url),
}
"""By the suffix of a file, or the scheme of a URL with its "://"."""


def load_engine(model: Path | str, provider: Provider = "cpu", allow_cpu: bool = False, faces: int = 1) -> Engine:
    """Open the engine of a model.

    Args:
        model: a file, .plan for TensorRT and any other for ONNX Runtime; or the URL of a model that a server runs,
            such as triton://localhost:8001/edge68. Only for a URL is a connection opened.
        provider: what ONNX Runtime runs the model on.
        allow_cpu: whether the CPU will do instead.
        faces: as many as come at once.

    Raises:
        TrackerError: no engine has that kind of URL, or as the engine says.
    """
    options = EngineOptions(provider, allow_cpu, faces)
    url = url_of_model(model)
    if url is None:
        return ENGINES.get(Path(model).suffix, _open_onnx)(str(model), options)
    kind = f"{url.partition('://')[0].lower()}://"
    if kind not in ENGINES:
        known = ", ".join(name for name in ENGINES if name.endswith("://"))
        raise TrackerError(
            f"no engine opens {redact_source(url)}; expected the file of a model or a URL that begins with {known}"
        )
    if provider != "cpu":
        raise TrackerError(
            f"--provider {provider} is for a model that ONNX Runtime runs here, got {redact_source(url)}; leave it out"
        )
    return ENGINES[kind](url, options)


def running_on(engine: Engine) -> str:
    """Say what really runs an engine's model; the name of its class if it does not say."""
    return engine.running_on() if isinstance(engine, OnnxEngine) else type(engine).__name__


def _cores() -> int:
    """Those this process may use."""
    if hasattr(os, "sched_getaffinity"):  # on Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
