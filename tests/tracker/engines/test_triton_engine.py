"""The engine behind a server: the same numbers as in the process, and one sentence for all that can fail between.

A loopback gRPC server built from Triton's own service description stands in for Triton.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from export.triton import write_repository
from tracker import Frame, Tracker
from tracker.datasets.pts_files import write_pts
from tracker.engines.base import EngineOutput
from tracker.engines.onnx import OnnxEngine
from tracker.engines.spec import KEY, OUTPUTS
from tracker.engines.triton import TritonEngine
from tracker.errors import TrackerError
from tracker.evaluate import evaluate
from tracker.face.crop import crop
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.run import run
from tracker.sources.demo import DemoClip
from tracker.tracking.estimator import LandmarkEstimator, next_roi
from tracker.weights.packaged import identify_engine

NEEDED = "needs Triton's client: pip install 'tritonclient[grpc]'"
triton_grpc: Any = pytest.importorskip("tritonclient.grpc", reason=NEEDED)
grpc: Any = pytest.importorskip("grpc", reason=NEEDED)
text_format: Any = pytest.importorskip("google.protobuf.text_format", reason=NEEDED)
service: Any = triton_grpc.service_pb2
Servicer: Any = triton_grpc.service_pb2_grpc.GRPCInferenceServiceServicer
DataType: Any = triton_grpc.model_config_pb2.DataType

PACKAGED = Path(__file__).parents[3] / "tracker/weights/edge68.onnx"
SIZE = OnnxEngine(PACKAGED).spec.size
PATIENT_S = 60.0  # a busy machine is no failure
Crops = NDArray[np.uint8]


class StandIn(Servicer):  # type: ignore[misc]
    """Stands in for Triton: one model of a repository, its config.pbtxt as written, ONNX Runtime on one thread behind.

    batches: the number of crops in each request. For tests to change: live, server_ready and model_ready; before,
    which is called with the context before a model runs; spoil, which is called with each response.
    """

    def __init__(self, repository: Path) -> None:
        (folder,) = repository.iterdir()
        text = (folder / "config.pbtxt").read_text("utf-8")
        self.config = text_format.Parse(text, triton_grpc.model_config_pb2.ModelConfig())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        newest = max((path for path in folder.iterdir() if path.is_dir()), key=lambda path: int(path.name))
        self.session = onnxruntime.InferenceSession(newest / self.config.default_model_filename, options)
        self.batches: list[int] = []
        self.live = self.server_ready = self.model_ready = True
        self.before: Callable[[Any], object] = lambda context: None
        self.spoil: Callable[[Any], object] = lambda response: None
        self.released = threading.Event()
        self.server = grpc.server(ThreadPoolExecutor(2))
        triton_grpc.service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self.server)
        self.url = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def stop(self) -> None:
        self.released.set()
        self.server.stop(grace=None).wait()

    def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service.ServerLiveResponse(live=self.live)

    def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service.ServerReadyResponse(ready=self.server_ready)

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service.ModelReadyResponse(ready=self.model_ready and request.name == self.config.name)

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._refuse_unknown(request.name, context)
        return service.ModelMetadataResponse(name=request.name, versions=["1"], platform=self.config.platform)

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._refuse_unknown(request.name, context)
        return service.ModelConfigResponse(config=self.config)

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._refuse_unknown(request.model_name, context)
        self.before(context)
        crops = self._crops(request, context)
        self.batches.append(len(crops))
        names = [output.name for output in request.outputs]
        response = service.ModelInferResponse(model_name=request.model_name, model_version="1")
        for name, values in zip(names, self.session.run(names, {"crops": crops})):
            response.outputs.add(name=name, datatype="FP32", shape=values.shape)
            response.raw_output_contents.append(values.tobytes())
        self.spoil(response)
        return response

    def _crops(self, request: Any, context: Any) -> Crops:
        (described,), (tensor,) = self.config.input, request.inputs
        expected = (described.name, DataType.Name(described.data_type), list(described.dims))
        if (tensor.name, f"TYPE_{tensor.datatype}", list(tensor.shape[1:])) != expected:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"unexpected shape for input '{tensor.name}'")
        if not 1 <= tensor.shape[0] <= self.config.max_batch_size:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"batch-size must be <= {self.config.max_batch_size}")
        return np.frombuffer(request.raw_input_contents[0], np.uint8).reshape(tensor.shape)

    def _refuse_unknown(self, name: str, context: Any) -> None:
        if name != self.config.name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("triton") / "models"
    write_repository(PACKAGED, folder, "edge68")
    return folder


@pytest.fixture
def triton(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setenv("no_grpc_proxy", "127.0.0.1")
    stand_in = StandIn(repository)
    yield stand_in
    stand_in.stop()


@pytest.fixture
def engine(triton: StandIn) -> TritonEngine:
    return TritonEngine(triton.url, "edge68", PATIENT_S)


@pytest.fixture(scope="module")
def local() -> OnnxEngine:
    return OnnxEngine(PACKAGED)


@pytest.fixture(scope="module")
def faces(clip: DemoClip, frames: list[Frame]) -> Crops:
    """(5, SIZE, SIZE, 3) from the demo clip."""
    rois = [next_roi(Landmarks.from_points(clip.truth_px(index), IBUG68)) for index in range(5)]
    return np.stack([crop(frame.image_rgb, roi, SIZE) for frame, roi in zip(frames, rois)])


def noise(count: int) -> Crops:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def arrays(output: EngineOutput) -> list[NDArray[np.float32]]:
    return [output.points_px, output.scores, output.covariances_px2]


def assert_sentence(error: TrackerError, *parts: object) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) < 900
    for part in parts:
        assert str(part) in str(error)


def test_the_model_is_named_by_its_url(triton: StandIn, engine: TritonEngine) -> None:
    """The same name in the files of tracker.run and of track_to_parquet, which has only the engine."""
    identity = identify_engine(engine)
    assert (identity.name, identity.sha256) == (f"triton://{triton.url}/edge68", None)
    assert identity.licence == engine.spec.licence


class TestSame:
    @pytest.mark.parametrize(("count", "batches"), [(1, [1]), (5, [5]), (16, [16]), (20, [16, 4])])
    def test_on_noise(
        self, triton: StandIn, engine: TritonEngine, local: OnnxEngine, count: int, batches: list[int]
    ) -> None:
        crops = noise(count)
        found = arrays(engine.run(crops))
        assert triton.batches == batches
        ends = [0, *itertools.accumulate(batches)]
        parts = [arrays(local.run(crops[a:b])) for a, b in itertools.pairwise(ends)]
        for one, here, whole in zip(found, zip(*parts), arrays(local.run(crops))):
            assert one.dtype == np.float32 and one.flags.writeable
            assert_array_equal(one, np.concatenate(here))
            assert_allclose(one, whole, atol=1e-3)  # a larger batch may be summed in another order

    def test_on_faces(self, engine: TritonEngine, local: OnnxEngine, faces: Crops) -> None:
        for found, expected in zip(arrays(engine.run(faces)), arrays(local.run(faces))):
            assert_array_equal(found, expected)

    def test_on_crops_that_lie_apart_in_memory(self, engine: TritonEngine, local: OnnxEngine) -> None:
        crops = noise(4)[::2, :, ::-1]
        expected = local.run(np.ascontiguousarray(crops))
        assert_array_equal(engine.run(crops).points_px, expected.points_px)

    def test_on_no_crops(self, triton: StandIn, engine: TritonEngine) -> None:
        assert [array.shape for array in arrays(engine.run(noise(0)))] == [(0, 68, 2), (0, 68), (0, 68, 3)]
        assert triton.batches == []

    def test_the_spec(self, engine: TritonEngine, local: OnnxEngine) -> None:
        assert engine.spec == local.spec

    def test_smaller_batches(self, triton: StandIn, local: OnnxEngine) -> None:
        triton.config.max_batch_size = 2
        TritonEngine(triton.url, "edge68", PATIENT_S).run(noise(5))
        assert triton.batches == [2, 2, 1]

    def test_from_a_picture_to_landmarks(
        self, engine: TritonEngine, local: OnnxEngine, clip: DemoClip, frames: list[Frame]
    ) -> None:
        truth = clip.truth_px(0)
        rois = [next_roi(Landmarks.from_points(truth, IBUG68))]
        (found,), (expected,) = (
            LandmarkEstimator(each).estimate(frames[0].image_rgb, rois) for each in (engine, local)
        )
        assert_array_equal(found.landmarks.points_px, expected.landmarks.points_px)
        assert found.score >= engine.spec.presence
        errors = np.linalg.norm(found.landmarks.points_px - truth, axis=1)
        assert errors.mean() < 0.05 * np.linalg.norm(truth[36] - truth[45])


class TestByUrl:
    """The address and the model in one URL, as --model takes it."""

    @pytest.fixture
    def url(self, triton: StandIn) -> str:
        return f"triton://{triton.url}/edge68"

    def test_a_tracker_gives_the_same_results(self, triton: StandIn, url: str, frames: list[Frame]) -> None:
        found, expected = ([Tracker(model).step(f).to_dict()["faces"] for f in frames[:3]] for model in (url, PACKAGED))
        assert found == expected
        assert expected[0] and triton.batches

    def test_on_the_command_line(
        self, url: str, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        outputs = {"output": tmp_path / "o.jsonl", "stats": tmp_path / "stats.json"}
        run(video=str(video), model=url, **outputs)  # type: ignore[arg-type]
        assert f"model {url}, licence: " in capsys.readouterr().out
        assert json.loads(outputs["stats"].read_text())["model"]["sha256"] is None
        lines = [json.loads(line) for line in outputs["output"].read_text().splitlines()]
        assert len(lines) == 90 and lines[0]["faces"]

    def test_an_evaluation(self, url: str, frames: list[Frame], clip: DemoClip, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(frames[0].image_rgb, cv2.COLOR_RGB2BGR))
        write_pts(tmp_path / "a.pts", clip.truth_px(0))
        evaluate("folder", tmp_path, tmp_path / "report.json", model=url)
        record = json.loads((tmp_path / "report.json").read_text())
        assert (record["model"]["name"], record["model"]["sha256"]) == (url, None)

    @pytest.mark.parametrize(
        ("spoil", "parts"),
        [
            (lambda s: setattr(s.config, "name", "edge98"), ("does not serve a model 'edge68'", "export.triton")),
            (lambda s: s.config.parameters.clear(), ("is not a landmark model", KEY)),
            (lambda s: set_spec(s.config, size=64), ("contradicts its spec",)),
            (lambda s: setattr(s, "live", False), ("is not live",)),
            (lambda s: s.stop(), ("no Triton Inference Server answers at",)),
        ],
        ids=["no such model", "no spec", "another spec", "not live", "no server"],
    )
    def test_what_fails_is_one_sentence(
        self, triton: StandIn, url: str, spoil: Callable[[StandIn], object], parts: tuple[str, ...]
    ) -> None:
        spoil(triton)
        with pytest.raises(TrackerError) as error:
            Tracker(url)
        assert_sentence(error.value, triton.url, *parts)


class TestConnecting:
    def test_no_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("no_grpc_proxy", "127.0.0.1")
        with socket.socket() as unheard:
            unheard.bind(("127.0.0.1", 0))  # and does not listen
            url = f"127.0.0.1:{unheard.getsockname()[1]}"
            with pytest.raises(TrackerError) as error:
                TritonEngine(url, "edge68", PATIENT_S)
        assert_sentence(error.value, f"no Triton Inference Server answers at {url} (UNAVAILABLE: ", "localhost:8001")

    def test_another_service(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("no_grpc_proxy", "127.0.0.1")
        server = grpc.server(ThreadPoolExecutor(1))
        url = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        with pytest.raises(TrackerError) as error:
            TritonEngine(url, "edge68", PATIENT_S)
        server.stop(grace=None).wait()
        assert_sentence(error.value, f"no Triton Inference Server answers at {url} (UNIMPLEMENTED: ")

    def test_a_server_that_is_not_live(self, triton: StandIn) -> None:
        triton.live = False
        with pytest.raises(TrackerError) as error:
            TritonEngine(triton.url, "edge68", PATIENT_S)
        assert_sentence(error.value, f"Triton at {triton.url} is not live; see its log")

    def test_a_server_that_is_not_ready_because_of_another_model(self, triton: StandIn) -> None:
        triton.server_ready = False
        assert len(TritonEngine(triton.url, "edge68", PATIENT_S).run(noise(1)).scores) == 1

    def test_an_unknown_model(self, triton: StandIn) -> None:
        with pytest.raises(TrackerError) as error:
            TritonEngine(triton.url, "edge98", PATIENT_S)
        assert_sentence(
            error.value, triton.url, "does not serve a model 'edge98' (NOT_FOUND: ", "python -m export.triton"
        )

    def test_a_model_that_is_not_ready(self, triton: StandIn) -> None:
        triton.model_ready = False
        with pytest.raises(TrackerError) as error:
            TritonEngine(triton.url, "edge68", PATIENT_S)
        assert_sentence(error.value, triton.url, "model 'edge68' is not ready")

    @pytest.mark.parametrize("timeout_s", [0, -1, float("nan")])
    def test_no_time(self, timeout_s: float) -> None:
        with pytest.raises(TrackerError, match="timeout_s must be above 0 seconds"):
            TritonEngine("127.0.0.1:1", "edge68", timeout_s)

    def test_without_the_client(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tritonclient.grpc", None)
        with pytest.raises(TrackerError) as error:
            TritonEngine("127.0.0.1:1", "edge68")
        assert_sentence(error.value, "not installed", "pip install 'landmark-tracker[triton]'")


def set_spec(config: Any, **changes: Any) -> None:
    parameter = config.parameters[KEY]
    parameter.string_value = json.dumps({**json.loads(parameter.string_value), **changes})


CONTRADICTIONS: dict[str, Callable[[Any], object]] = {
    "size": lambda config: set_spec(config, size=64),
    "scheme": lambda config: set_spec(config, scheme="wflw98", visibility={}),
    "dims": lambda config: config.output[0].dims.append(1),
    "type": lambda config: setattr(config.output[1], "data_type", DataType.Value("TYPE_FP16")),
    "unknown type": lambda config: setattr(config.output[1], "data_type", 99),
    "name": lambda config: setattr(config.input[0], "name", "pixels"),
    "one more": lambda config: config.output.add(name="maps"),
    "no batches": lambda config: setattr(config, "max_batch_size", 0),
}


class TestForeignModels:
    def test_without_a_spec(self, triton: StandIn) -> None:
        triton.config.parameters.clear()
        with pytest.raises(TrackerError) as error:
            TritonEngine(triton.url, "edge68", PATIENT_S)
        assert_sentence(error.value, triton.url, "'edge68' is not a landmark model", KEY, "python -m export.triton")

    @pytest.mark.parametrize("text", ["", "hello", "[]", "{}"])
    def test_a_damaged_spec(self, triton: StandIn, text: str) -> None:
        triton.config.parameters[KEY].string_value = text
        with pytest.raises(TrackerError) as error:
            TritonEngine(triton.url, "edge68", PATIENT_S)
        assert_sentence(error.value, triton.url, "model 'edge68': its", "is not understood")

    def test_of_another_contract(self, triton: StandIn) -> None:
        set_spec(triton.config, contract=2)
        with pytest.raises(TrackerError, match="model 'edge68': made for contract 2"):
            TritonEngine(triton.url, "edge68", PATIENT_S)

    @pytest.mark.parametrize("change", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
    def test_a_spec_that_contradicts_the_rest(self, triton: StandIn, change: Callable[[Any], object]) -> None:
        change(triton.config)
        with pytest.raises(TrackerError) as error:
            TritonEngine(triton.url, "edge68", PATIENT_S)
        assert_sentence(error.value, triton.url, "'edge68' contradicts its spec; expected", "got")


def reshape(response: Any) -> None:
    del response.outputs[0].shape[:]
    response.outputs[0].shape.extend([68, 2, 2])


def truncate(response: Any) -> None:
    response.raw_output_contents[0] = response.raw_output_contents[0][:-4]


def forget(response: Any) -> None:
    del response.outputs[0], response.raw_output_contents[0]


def retype(response: Any) -> None:
    response.outputs[0].datatype = "INT32"


def retype_as(datatype: str) -> Callable[[Any], None]:
    def spoil(response: Any) -> None:
        response.outputs[0].datatype = datatype

    return spoil


def reshape_to(*shape: int) -> Callable[[Any], None]:
    def spoil(response: Any) -> None:
        del response.outputs[0].shape[:]
        response.outputs[0].shape.extend(shape)

    return spoil


def empty(response: Any) -> None:
    response.Clear()


def without_content(response: Any) -> None:
    del response.raw_output_contents[:]


def as_texts(response: Any) -> None:
    without_content(response)
    response.outputs[0].contents.bytes_contents.extend([b"a"] * 272)


NO_TENSORS = [reshape, truncate, forget, retype, empty, without_content, as_texts]
NO_TENSORS += [retype_as(kind) for kind in ("BYTES", "FP64", "FP16", "BF16", "BOOL", "", "nonsense")]
NO_TENSORS += [reshape_to(*shape) for shape in ((), (0,), (-5, 68, 2), (2**62, 2**62), (2**63 - 1,), (1,) * 100)]


class TestRunning:
    def test_a_server_that_is_too_slow(self, triton: StandIn) -> None:
        engine = TritonEngine(triton.url, "edge68", timeout_s=1.5)
        triton.before = lambda context: triton.released.wait(PATIENT_S)
        start = time.monotonic()
        with pytest.raises(TrackerError) as error:
            engine.run(noise(1))
        assert 1 < time.monotonic() - start < PATIENT_S / 2
        assert_sentence(error.value, f"Triton at {triton.url} did not answer within 1.5 s; ", "timeout_s")

    def test_a_failure_of_the_server(self, triton: StandIn, engine: TritonEngine) -> None:
        triton.before = lambda context: context.abort(grpc.StatusCode.INTERNAL, "onnx runtime error 2:\n" + "no " * 500)
        with pytest.raises(TrackerError) as error:
            engine.run(noise(2))
        assert_sentence(
            error.value,
            triton.url,
            f"'edge68' failed on crops of (2, {SIZE}, {SIZE}, 3) ",
            "(INTERNAL: onnx runtime error 2: no no",
        )

    def test_afterwards_it_goes_on(self, triton: StandIn, engine: TritonEngine, local: OnnxEngine) -> None:
        triton.before = lambda context: context.abort(grpc.StatusCode.INTERNAL, "once")
        with pytest.raises(TrackerError, match="once"):
            engine.run(noise(1))
        triton.before = lambda context: None
        assert_array_equal(engine.run(noise(1)).points_px, local.run(noise(1)).points_px)

    def test_a_server_that_goes_away(self, triton: StandIn, engine: TritonEngine) -> None:
        triton.stop()
        with pytest.raises(TrackerError) as error:
            engine.run(noise(1))
        assert_sentence(
            error.value, triton.url, f"'edge68' failed on crops of (1, {SIZE}, {SIZE}, 3) ", "(UNAVAILABLE: "
        )

    def test_crops_of_another_size(self, engine: TritonEngine) -> None:
        with pytest.raises(TrackerError, match=r"expected crops \(N, 128, 128, 3\) uint8, got \(1, 64, 64, 3\)"):
            engine.run(noise(1)[:, :64, :64])

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -1e7])
    @pytest.mark.parametrize("output", range(3))
    def test_numbers_that_cannot_be(self, triton: StandIn, engine: TritonEngine, value: float, output: int) -> None:
        def spoil(response: Any) -> None:
            numbers = np.frombuffer(response.raw_output_contents[output], np.float32).copy()
            numbers[numbers.size // 2] = value
            response.raw_output_contents[output] = numbers.tobytes()

        triton.spoil = spoil
        with pytest.raises(TrackerError) as error:
            engine.run(noise(2))
        assert_sentence(
            error.value, triton.url, f"answered {OUTPUTS[output]} with values that are not finite or beyond"
        )

    def test_answers_with_any_bytes_changed(self, triton: StandIn, engine: TritonEngine) -> None:
        """An answer is whole and finite, or a TrackerError; nothing else comes."""
        draw, refused = random.Random(0), 0

        def spoil(response: Any) -> None:
            content = bytearray(response.SerializeToString())
            for _ in range(draw.choice([1, 3, 30])):
                content[draw.randrange(400) if draw.random() < 0.5 else -1 - draw.randrange(3000)] = draw.randrange(256)
            response.Clear()
            with contextlib.suppress(Exception):
                response.MergeFromString(bytes(content))

        triton.spoil = spoil
        for _ in range(100):
            try:
                output = engine.run(noise(1))
            except TrackerError as error:
                refused += 1
                assert_sentence(error, triton.url)
            else:
                assert all(np.isfinite(array).all() for array in arrays(output))
        assert 20 < refused < 100

    @pytest.mark.parametrize(
        "url", ["", "no host", "localhost", "localhost:port", "anna:SECRET@127.0.0.1:1", "a\0:1", "ü:1"]
    )
    def test_addresses_that_are_none(self, url: str) -> None:
        with pytest.raises(TrackerError) as error:
            TritonEngine(url, "edge68", 1.0)
        assert_sentence(error.value)
        assert "SECRET" not in str(error.value)

    @pytest.mark.parametrize("spoil", NO_TENSORS)
    def test_an_answer_that_contradicts_the_spec(
        self, triton: StandIn, engine: TritonEngine, spoil: Callable[[Any], None]
    ) -> None:
        triton.spoil = spoil
        with pytest.raises(TrackerError) as error:
            engine.run(noise(2))
        assert_sentence(error.value, triton.url, f"expected {OUTPUTS[0]} (2, 68, 2) float32, got", "export.triton")
