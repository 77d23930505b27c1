"""Runs landmark models on a Triton Inference Server, over gRPC.

The tests use a fake server. Once it was compared by hand with Triton 2.51, with ONNX Runtime in Triton's Python backend
on a CPU: the results were identical. Triton's own ONNX Runtime backend was not available.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from tracker.engines.base import EngineOutput, expect_crops
from tracker.engines.spec import INPUT, KEY, OUTPUTS, ModelSpec
from tracker.errors import TrackerError
from tracker.redaction import redact_source
from tracker.system.extras import describe_missing

SCHEME = "triton://"
Tensors = dict[str, tuple[str, tuple[int, ...]]]
_LONGEST_REASON = 300
LARGEST = 1e6
"""The largest valid output: points are within some hundred pixels."""


class TritonEngine:
    """A model in the repository of a Triton Inference Server, written by `python -m export.triton`.

    Use it in one thread only; make another one for each thread.

    Args:
        url: host and port of the server's gRPC service, such as "localhost:8001"; the connection is not encrypted.
        model: name of the model on the server, which uses its latest version.
        timeout_s: how long one request may take, in seconds.

    Attributes:
        spec: what the model expects and what its outputs mean.
        url: triton://HOST:PORT/MODEL.

    Raises:
        TrackerError: the server cannot be reached or is too slow, the model is not ready or not a landmark model of
            this project, or tritonclient is not installed.
    """

    def __init__(self, url: str, model: str, timeout_s: float = 5.0) -> None:
        if not timeout_s > 0:
            raise TrackerError(f"timeout_s must be above 0 seconds, got {timeout_s}")
        self._triton = import_client()
        try:
            self._client = self._triton.InferenceServerClient(url)
        except Exception as error:
            raise TrackerError(
                f"expected host and port of a Triton Inference Server such as localhost:8001, got "
                f"{redact_source(str(url))} ({type(error).__name__})"
            ) from None
        self.url = f"{SCHEME}{url}/{quote(model)}"
        self._server = f"Triton at {redact_source(url)}"
        self._model = model
        self._timeout_s = timeout_s
        self._find_server(url)
        config = self._config()
        self.spec = _spec_of(config, f"{self._server}: model {model!r}")
        self._tensors = tensors_of(self.spec)
        self._most = int(config.max_batch_size)

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        """Compute the landmarks of crops (N, S, S, 3), in batches of the server's largest size, see Engine.run.

        Raises:
            TrackerError: the crops have another shape or type, or the server fails, is too slow, or returns wrong
                shapes or invalid values.
        """
        expect_crops(crops, self.spec.size)
        results = [np.empty((len(crops), *self._tensors[name][1]), np.float32) for name in OUTPUTS]
        for start in range(0, len(crops), self._most):
            part = slice(start, start + self._most)
            for result, found in zip(results, self._infer(crops[part])):
                result[part] = found
        return EngineOutput(*results)

    def _find_server(self, url: str) -> None:
        """Check that the server is live. "Ready" is too strict: by default one model that fails to load prevents it."""
        failed = f"no Triton Inference Server answers at {redact_source(url)}"
        advice = "start it, or give the host and port of its gRPC service, such as localhost:8001"
        if not self._ask(failed, advice, self._client.is_server_live):
            raise TrackerError(f"{self._server} is not live; see its log")

    def _config(self) -> Any:
        """Return the ModelConfig of the model, which must be ready."""
        failed = f"{self._server} does not serve a model {self._model!r}"
        advice = "add it to the server's repository with `python -m export.triton`, and load it"
        config = self._ask(failed, advice, self._client.get_model_config, self._model).config
        if not self._ask(failed, advice, self._client.is_model_ready, self._model):
            raise TrackerError(
                f"{self._server}: model {self._model!r} is not ready; wait until it is loaded, or see the server's log"
            )
        return config

    def _infer(self, crops: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return the OUTPUTS of one batch."""
        tensor = self._triton.InferInput(INPUT, list(crops.shape), "UINT8").set_data_from_numpy(crops)
        wanted = [self._triton.InferRequestedOutput(name) for name in OUTPUTS]
        failed = f"{self._server}: model {self._model!r} failed on crops of {crops.shape}"
        answer = self._ask(
            failed, "the server's log may say more", self._client.infer, self._model, [tensor], outputs=wanted
        )
        return [self._read(answer, name, len(crops)) for name in OUTPUTS]

    def _read(self, answer: Any, name: str, count: int) -> NDArray[np.float32]:
        expected = (count, *self._tensors[name][1])
        try:
            stated = tuple(answer.get_output(name).shape)
            found = answer.as_numpy(name) if min(stated, default=0) >= 0 else None  # NumPy would infer a size of -1
        except Exception:  # the client raises various errors if the bytes do not fit the stated type and shape
            found = None
        if found is None or found.shape != expected or found.dtype != np.float32:
            got = "none that can be read" if found is None else f"{found.shape} {found.dtype}"
            raise TrackerError(
                f"{self._server}: model {self._model!r} contradicts its spec; expected {name} {expected} float32, "
                f"got {got}; export it again with `python -m export.triton`"
            )
        if not (np.abs(found) <= LARGEST).all():  # nor is NaN
            raise TrackerError(
                f"{self._server}: model {self._model!r} answered {name} with values that are not finite or beyond "
                f"{LARGEST:g}; see the server's log, and export the model again with `python -m export.triton`"
            )
        return np.asarray(found, np.float32)

    def _ask(self, failed: str, advice: str, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a method of the client; raise TrackerError with what failed, why, and what to do."""
        try:
            return method(*arguments, client_timeout=self._timeout_s, **options)
        except self._triton.InferenceServerException as error:
            code = str(error.status()).removeprefix("StatusCode.")
            if code == "DEADLINE_EXCEEDED":
                raise TrackerError(
                    f"{self._server} did not answer within {self._timeout_s:g} s; increase timeout_s, "
                    "or check what keeps the server busy"
                ) from None
            reason = " ".join(str(error.message()).split())[:_LONGEST_REASON]
            raise TrackerError(f"{failed} ({code}: {reason}); {advice}") from None
        except Exception as error:  # the client cannot make the request, or cannot read the response
            reason = " ".join(str(error).split())[:_LONGEST_REASON]
            raise TrackerError(f"{failed} ({type(error).__name__}: {reason}); {advice}") from None


def open_triton(url: str) -> TritonEngine:
    """Open a model on a server.

    Args:
        url: triton://HOST:PORT/MODEL.

    Returns:
        The engine.

    Raises:
        TrackerError: the URL has another form, or the model cannot be opened, see TritonEngine.
    """
    try:
        parts = urlsplit(url)
        whole = parts.hostname and parts.port and "@" not in parts.netloc and not (parts.query or parts.fragment)
        model = unquote(parts.path.removeprefix("/"))
    except ValueError:  # an invalid port or IPv6 address
        whole = model = ""
    if not whole or not model or "/" in model:
        raise TrackerError(
            "expected the host, the port and the model of a Triton Inference Server, such as "
            f"triton://localhost:8001/edge68, got {redact_source(url)}"
        )
    return TritonEngine(parts.netloc, model)


def import_client() -> Any:
    """Import the module tritonclient.grpc.

    Raises:
        TrackerError: it is not installed.
    """
    try:
        import tritonclient.grpc
    except (ImportError, RuntimeError):  # RuntimeError if it was installed without gRPC
        raise TrackerError(f"Triton Inference Server {describe_missing('tritonclient[grpc]', 'triton')}") from None
    return tritonclient.grpc


def tensors_of(spec: ModelSpec) -> Tensors:
    """Describe the input and the outputs of a model as in Triton's configuration.

    Args:
        spec: of the model.

    Returns:
        Data type and dims without the batch, by name.
    """
    return {name: ("TYPE_UINT8" if name == INPUT else "TYPE_FP32", dims) for name, dims in spec.shapes().items()}


def _spec_of(config: Any, source: str) -> ModelSpec:
    """Read the spec from a ModelConfig's parameters, and check that it fits the rest of the configuration."""
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    if KEY not in parameters:
        raise TrackerError(
            f"{source} is not a landmark model: its configuration has no parameter {KEY}; "
            "export the model again with `python -m export.triton`"
        )
    spec = ModelSpec.from_metadata(parameters, source)
    expected = tensors_of(spec)
    found = {tensor.name: (_type_name(tensor), tuple(tensor.dims)) for tensor in (*config.input, *config.output)}
    if found != expected or config.max_batch_size < 1:
        raise TrackerError(
            f"{source} contradicts its spec; expected {expected} in batches, got {str(found)[:250]} with a "
            f"max_batch_size of {config.max_batch_size}; export it again with `python -m export.triton`"
        )
    return spec


def _type_name(tensor: Any) -> str:
    """Return the name of a type, such as TYPE_FP32; its number if this client does not know it."""
    names = tensor.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
    return names[tensor.data_type].name if tensor.data_type in names else str(tensor.data_type)
