"""Runs landmark models with ONNX Runtime, on the CPU or on another device that it was built for."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tracker.engines.base import EngineOutput, expect_crops
from tracker.engines.onnx_file import external_files, read_model
from tracker.engines.onnx_plugins import (
    PLUGINS,
    RECORD,
    describe_device,
    installed,
    nodes_on,
    plugin_device,
    provider_options,
)
from tracker.engines.spec import INPUT, OUTPUTS, ModelSpec
from tracker.errors import TrackerError, expect_choice
from tracker.system.extras import describe_missing
from tracker.system.onnx_runtime import import_onnxruntime

if TYPE_CHECKING:
    import onnxruntime

log = logging.getLogger(__name__)

Provider = Literal["cpu", "cuda", "tensorrt", "openvino", "webgpu", "tensorrt_rtx"]
_NAMES: Mapping[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
    "tensorrt_rtx": "NvTensorRTRTXExecutionProvider",
}
_OPTIONS: Mapping[Provider, dict[str, str]] = {
    # Left to itself OpenVINO takes bfloat16 where the CPU has it, which moves points by whole cells.
    "openvino": {"device_type": "CPU", "load_config": json.dumps({"CPU": {"INFERENCE_PRECISION_HINT": "f32"}})},
}
_PACKAGES: Mapping[Provider, str] = {
    "cuda": "onnxruntime-gpu",
    "tensorrt": "onnxruntime-gpu and TensorRT",
    "openvino": "onnxruntime-openvino or onnxruntime-ep-openvino",
    **{name: PLUGINS[name].package for name in ("webgpu", "tensorrt_rtx")},
}


class OnnxEngine:
    """A model file in ONNX Runtime.

    Args:
        path: an .onnx file that export.run wrote; its weights may be in files in the same folder.
        threads: CPU threads for one call.
        provider: the device that ONNX Runtime runs the model on.
        allow_cpu: whether to run on the CPU, with a warning, if the provider is not available.

    Attributes:
        path: of the file.
        provider: the provider that is used.
        device: the name of a plug-in's device; empty for other providers.
        spec: what the model expects and what its outputs mean.

    Raises:
        TrackerError: the file is not such a model, onnxruntime is not installed, or the provider is not available.
    """

    def __init__(self, path: str | Path, threads: int = 1, provider: Provider = "cpu", allow_cpu: bool = False) -> None:
        expect_choice("provider", provider, get_args(Provider))
        path = Path(path)
        self.path = path
        self._session, self.device = _open(path, threads, provider, allow_cpu)
        running = self._session.get_providers()[0]
        self.provider: Provider = next(name for name in get_args(Provider) if _NAMES[name] == running)
        if self.provider != provider and not _is_plugin(provider):
            _complain(
                f"ONNX Runtime cannot run on {provider} here; it needs {_PACKAGES[provider]} and the device", allow_cpu
            )
        log.info("engine: %s, which reads %s", self.running_on(), path)
        self.spec = ModelSpec.from_metadata(_metadata(self._session), str(path))
        _check_shapes(self._session, self.spec, path)
        self._shapes = [self.spec.shapes()[name] for name in OUTPUTS]

    def running_on(self) -> str:
        """Return what really runs the model, such as "ONNX Runtime on webgpu (AMD GPU)"."""
        return f"ONNX Runtime on {self.provider}" + (f" ({self.device})" if self.device else "")

    def __repr__(self) -> str:
        return f"<OnnxEngine: {self.path}, {self.running_on()}>"

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        """Compute the landmarks of crops (N, S, S, 3), see Engine.run.

        Raises:
            TrackerError: the crops have another shape or type, the model cannot be run on them, or its outputs have
                wrong shapes.
        """
        expect_crops(crops, self.spec.size)
        if not len(crops):  # the decoding in the graph needs a face
            return EngineOutput(*(np.empty((0, *shape), np.float32) for shape in self._shapes))
        try:
            answers = self._session.run(list(OUTPUTS), {INPUT: crops})
        except Exception as error:  # onnxruntime raises its own types, all derived from Exception only
            raise TrackerError(
                f"{self.path}: ONNX Runtime cannot run it on crops of {crops.shape} ({_first_line(error)})"
            ) from None
        found = [answer.shape for answer in answers]
        if found != [(len(crops), *shape) for shape in self._shapes]:
            raise TrackerError(f"{self.path}: its outputs contradict its spec, they have the shapes {found}")
        return EngineOutput(*answers)


def available_providers() -> list[Provider]:
    """List the providers that ONNX Runtime was built for, and the plug-ins that are installed.

    Whether the device exists shows only when a model is run.

    Returns:
        The providers; empty if ONNX Runtime is not installed.
    """
    try:
        onnxruntime = import_onnxruntime()
    except ImportError:
        return []
    built = onnxruntime.get_available_providers()
    return [name for name in get_args(Provider) if _NAMES[name] in built or installed(name)]


def _is_plugin(provider: Provider) -> bool:
    """Return whether a plug-in runs it: ONNX Runtime itself was not built for it."""
    return provider in PLUGINS and _NAMES[provider] not in import_onnxruntime().get_available_providers()


def _open(path: Path, threads: int, provider: Provider, allow_cpu: bool) -> tuple[onnxruntime.InferenceSession, str]:
    """Open a session on the provider, or on the CPU if it is not available; return it and a plug-in's device."""
    try:
        onnxruntime = import_onnxruntime()
    except ImportError as error:
        raise TrackerError(f"running a model {describe_missing('ONNX Runtime', 'cpu', error)}") from None
    options = _session_options(onnxruntime, threads)
    model = read_model(path)
    # Of bytes where that will do: the file is read once. Weights in other files are found beside a path only.
    source = str(path) if external_files(path, model) else model
    known = onnxruntime.get_available_providers()
    wanted = [(_NAMES[name], _OPTIONS.get(name, {})) for name in dict.fromkeys((provider, "cpu"))]
    if _is_plugin(provider):
        try:
            return _open_plugin(onnxruntime, source, threads, provider)
        except TrackerError as error:
            _complain(str(error), allow_cpu)
    try:
        providers = [each for each in wanted if each[0] in known]
        return onnxruntime.InferenceSession(source, options, providers=providers), ""
    except Exception as error:  # onnxruntime raises its own types, all derived from Exception only
        raise TrackerError(
            f"{path}: expected an ONNX model, ONNX Runtime cannot load it ({_first_line(error)})"
        ) from None


