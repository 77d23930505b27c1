"""The net in int8, for CPUs and for TensorRT: near the float32 one on real faces, or no file."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import export.onnx as export_onnx
from export.graph import LandmarkGraph
from export.int8.choice import Losses
from export.int8.nodes import Nodes
from export.int8.quantise import (
    CPU,
    FACES,
    TENSORRT,
    Quantisation,
    Quantiser,
    Target,
    calibration_crops,
    calibration_faces,
    convolutions,
)
from export.lint import lint
from export.onnx import write_onnx
from export.run import export, load
from export.tensorrt import build, engine_key
from export.verify import ANYTHING, Budget, Difference, Reference
from tracker.engines.onnx import OnnxEngine
from tracker.engines.spec import ModelSpec
from tracker.engines.tensorrt.plan import described_plan
from tracker.errors import TrackerError
from tracker.face.schemes import IBUG68
from train.datasets import W300
from train.loaders import Crops, FaceData

PACKAGED = Path(__file__).parents[3] / "tracker/weights/research/edge68_300w.onnx"  # whose faces are at hand
WHOLE = Budget(np.inf, 1.0, 0.03, p50_px=0.5, p999_px=np.inf, score=0.05, covariance=0.5)  # with all in int8
UNTRAINED: dict[str, Any] = {"budget": ANYTHING, "allow_untrained": True}  # so small a net on drawn faces keeps none
TARGETS = pytest.mark.parametrize("target", [CPU, TENSORRT], ids=["cpu", "tensorrt"])


@pytest.fixture(scope="session")
def data(checkpoint: Path) -> FaceData:
    return load(checkpoint)[1]


@pytest.fixture(scope="session")
def int8(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What export.run writes from the tiny checkpoint, for CPUs."""
    output = tmp_path_factory.mktemp("int8") / "Modell é.onnx"
    export(checkpoint, output, "drawn", "int8", **UNTRAINED)
    assert sorted(os.listdir(output.parent)) == [output.name, f"{output.name}.modelinfo"]
    return output


class TestCalibration:
    def test_no_face_is_verified_on(self, data: FaceData) -> None:
        drawn = {sample.picture for sample in calibration_faces(data).crops.samples}
        training, validation = data.source.faces()
        assert drawn == {sample.picture for sample in training}  # fewer than are wanted: all
        assert not drawn & {sample.picture for sample in validation}
        assert {s.picture for s in validation} == {s.picture for s in data.validation.samples}

    def test_repeats_itself(self, data: FaceData) -> None:
        crops = calibration_crops(data)
        assert crops.shape == (FACES, 32, 32, 3) and crops.dtype == np.uint8
        np.testing.assert_array_equal(crops, calibration_crops(data))

    def test_few_faces_are_seen_in_several_ways(self, data: FaceData) -> None:
        crops, count = calibration_crops(data), len(calibration_faces(data))
        assert not np.array_equal(crops[0], crops[count])

    def test_faces_that_are_gone(self, checkpoint: Path, tmp_path: Path) -> None:
        data = load(checkpoint)[1]
        data.source = W300(tmp_path)
        with pytest.raises(TrackerError, match=r"int8 is calibrated on the checkpoint's own training faces: .*missing"):
            calibration_crops(data)


class TestFile:
    def test_carries_its_spec(self, int8: Path, checkpoint: Path, tmp_path: Path) -> None:
        export(checkpoint, tmp_path / "float.onnx", "drawn", allow_untrained=True)
        assert OnnxEngine(int8).spec == OnnxEngine(tmp_path / "float.onnx").spec

    def test_takes_any_number_of_faces(self, int8: Path) -> None:
        crops = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
        together = OnnxEngine(int8).run(crops).points_px
        alone = [OnnxEngine(int8).run(crops[i : i + 1]).points_px[0] for i in range(5)]
        np.testing.assert_allclose(together, alone, atol=1e-3)

    @TARGETS
    def test_only_the_net_is_quantised_and_not_its_ends(self, target: Target) -> None:
        nodes = Nodes(quantised(PACKAGED, noise(8), target))
        sources = {
            node.name: [nodes.producer(name) for name in node.input[:2]]
            for node in nodes.all
            if node.op_type in ("Conv", "Add")
        }
        rounded = {
            name
            for name, found in sources.items()
            if all(each and each.op_type == "DequantizeLinear" for each in found)
        }
        convolutions = [node.name for node in nodes.all if node.op_type == "Conv"]
        ends = {convolutions[0], convolutions[1], convolutions[-1]}
        assert "stem.0" in convolutions[0] and "stem.2" in convolutions[1] and "head" in convolutions[-1]
        assert {*convolutions} - rounded == ends
        assert all(name.startswith("/net/") for name in rounded)

    @TARGETS
    def test_is_small(self, target: Target) -> None:
        assert quantised(PACKAGED, noise(8), target).ByteSize() < 0.4 * PACKAGED.stat().st_size


