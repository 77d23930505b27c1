"""Fuzzes models and their files: metadata, ONNX, external weights, detectors, plans, Triton's repository."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks._lib.fuzzing.reader import Files, Reader, expect
from export.lint import lint
from export.triton import write_repository
from tracker.detectors.loading import load_detector
from tracker.engines.onnx import OnnxEngine
from tracker.engines.onnx_file import external_files, metadata_of, model_sha256, read_model
from tracker.engines.spec import KEY, LONGEST_TEXT, SIZES, ModelSpec
from tracker.engines.tensorrt.plan import EngineKey, checked_plan, described_plan, write_plan
from tracker.errors import TrackerError
from tracker.face.crop import Roi
from tracker.face.schemes import SCHEMES
from tracker.tracking.estimator import LandmarkEstimator
from tracker.weights.packaged import BLAZEFACE, YUNET

SIZE = 8
SPEC = ModelSpec(SIZE, "ibug68", 0.5, "softmax", "drawn", {"data": {"root": "faces", "views": [1, 2.5, None]}}, "here")
PLAN = EngineKey("ab" * 32, "tensorrt", "10.3.0", "12.6", ("sm87",), "Orin (nvgpu)", "fp32", (1, 4, 16))


def tiny_model(spec: ModelSpec = SPEC) -> onnx.ModelProto:
    """Return a landmark model whose points depend only on the crop's brightness."""
    count = spec.landmark_scheme().count
    rng = np.random.default_rng(0)
    crops = helper.make_tensor_value_info("crops", TensorProto.UINT8, ["faces", spec.size, spec.size, 3])
    constants = {
        "column": np.array([-1, 1]),
        "slopes": rng.uniform(0, 1e-3, (1, count * 6)).astype(np.float32),
        "places": rng.uniform(0, spec.size, count * 6).astype(np.float32),
        "sizes": np.array([count * 2, count, count * 3]),
    }
    nodes = [
        helper.make_node("Cast", ["crops"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["means", "column"], ["column_of_means"]),
        helper.make_node("MatMul", ["column_of_means", "slopes"], ["moved"]),
        helper.make_node("Add", ["moved", "places"], ["flat"]),
        helper.make_node("Split", ["flat", "sizes"], ["p", "s", "c"], axis=1),
    ]
    outputs = []
    for short, name, last in (("p", "points_px", [2]), ("s", "scores", []), ("c", "covariances_px2", [3])):
        constants[f"{short}_shape"] = np.array([-1, count, *last])
        nodes.append(helper.make_node("Reshape", [short, f"{short}_shape"], [name]))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["faces", count, *last]))
    tensors = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "tiny", [crops], outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, spec.to_metadata())
    return model


def _specs() -> list[Files]:
    others = (SPEC, replace(SPEC, size=128, scheme="wflw98", temperature=0.5, presence=0, config={}))
    return [{"spec.json": spec.to_metadata()[KEY].encode()} for spec in others]


def _read_spec(folder: Path) -> None:
    text = (folder / "spec.json").read_bytes() if (folder / "spec.json").exists() else b""
    _expect_spec(ModelSpec.from_metadata({KEY: text.decode("utf-8", "surrogateescape")}, "a model"))


def _expect_spec(spec: ModelSpec) -> None:
    expect(type(spec.size) is int and SIZES[0] <= spec.size <= SIZES[1], f"its size is {spec.size!r:.50}")
    expect(spec.scheme in SCHEMES, f"its scheme is {spec.scheme!r:.50}")
    expect(0 <= spec.presence <= 1, f"its presence is {spec.presence}")
    expect(0 < spec.temperature < float("inf"), f"its temperature is {spec.temperature}")
    expect(
        all(len(text.encode()) <= 4 * LONGEST_TEXT for text in (spec.licence, spec.decode, spec.commit)), "it is long"
    )
    json.dumps(asdict(spec))


def _models() -> list[Files]:
    return [{"model.onnx": tiny_model().SerializeToString()}]


def _models_beside() -> list[Files]:
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"location": "model.data", "size_threshold": 100, "all_tensors_to_one_file": True}
        onnx.save(tiny_model(), f"{folder}/model.onnx", save_as_external_data=True, **options)
        return [{path.name: path.read_bytes() for path in Path(folder).iterdir()}]