def _session_options(onnxruntime: Any, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")  # between calls cores belong to others
    options.log_severity_level = 4  # a broken file becomes our one sentence, not its log
    return options


def _open_plugin(
    onnxruntime: Any, source: str | bytes, threads: int, provider: Provider
) -> tuple[onnxruntime.InferenceSession, str]:
    """Open a session on a plug-in's device; return it and the device's name.

    Raises:
        TrackerError: there is no device, or it runs no part of the model.
    """
    device = plugin_device(onnxruntime, provider)
    name = describe_device(device)
    options = _session_options(onnxruntime, threads)
    options.add_session_config_entry(RECORD, "1")
    try:
        options.add_provider_for_devices([device], provider_options(provider, device))
        session = onnxruntime.InferenceSession(source, options)
    except Exception as error:  # onnxruntime raises its own types, all derived from Exception only
        raise TrackerError(f"--provider {provider}: {name} cannot load the model ({_first_line(error)})") from None
    share = nodes_on(session, _NAMES[provider])
    if session.get_providers()[0] != _NAMES[provider] or (share is not None and not share[0]):
        raise TrackerError(f"--provider {provider}: {name} takes no part of the model")
    if share is not None and share[0] < share[1]:
        log.info("%s runs %d of %d parts of the model, the CPU the others", name, *share)
    return session, name


def _metadata(session: onnxruntime.InferenceSession) -> dict[str, str]:
    try:
        metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
    except UnicodeDecodeError:
        return {}
    return metadata


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def _complain(why: str, allow_cpu: bool) -> None:
    """Raise TrackerError, or log a warning if the CPU is allowed."""
    if not allow_cpu:
        raise TrackerError(f"{why}; without it, allow the CPU (--allow-cpu)")
    log.warning("%s: running on the CPU", why)


def _check_shapes(session: onnxruntime.InferenceSession, spec: ModelSpec, path: Path) -> None:
    types = {name: "tensor(uint8)" if name == INPUT else "tensor(float)" for name in spec.shapes()}
    expected = {name: [types[name], *shape] for name, shape in spec.shapes().items()}
    tensors = [*session.get_inputs(), *session.get_outputs()]
    try:
        found = {v.name: [v.type, *v.shape[1:]] for v in tensors}
    except UnicodeDecodeError:
        raise TrackerError(
            f"{path}: expected an ONNX model, the names of its inputs and outputs are not text"
        ) from None
    if found != expected or len(tensors) != len(expected):
        raise TrackerError(
            f"{path}: its inputs and outputs contradict its spec; expected {expected}, got {str(found)[:250]}"
        )
    if any(isinstance(v.shape[0], int) for v in tensors):
        raise TrackerError(
            f"{path}: expected a model for any number of faces, but its batch size is fixed; export it again"
        )
