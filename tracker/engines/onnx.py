"""Landmark models in ONNX Runtime, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tracker.engines import EngineOutput
from tracker.engines.spec import ModelSpec
from tracker.errors import TrackerError

if TYPE_CHECKING:
    import onnxruntime

OUTPUTS = ("points_px", "scores", "covariances_px2")


class OnnxEngine:
    """A model file in ONNX Runtime.

    path: an .onnx file that export.run wrote. threads: CPU threads for one call; one is best for a single face.

    Raises TrackerError for a file that is no such model, or when onnxruntime is missing.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._session = _open(path, threads)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.spec = ModelSpec.from_metadata(metadata, str(path))
        _check_shapes(self._session, self.spec, path)

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        """Landmarks of RGB crops (N, S, S, 3), uint8."""
        return EngineOutput(*self._session.run(list(OUTPUTS), {"crops": crops}))


def _open(path: Path, threads: int) -> onnxruntime.InferenceSession:
    try:
        import onnxruntime
    except ImportError:
        raise TrackerError(
            "running a model needs ONNX Runtime, which is not installed; pip install 'landmark-tracker[cpu]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # a broken file becomes our one sentence, not its log
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except OSError as error:
        raise TrackerError(f"{path}: cannot read the model: {error.strerror}") from None
    except Exception as error:  # onnxruntime raises its own types, all derived from Exception only
        reason = str(error).splitlines()[0][:160]
        raise TrackerError(f"{path}: expected an ONNX model, ONNX Runtime cannot load it ({reason})") from None


def _check_shapes(session: onnxruntime.InferenceSession, spec: ModelSpec, path: Path) -> None:
    size, count = spec.size, spec.landmark_scheme().count
    expected = {
        "crops": ["tensor(uint8)", size, size, 3],
        "points_px": ["tensor(float)", count, 2],
        "scores": ["tensor(float)", count],
        "covariances_px2": ["tensor(float)", count, 3],
    }
    found = {v.name: [v.type, *v.shape[1:]] for v in (*session.get_inputs(), *session.get_outputs())}
    if found != expected:
        raise TrackerError(f"{path}: its inputs and outputs contradict its spec; expected {expected}, got {found}")
