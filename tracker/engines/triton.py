"""Landmark models that a Triton Inference Server runs, over gRPC.

The tests hold it against a stand-in. By hand it was held against Triton 2.51 with ONNX Runtime in Triton's Python
backend, on a CPU: the same numbers to the bit. Triton's own ONNX Runtime backend was not at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from tracker.engines.base import EngineOutput
from tracker.engines.spec import INPUT, KEY, OUTPUTS, ModelSpec
from tracker.errors import TrackerError
from tracker.redaction import redact_source
from tracker.system.extras import describe_missing

Tensors = dict[str, tuple[str, tuple[int, ...]]]
_LONGEST_REASON = 300
LARGEST = 1e6
"""What an output's numbers may be at most: points lie within some hundred pixels."""


class TritonEngine:
    """A model that `python -m export.triton` put into the repository of a Triton Inference Server.

    url: host and port of the server's gRPC service, such as "localhost:8001"; not encrypted. model: its name there;
    the server takes its latest version. timeout_s: how long one request may take, in seconds.

    Not shared between threads: make one for each. Raises TrackerError for a server that cannot be reached or is
    too slow, for a model it does not have ready or that is none of ours, and when the client is missing.
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
        self._server = f"Triton at {redact_source(url)}"
        self._model = model
        self._timeout_s = timeout_s
        self._find_server(url)
        config = self._config()
        self.spec = _spec_of(config, f"{self._server}: model {model!r}")
        self._tensors = tensors_of(self.spec)
        self._most = int(config.max_batch_size)

    def run(self, crops: NDArray[np.uint8]) -> EngineOutput:
        """Landmarks of RGB crops (N, S, S, 3), uint8; as many at a time as the server takes.

        Raises TrackerError for a server that fails, takes too long or answers with other shapes.
        """
        results = [np.empty((len(crops), *self._tensors[name][1]), np.float32) for name in OUTPUTS]
        for start in range(0, len(crops), self._most):
            part = slice(start, start + self._most)
            for result, found in zip(results, self._infer(crops[part])):
                result[part] = found
        return EngineOutput(*results)

    def _find_server(self, url: str) -> None:
        """Whether it is ready is not asked: by default it is not while any of its models fails to load."""
        failed = f"no Triton Inference Server answers at {redact_source(url)}"
        advice = "start it, or give the host and port of its gRPC service, such as localhost:8001"
        if not self._ask(failed, advice, self._client.is_server_live):
            raise TrackerError(f"{self._server} is not live; see its log")

    def _config(self) -> Any:
        """The model's ModelConfig."""
        failed = f"{self._server} does not serve a model {self._model!r}"
        advice = "put it into its repository with `python -m export.triton` and have it loaded"
        config = self._ask(failed, advice, self._client.get_model_config, self._model).config
        if not self._ask(failed, advice, self._client.is_model_ready, self._model):
            raise TrackerError(
                f"{self._server}: model {self._model!r} is not ready; wait until it is loaded, or see the server's log"
            )
        return config

    def _infer(self, crops: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The outputs for at most as many crops as the server takes, in the order of OUTPUTS."""
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
            found = answer.as_numpy(name) if min(stated, default=0) >= 0 else None  # NumPy takes -1 for "the rest"
        except Exception:  # the client fails in its own ways on bytes that are no tensor of the type and shape stated
            found = None
        if found is None or found.shape != expected or found.dtype != np.float32:
            got = "none that can be read" if found is None else f"{found.shape} {found.dtype}"
            raise TrackerError(
                f"{self._server}: model {self._model!r} contradicts its spec; expected {name} {expected} float32, "
                f"got {got}; put it there again with `python -m export.triton`"
            )
        if not (np.abs(found) <= LARGEST).all():  # nor is NaN
            raise TrackerError(
                f"{self._server}: model {self._model!r} answered {name} with values that are not finite or beyond "
                f"{LARGEST:g}; see the server's log, and put the model there again with `python -m export.triton`"
            )
        return np.asarray(found, np.float32)

    def _ask(self, failed: str, advice: str, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """What the server answers, or a TrackerError that says what failed, why, and what to do."""
        try:
            return method(*arguments, client_timeout=self._timeout_s, **options)
        except self._triton.InferenceServerException as error:
            code = str(error.status()).removeprefix("StatusCode.")
            if code == "DEADLINE_EXCEEDED":
                raise TrackerError(
                    f"{self._server} did not answer within {self._timeout_s:g} s; give it longer with timeout_s, "
                    "or see what keeps it busy"
                ) from None
            reason = " ".join(str(error.message()).split())[:_LONGEST_REASON]
            raise TrackerError(f"{failed} ({code}: {reason}); {advice}") from None
        except Exception as error:  # a request that the client cannot make, or an answer that it cannot read
            reason = " ".join(str(error).split())[:_LONGEST_REASON]
            raise TrackerError(f"{failed} ({type(error).__name__}: {reason}); {advice}") from None


def open_triton(url: str) -> TritonEngine:
    """Open the model at triton://HOST:PORT/MODEL. Raises TrackerError for another URL, and as TritonEngine."""
    try:
        parts = urlsplit(url)
        whole = parts.hostname and parts.port and "@" not in parts.netloc and not (parts.query or parts.fragment)
        model = unquote(parts.path.removeprefix("/"))
    except ValueError:  # no port, or no IPv6 address
        whole = model = ""
    if not whole or not model or "/" in model:
        raise TrackerError(
            "expected the host, the port and the model of a Triton Inference Server and nothing else, such as "
            f"triton://localhost:8001/edge68, got {redact_source(url)}"
        )
    return TritonEngine(parts.netloc, model)


def import_client() -> Any:
    """The module tritonclient.grpc. Raises TrackerError when it is missing."""
    try:
        import tritonclient.grpc
    except (ImportError, RuntimeError):  # the latter when it was installed without its gRPC part
        raise TrackerError(f"Triton Inference Server {describe_missing('tritonclient[grpc]', 'triton')}") from None
    return tritonclient.grpc


def tensors_of(spec: ModelSpec) -> Tensors:
    """The input and the outputs of a model as Triton's configuration has them: data type and dims without the batch."""
    return {name: ("TYPE_UINT8" if name == INPUT else "TYPE_FP32", dims) for name, dims in spec.shapes().items()}


def _spec_of(config: Any, source: str) -> ModelSpec:
    """The spec in a ModelConfig's parameters, held against the rest of it."""
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    if KEY not in parameters:
        raise TrackerError(
            f"{source} is no landmark model: its configuration has no parameter {KEY}; "
            "put one there with `python -m export.triton`"
        )
    spec = ModelSpec.from_metadata(parameters, source)
    expected = tensors_of(spec)
    found = {tensor.name: (_type_name(tensor), tuple(tensor.dims)) for tensor in (*config.input, *config.output)}
    if found != expected or config.max_batch_size < 1:
        raise TrackerError(
            f"{source} contradicts its spec; expected {expected} in batches, got {str(found)[:250]} with a "
            f"max_batch_size of {config.max_batch_size}; put it there again with `python -m export.triton`"
        )
    return spec


def _type_name(tensor: Any) -> str:
    """Such as TYPE_FP32; the number of a type that this client does not know."""
    names = tensor.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
    return names[tensor.data_type].name if tensor.data_type in names else str(tensor.data_type)