class TestMixed:
    """Some nodes stay in float32 to keep the landmarks within the budget."""

    @pytest.mark.slow
    @TARGETS
    def test_real_faces_keep_to_the_budget(
        self, real: tuple[NDArray[np.uint8], Reference], tmp_path: Path, target: Target
    ) -> None:
        """Part of the net is in int8, and the faces keep to the budget, half of which were not looked at."""
        (crops, reference), allowed_px, path = real, 0.2, tmp_path / "model.onnx"
        quantisation = Quantisation(crops[:32], target, reference.crops[::2].numpy())
        model = Quantiser(PACKAGED, quantisation).within(0.85 * allowed_px)
        helper.set_model_props(model, OnnxEngine(PACKAGED).spec.to_metadata())
        onnx.save(model, path)
        assert 0 < convolutions(path)[0] < 42
        assert reference.compare(path, "int8").p99_px <= allowed_px


def noise(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 128, 128, 3), np.uint8)


def quantised(source: Path, crops: NDArray[np.uint8], target: Target) -> onnx.ModelProto:
    """All that may be in int8 is."""
    return Quantiser(source, Quantisation(crops, target)).within()


@pytest.fixture(scope="session")
def real(shared: Path) -> tuple[NDArray[np.uint8], Reference]:
    """Crops of 63 training faces, and what the packaged model says of 49 validation faces."""
    root = shared / "data/300w"
    if not root.is_dir():
        pytest.skip("needs 300W in ../shared/data")
    training, validation = (Crops(part[::step], 128) for part, step in zip(W300(root).faces(), (30, 3)))
    faces = validation.together()
    engine = OnnxEngine(PACKAGED)

    class Packaged:
        """Stands for the graph that the packaged model was made from, all of whose peaks are clear."""

        def maps(self, crops: torch.Tensor) -> tuple[torch.Tensor, None]:
            self.output = engine.run(crops.numpy())
            return torch.tensor([1.0, 0.0]).expand(len(crops), 68, 1, 2), None

        def decode(self, *_: object) -> tuple[torch.Tensor, ...]:
            return tuple(torch.from_numpy(each) for each in dataclasses.astuple(self.output))

    reference = Reference(Packaged(), faces.crops, faces.points_px.double().numpy(), IBUG68)  # type: ignore[arg-type]
    return np.stack([training[i].crops.numpy() for i in range(len(training))]), reference


@TARGETS
def test_real_faces_are_within_the_budget(
    real: tuple[NDArray[np.uint8], Reference], tmp_path: Path, target: Target
) -> None:
    crops, reference = real
    model = quantised(PACKAGED, crops, target)
    helper.set_model_props(model, OnnxEngine(PACKAGED).spec.to_metadata())
    onnx.save(model, tmp_path / "model.onnx")
    difference = reference.compare(tmp_path / "model.onnx", "int8")
    assert difference.excess(WHOLE) == ""
    assert difference.mean_px > 0.01  # it is another model