def _read_model(folder: Path) -> None:
    path = folder / "model.onnx"
    model = read_model(path)
    metadata_of(model)
    for file in external_files(path, model):
        expect(file.is_relative_to(folder), f"weights are read from {file}")
    model_sha256(path)
    engine = OnnxEngine(path)
    _expect_spec(engine.spec)
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for measured in LandmarkEstimator(engine).estimate(picture, [Roi((20.0, 20.0), 30.0), Roi((5.0, 5.0), 90.0, 1.0)]):
        expect(np.isfinite(measured.landmarks.points_px).all(), "its landmarks are not finite")
        expect(np.isfinite(measured.landmarks.covariances_px2).all(), "its covariances are not finite")
        expect(0 <= measured.score <= 1, f"its score is {measured.score}")


def _lint(folder: Path) -> None:
    for finding in lint(folder / "model.onnx"):
        str(finding).encode()


def _detectors() -> list[Files]:
    return [{"detector.onnx": YUNET.path.read_bytes()}, {"detector.tflite": BLAZEFACE.path.read_bytes()}]


def _read_detector(folder: Path) -> None:
    path = next(iter(folder.iterdir()), folder / "detector.onnx")
    picture = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    for found in load_detector("auto", path).detect(picture):
        expect(np.isfinite(found.box_px).all() and np.isfinite(found.eyes_px).all(), "a face is not finite")


def _plans() -> list[Files]:
    with tempfile.TemporaryDirectory() as folder:
        write_plan(Path(folder) / "a.plan", b"a plan of TensorRT" * 20, PLAN, SPEC, 1.5)
        return [{path.name: path.read_bytes() for path in Path(folder).iterdir()}]


def _read_plan(folder: Path) -> None:
    path = folder / "a.plan"
    refused = None
    try:
        key, spec = described_plan(path)
        key.file_name().encode("utf-8", "surrogatepass")
        _expect_spec(spec)
    except TrackerError as error:
        refused = error
    expect(checked_plan(path, PLAN) == _plans()[0]["a.plan"], "the plan was altered")
    if refused is not None:
        raise refused


def _repositories() -> list[Files]:
    model = tiny_model().SerializeToString()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "model.onnx").write_bytes(model)
        write_repository(path / "model.onnx", path / "models", "tiny")
        return [{"model.onnx": model, "models/tiny/config.pbtxt": (path / "models/tiny/config.pbtxt").read_bytes()}]


def _write_repository(folder: Path) -> None:
    written = write_repository(folder / "model.onnx", folder / "models", "tiny")
    expect(written.read_bytes() == (folder / "model.onnx").read_bytes(), "another model was written")
    shutil.rmtree(folder / "models")


READERS = {
    "metadata": Reader(
        _specs, _read_spec, (TrackerError,), ("tracker.engines.spec:ModelSpec parse_json _inner _short",)
    ),
    "onnx": Reader(
        _models,
        _read_model,
        (TrackerError,),
        (
            "tracker.engines.onnx:OnnxEngine _open _metadata _first_line _check_shapes",
            "tracker.engines.onnx_file",
            "tracker.tracking.estimator:_replace_invalid _is_valid",
        ),
    ),
    "weights beside": Reader(_models_beside, _read_model, (TrackerError,), ("tracker.engines.onnx_file",)),
    "lint": Reader(_models, _lint, (TrackerError,), ("export.lint",)),
    "detectors": Reader(
        _detectors,
        _read_detector,
        (TrackerError,),
        (
            "tracker.detectors.yunet",
            "tracker.detectors.blazeface:BlazeFace blazeface_content",
            "tracker.weights.packaged:own_detector",
        ),
    ),
    "plans": Reader(
        _plans,
        _read_plan,
        (TrackerError,),
        (
            "tracker.engines.tensorrt.plan:checked_plan described_plan _read _damaged "
            "_is_well_formed _contradiction _as_json",
            "tracker.engines.tensorrt.trust",
        ),
    ),
    "triton": Reader(
        _repositories,
        _write_repository,
        (TrackerError,),
        ("export.triton:write_repository _files _refuse_another _next_version _put",),
        fixed=("model.onnx",),
    ),
}
