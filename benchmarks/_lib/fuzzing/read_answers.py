"""Fuzzes the answers of a Triton server, as bytes on the wire, read by Triton's client.

A gRPC server on the loopback stands in for Triton: it sends the bytes of an input as its answers.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
from google.protobuf import text_format

from benchmarks._lib.fuzzing.read_models import SPEC, tiny_model
from benchmarks._lib.fuzzing.reader import Files, Reader, expect
from export.triton import CONFIG, write_repository
from tracker.engines.spec import OUTPUTS
from tracker.engines.triton import LARGEST, TritonEngine, import_client
from tracker.errors import TrackerError

FACES = 2
_METHODS = {
    "ServerLive": "live.pb",
    "ModelConfig": "config.pb",
    "ModelReady": "ready.pb",
    "ModelInfer": "answer.pb",
}


class _Server(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every call with the bytes that are put into answers, by file name."""

    def __init__(self) -> None:
        self.answers: Files = {}
        self.server = grpc.server(ThreadPoolExecutor(2))
        self.server.add_generic_rpc_handlers((self,))
        self.url = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def service(self, call: Any) -> Any:
        name = _METHODS.get(call.method.rpartition("/")[2], "")
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self.answers.get(name, b""))


@cache
def _server() -> _Server:
    return _Server()


def _configuration() -> Any:
    """The ModelConfig of a tiny model, as export.triton writes it."""
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(tiny_model(), f"{folder}/tiny.onnx")
        written = write_repository(Path(folder) / "tiny.onnx", Path(folder) / "models", "tiny", 4)
        text = (written.parents[1] / CONFIG).read_text("utf-8")
        return text_format.Parse(text, import_client().model_config_pb2.ModelConfig())


def _answers() -> list[Files]:
    service = import_client().service_pb2
    rng = np.random.default_rng(0)
    answer = service.ModelInferResponse(model_name="tiny", model_version="1")
    for name, shape in ((name, SPEC.shapes()[name]) for name in OUTPUTS):
        values = rng.uniform(0, 1, (FACES, *shape)).astype(np.float32)
        answer.outputs.add(name=name, datatype="FP32", shape=values.shape)
        answer.raw_output_contents.append(values.tobytes())
    messages = {
        "live.pb": service.ServerLiveResponse(live=True),
        "config.pb": service.ModelConfigResponse(config=_configuration()),
        "ready.pb": service.ModelReadyResponse(ready=True),
        "answer.pb": answer,
    }
    return [{name: message.SerializeToString() for name, message in messages.items()}]


def _ask(folder: Path) -> None:
    server = _server()
    server.answers = {path.name: path.read_bytes() for path in folder.iterdir()}
    engine = TritonEngine(server.url, "tiny", timeout_s=20)
    size = engine.spec.size
    output = engine.run(np.zeros((FACES, size, size, 3), np.uint8))
    for name, found in zip(OUTPUTS, (output.points_px, output.scores, output.covariances_px2)):
        expect(found.shape == (FACES, *engine.spec.shapes()[name]), f"{name} has the shape {found.shape}")
        expect((np.abs(found) <= LARGEST).all(), f"{name} holds numbers that cannot be")


READERS = {
    "triton answers": Reader(_answers, _ask, (TrackerError,), ("tracker.engines.triton",)),
}