@pytest.mark.slow
@pytest.mark.parametrize("part", ["equalise", "round_weights"])
def test_equalising_and_compensating_make_errors_smaller(
    real: tuple[NDArray[np.uint8], Reference], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    crops, reference = real

    def error_px() -> float:
        model = quantised(PACKAGED, crops, CPU)
        helper.set_model_props(model, OnnxEngine(PACKAGED).spec.to_metadata())
        onnx.save(model, tmp_path / "model.onnx")
        return reference.compare(tmp_path / "model.onnx", "int8").mean_px

    with_it = error_px()
    monkeypatch.setattr(f"export.int8.quantise.{part}", lambda *_: {})
    assert error_px() > 1.03 * with_it


def test_a_second_try_measures_nothing_again(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces that were not tried may move further than the budget; then less of it is used."""
    made: list[Path] = []
    tried: list[float] = []
    measured: list[object] = []

    class Watched(Quantiser):
        def __init__(self, path: Path, quantisation: Quantisation) -> None:
            made.append(path)
            super().__init__(path, quantisation)

        def within(self, p99_px: float = math.inf) -> onnx.ModelProto:
            tried.append(p99_px)
            return super().within(p99_px)

        def losses(self, loss: Callable[[onnx.ModelProto], float]) -> Losses:
            measured.append(loss)
            return super().losses(loss)

    def too_far_at_first(*arguments: Any) -> Difference:
        found = compare(*arguments)
        return dataclasses.replace(found, p99_px=500.0) if len(tried) == 1 else found

    compare = export_onnx._compare
    monkeypatch.setattr(export_onnx, "Quantiser", Watched)
    monkeypatch.setattr(export_onnx, "_compare", too_far_at_first)
    graph = LandmarkGraph(load(checkpoint)[0]).eval()
    crops = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    reference = Reference(graph, crops, np.random.default_rng(0).uniform(0, 32, (4, 68, 2)), IBUG68)
    wide = dataclasses.replace(ANYTHING, p99_px=100.0)
    spec = ModelSpec(32, "ibug68", 0.5, "", "", {}, "")
    quantisation = Quantisation(crops.numpy(), CPU, crops.numpy())
    difference = write_onnx(graph, spec, reference, tmp_path / "m.onnx", wide, quantisation)
    assert (len(made), len(measured), tried) == (1, 1, pytest.approx([95.0, 80.0]))
    assert difference.p99_px != 500
    assert OnnxEngine(tmp_path / "m.onnx").run(crops.numpy()).points_px.shape == (4, 68, 2)


class TestRefused:
    def spec(self) -> ModelSpec:
        return ModelSpec(32, "ibug68", 0.5, "", "", {}, "")

    def test_over_budget(self, checkpoint: Path, tmp_path: Path) -> None:
        with pytest.raises(
            TrackerError, match=r"m\.onnx: not written: .* px, the budget 1e-06.*; the worst landmarks are \d"
        ):
            export(checkpoint, tmp_path / "m.onnx", "drawn", "int8", budget=Budget(p50_px=1e-6), allow_untrained=True)
        assert os.listdir(tmp_path) == []

    def test_a_budget_that_allows_nothing(self, checkpoint: Path, tmp_path: Path) -> None:
        with pytest.raises(
            TrackerError, match=r"no convolution can be in int8 if 99 % of the landmarks may move by 1e-06 px"
        ):
            export(checkpoint, tmp_path / "m.onnx", "drawn", "int8", budget=Budget(p99_px=1e-6), allow_untrained=True)
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("tool", ["quantize_static", "shape_inference.quant_pre_process"])
    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("a file is cut off")])
    def test_a_full_temporary_folder_leaves_nothing(
        self, tool: str, error: Exception, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(f"onnxruntime.quantization.{tool}", fail)
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
        graph = LandmarkGraph(load(checkpoint)[0]).eval()
        crops = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
        reference = Reference(graph, crops, np.random.default_rng(0).uniform(0, 32, (2, 68, 2)), IBUG68)
        told = r"temporary files cannot be written in .*: No space left on device; name a folder .* in \$TMPDIR"
        with pytest.raises(TrackerError, match=told):
            write_onnx(graph, self.spec(), reference, tmp_path / "m.onnx", ANYTHING, Quantisation(crops.numpy(), CPU))
        assert os.listdir(tmp_path) == []

    def test_other_failures_are_not_taken_for_a_full_disk(
        self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise ValueError("a bug")

        model = tmp_path / "m.onnx"
        export(checkpoint, model, "drawn", allow_untrained=True)
        monkeypatch.setattr("onnxruntime.quantization.shape_inference.quant_pre_process", fail)
        with pytest.raises(ValueError, match="a bug"):
            Quantiser(model, Quantisation(np.zeros((2, 32, 32, 3), np.uint8), CPU))


@pytest.mark.slow
class TestTensorRT:
    def test_the_plan_says_int8(self, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX", exc_type=ImportError)
        model = tmp_path / "m.onnx"
        export(checkpoint, model, "drawn", "int8", **UNTRAINED, to="tensorrt_rtx")
        (plan,) = (tmp_path / "engines").glob("*.plan")
        assert described_plan(plan)[0].precision == "int8" and "_int8_" in plan.name
        assert lint(model) == []
        assert "benchmarks.int8" not in capsys.readouterr().out  # that is about CPUs
        with pytest.raises(TrackerError, match="the key says fp32, the model is int8"):
            build(model, engine_key(model, "tensorrt_rtx"))
        zeros = [t for t in onnx.load(model).graph.initializer if t.name.endswith("zero_point")]
        assert {t.data_type for t in zeros} == {TensorProto.INT8}
        assert not any(numpy_helper.to_array(t).any() for t in zeros)

    def test_the_cpus_is_refused_and_lint_says_why(self, int8: Path) -> None:
        pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX", exc_type=ImportError)
        assert [finding.rule for finding in lint(int8)] == ["zero-point", "int32-dequantize"]
        with pytest.raises(TrackerError, match=r"refuses node .*`python -m export.lint` names what to change") as error:
            build(int8, engine_key(int8, "tensorrt_rtx", precision="int8"))
        assert "\n" not in str(error.value)
