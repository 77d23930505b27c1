"""Finds a model and opens its engine: by the suffix of a file, or by the scheme of a server's URL.

A new engine is a file in this folder and a line in ENGINES.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tracker.engines.auto import AUTO, choose_model
from tracker.engines.base import Engine
from tracker.engines.onnx import OnnxEngine, Provider
from tracker.engines.tensorrt.engine import TensorRtEngine
from tracker.engines.triton import SCHEME, open_triton
from tracker.errors import TrackerError
from tracker.redaction import redact_source
from tracker.weights.packaged import landmark_model, url_of_model


@dataclass(frozen=True)
class EngineOptions:
    """Options of engines.

    Attributes:
        provider: of ONNX Runtime, see OnnxEngine.
        allow_cpu: of ONNX Runtime, see OnnxEngine.
        faces: the number of faces in one call; ONNX Runtime uses as many threads, if there are as many cores.
    """

    provider: Provider = "cpu"
    allow_cpu: bool = False
    faces: int = 1


Opener = Callable[[str, EngineOptions], Engine]
"""Opens the engine of a path or URL; raises TrackerError if that is not possible."""


def _open_onnx(path: str, options: EngineOptions) -> Engine:
    return OnnxEngine(path, min(options.faces, _cores()), options.provider, options.allow_cpu)


ENGINES: Mapping[str, Opener] = {
    ".onnx": _open_onnx,
    ".plan": lambda path, _: TensorRtEngine(Path(path)),
    SCHEME: lambda url, _: open_triton(url),
}
"""The function that opens an engine, by the suffix of a file or the scheme of a URL with "://"."""


def find_model(model: Path | str | None = None, provider: Provider = "cpu") -> Path | str:
    """Find a landmark model: a file or a name as landmark_model finds it, "auto", or the URL of a served one.

    Args:
        model: a file, a name or a URL; None for the default. A URL is not checked here; opening the engine does. "auto"
            is the default model, or the same in INT8 if that is faster on this CPU; Path("auto") is a file.
        provider: that the model is to run on: for others than the CPU, "auto" is the default model.

    Raises:
        TrackerError: as landmark_model.
    """
    if model is None or model == AUTO:
        return choose_model() if model == AUTO and provider == "cpu" else landmark_model()
    return url_of_model(model) or landmark_model(Path(model))


def load_engine(model: Path | str, provider: Provider = "cpu", allow_cpu: bool = False, faces: int = 1) -> Engine:
    """Open the engine of a model.

    Args:
        model: a file, .plan for TensorRT and any other for ONNX Runtime; or the URL of a model on a server, such as
            triton://localhost:8001/edge68. A connection is opened only for a URL.
        provider: the device that ONNX Runtime runs the model on.
        allow_cpu: whether to run on the CPU, with a warning, if the provider is not available.
        faces: the number of faces in one call, for the number of threads.

    Returns:
        The engine.

    Raises:
        TrackerError: no engine opens that kind of URL, or the engine cannot be opened.
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
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # on Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
