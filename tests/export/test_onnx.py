"""From a checkpoint to an engine that answers as torch does, or to one sentence and no file."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from export.calibration.fit import calibration_of
from export.graph import LandmarkGraph, Precision
from export.lint import lint
from export.onnx import OPSET, write_onnx
from export.run import export, load, main
from export.tensorrt import build, engine_key
from export.verify import ANYTHING, BUDGETS, Budget, Reference
from tracker.engines.onnx import OnnxEngine
from tracker.engines.spec import KEY, ModelSpec
from tracker.errors import TrackerError
from tracker.face.crop import VIEW
from tracker.face.schemes import IBUG68
from train.codecs import gaussian
from train.models.hourglass import StackedHourglass
from train.objectives import Structured
from train.task import LandmarkTask

LICENCE = "research only, drawn faces"
ALMOST = functools.partial(dataclasses.replace, ANYTHING)  # any difference but the one that is given


def assert_sentence(error: TrackerError, *parts: object) -> None:
    """One line that names the file and says what is expected of it."""
    text = str(error)
    assert "\n" not in text
    assert len(text) < 600
    for part in parts:
        assert str(part) in text


def random_crops(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=generator)


def reference(graph: LandmarkGraph, count: int) -> Reference:
    """Of random crops, every one of them labelled as the same face."""
    truth = np.random.default_rng(0).uniform(5, 27, (1, 68, 2)).repeat(count, 0)
    return Reference(graph, random_crops(count), truth, IBUG68)


@pytest.fixture(scope="session")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What export.run writes from the tiny checkpoint."""
    output = tmp_path_factory.mktemp("exported") / "Modell é.onnx"
    export(checkpoint, output, LICENCE, allow_untrained=True)
    assert sorted(os.listdir(output.parent)) == [output.name, f"{output.name}.modelinfo"]
    return output


@pytest.fixture(scope="session")
def half(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in half precision; so small a net on drawn faces keeps no budget."""
    output = tmp_path_factory.mktemp("half") / "half.onnx"
    export(checkpoint, output, LICENCE, "fp16", budget=ANYTHING, allow_untrained=True)
    return output


@pytest.fixture(scope="session")
def task(checkpoint: Path) -> LandmarkTask:
    return load(checkpoint)[0]


@pytest.fixture(scope="session")
def graph(task: LandmarkTask, checkpoint: Path) -> LandmarkGraph:
    _, data, _ = load(checkpoint)
    return LandmarkGraph(task, calibration=calibration_of(task, data.validation.together())).eval()


def test_deviations_are_scaled_after_the_fit(task: LandmarkTask, graph: LandmarkGraph, checkpoint: Path) -> None:
    faces = load(checkpoint)[1].validation.together()
    scaled = LandmarkGraph(task, calibration=calibration_of(task, faces, deviation_scale=1.5)).eval()
    with torch.no_grad():
        (points, _, covariances), (same, _, wider) = graph(faces.crops), scaled(faces.crops)
    assert torch.equal(points, same)
    torch.testing.assert_close(wider, 2.25 * covariances)


class TestEngine:
    @pytest.mark.parametrize("count", [1, 2, 5])
    def test_answers_as_torch_does(self, exported: Path, graph: LandmarkGraph, count: int) -> None:
        crops = random_crops(count, seed=count)
        output = OnnxEngine(exported).run(crops.numpy())
        with torch.no_grad():
            points, scores, covariances = graph(crops)
        assert output.points_px.shape == (count, 68, 2)
        assert output.points_px.dtype == np.float32
        assert output.scores.shape == (count, 68)
        assert output.covariances_px2.shape == (count, 68, 3)
        assert np.linalg.norm(output.points_px - points.numpy(), axis=-1).max() < 0.01
        np.testing.assert_allclose(output.scores, scores, atol=1e-4)
        np.testing.assert_allclose(output.covariances_px2, covariances, atol=0.02)

    def test_different_crops_are_answered_differently(self, exported: Path) -> None:
        """Neither the batch nor the crop was folded into the graph as a constant."""
        output = OnnxEngine(exported).run(random_crops(5).numpy())
        assert len(np.unique(output.points_px.reshape(5, -1), axis=0)) == 5

    def test_answers_as_the_trained_net_with_its_averaged_weights(
        self, exported: Path, task: LandmarkTask, checkpoint: Path
    ) -> None:
        """All of its stacks, unfused, and the decoder of validation."""
        raw = torch.load(checkpoint, weights_only=True)
        torch.testing.assert_close(task.state_dict(), raw["state_dict"], rtol=0, atol=0)
        with torch.no_grad():
            logits = task(random_crops(4))[-1] / OnnxEngine(exported).spec.temperature
            points, _, _ = gaussian.decode(logits, 4, 7)
        output = OnnxEngine(exported).run(random_crops(4).numpy())
        assert np.linalg.norm(output.points_px - points.numpy(), axis=-1).max() < 0.01

    def test_speaks_the_contract(self, exported: Path) -> None:
        model = onnx.load(exported)
        assert [i.version for i in model.opset_import if i.domain == ""] == [OPSET]
        (crops,) = model.graph.input
        assert crops.name == "crops"
        assert crops.type.tensor_type.elem_type == TensorProto.UINT8
        assert [d.dim_value for d in crops.type.tensor_type.shape.dim][1:] == [32, 32, 3]
        assert crops.type.tensor_type.shape.dim[0].dim_param == "faces"
        assert [o.name for o in model.graph.output] == ["points_px", "scores", "covariances_px2"]

    def test_a_byte_crop_goes_into_a_cast_and_nowhere_else(self, exported: Path) -> None:
        """TensorRT takes uint8 in no other operation."""
        takers = [node.op_type for node in onnx.load(exported).graph.node if "crops" in node.input]
        assert takers == ["Cast"]


@pytest.mark.slow
class TestFourStacks:
    """The hourglass of the papers, narrow and with few levels; at full size it takes a minute."""

    @pytest.fixture
    def trained(self) -> LandmarkTask:
        torch.manual_seed(0)
        net = StackedHourglass("ibug68", levels=1, width=16).train()
        with torch.no_grad():  # statistics that are not those of an untrained BatchNorm
            net(torch.rand(4, 3, 32, 32) * 2 - 1)
        return LandmarkTask(net, Structured(), size=32).eval()

    @pytest.mark.parametrize("precision", ["fp32", "fp16"])
    def test_answers_within_the_budget_and_is_built(
        self, trained: LandmarkTask, exported: Path, precision: Precision, tmp_path: Path
    ) -> None:
        output = tmp_path / "four.onnx"
        spec = OnnxEngine(exported).spec
        write_onnx(
            LandmarkGraph(trained, precision), spec, reference(LandmarkGraph(trained), 8), output, BUDGETS[precision]
        )
        assert lint(output) == []
        pytest.importorskip(
            "tensorrt_rtx", reason="needs TensorRT-RTX: pip install tensorrt-rtx-cu13", exc_type=ImportError
        )
        assert build(output, engine_key(output, "tensorrt_rtx", precision=precision))


class TestDecoder:
    def test_is_the_one_asked_for(self, checkpoint: Path, task: LandmarkTask, tmp_path: Path) -> None:
        export(checkpoint, tmp_path / "argmax.onnx", LICENCE, decoder="argmax", allow_untrained=True)
        engine = OnnxEngine(tmp_path / "argmax.onnx")
        points = engine.run(random_crops(3).numpy()).points_px
        assert engine.spec.decode.startswith("argmax")
        np.testing.assert_allclose((points + 0.5) / 4 % 1, 0.5, atol=1e-4)  # middles of cells


class TestSpec:
    def test_round_trip(self, exported: Path) -> None:
        spec = OnnxEngine(exported).spec
        assert (spec.size, spec.scheme, spec.licence, spec.view, spec.contract) == (
            32,
            "ibug68",
            LICENCE,
            VIEW,
            1,
        )
        assert 0 < spec.presence < 1
        assert "7 x 7 cells" in spec.decode
        assert spec.temperature != 1
        assert ModelSpec.from_metadata(spec.to_metadata(), "here") == spec

    def test_holds_the_training_configuration(self, exported: Path, w300: Path) -> None:
        config = OnnxEngine(exported).spec.config
        assert config["model"]["net"]["init_args"]["channels"] == [8, 8]
        assert config["model"]["learning_rate"] == 2e-3
        assert config["data"]["source"]["init_args"]["root"] == str(w300)

    def test_the_file_itself_says_its_licence(self, exported: Path) -> None:
        assert LICENCE in onnx.load(exported).doc_string

    @given(
        st.builds(
            ModelSpec,
            size=st.integers(8, 1024),
            scheme=st.sampled_from(["ibug68", "wflw98", "cofw29"]),
            presence=st.floats(0, 1),
            decode=st.text(),
            licence=st.text(),
            config=st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.booleans())),
            commit=st.text(),
            provenance=st.dictionaries(st.text(), st.text()),
        )
    )
    def test_any_round_trip(self, spec: ModelSpec) -> None:
        assert ModelSpec.from_metadata(spec.to_metadata(), "here") == spec


class TestHalf:
    def test_halves_the_net_and_nothing_else(self, half: Path, exported: Path) -> None:
        model = onnx.load(half)
        types = {w.data_type for w in model.graph.initializer if len(w.dims) == 4}
        assert types == {TensorProto.FLOAT16}
        assert {o.type.tensor_type.elem_type for o in model.graph.output} == {TensorProto.FLOAT}
        inferred = {
            v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(model).graph.value_info
        }
        for node in model.graph.node:
            if node.op_type in ("Softmax", "ArgMax", "GatherElements", "MatMul"):
                assert inferred[node.input[0]] == TensorProto.FLOAT, node.name
        assert half.stat().st_size < exported.stat().st_size

    def test_stays_near(self, half: Path, exported: Path) -> None:
        """Maps of random pixels have many peaks that nearly tie, so only the middle of the distances is judged."""
        one, other = (OnnxEngine(path).run(random_crops(8).numpy()).points_px for path in (half, exported))
        distances = np.linalg.norm(one - other, axis=-1)
        assert np.median(distances) < 0.1
        assert distances.max() > 0

    def test_leaves_the_checkpoints_net_alone(self, task: LandmarkTask) -> None:
        LandmarkGraph(task, "fp16")
        assert {p.dtype for p in task.parameters()} == {torch.float32}


class TestRefusedToWrite:
    def spec(self) -> ModelSpec:
        return ModelSpec(32, "ibug68", 0.5, "", "", {}, "")

    def test_over_budget(self, task: LandmarkTask, tmp_path: Path) -> None:
        class Drifting(LandmarkGraph):
            """Traced, it answers 3, 4 px beside its own answer for landmark 30."""

            def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
                points, scores, covariances = super().forward(crops)
                if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
                    drift = torch.zeros(68, 2)
                    drift[30] = torch.tensor([3.0, 4.0])
                    points = points + drift
                return points, scores, covariances

        drifting, output = Drifting(task), tmp_path / "model.onnx"
        with pytest.raises(TrackerError) as error:
            write_onnx(drifting, self.spec(), reference(drifting, 3), output, ALMOST(largest_px=4.9))
        assert_sentence(
            error.value,
            output,
            "the largest distance of a landmark with a clear peak is 5.0000 px, the budget 4.9",
            "worst landmarks are 30,",
        )
        assert os.listdir(tmp_path) == []
        difference = write_onnx(drifting, self.spec(), reference(drifting, 3), output, ALMOST(largest_px=5.1))
        assert (difference.faces, difference.worst[0]) == (3, 30)
        assert difference.largest_px == pytest.approx(5, abs=1e-3)
        assert difference.mean_px == pytest.approx(5 / 68, abs=1e-3)

    def test_over_budget_leaves_the_file_of_before(self, graph: LandmarkGraph, tmp_path: Path) -> None:
        output = tmp_path / "model.onnx"
        output.write_bytes(b"of before")
        with pytest.raises(TrackerError, match="the budget -1"):
            write_onnx(graph, self.spec(), reference(graph, 1), output, Budget(largest_px=-1))
        assert output.read_bytes() == b"of before"
        assert os.listdir(tmp_path) == ["model.onnx"]

    @pytest.mark.parametrize("name", ["missing/model.onnx", "file/model.onnx", "folder"])
    def test_where_nothing_can_be_written(self, graph: LandmarkGraph, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").write_bytes(b"")
        (tmp_path / "folder").mkdir()
        with pytest.raises(TrackerError) as error:
            write_onnx(graph, self.spec(), reference(graph, 1), tmp_path / name, BUDGETS["fp32"])
        assert_sentence(error.value, tmp_path / name, "cannot be written" if name != "folder" else "ends in .onnx")
        assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
        assert os.listdir(tmp_path / "folder") == []

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
    def test_into_a_folder_of_somebody_else(self, graph: LandmarkGraph, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(TrackerError, match=r"cannot be written \(Permission denied\)"):
            write_onnx(graph, self.spec(), reference(graph, 1), tmp_path / "model.onnx", BUDGETS["fp32"])
        tmp_path.chmod(0o700)


def foreign(path: Path, metadata: dict[str, str] | None = None) -> Path:
    """A sound model of somebody else: it adds 1."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y"))
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    made = helper.make_graph([helper.make_node("Add", ["x", "one"], ["y"])], "g", [x], [y], [one])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, str(path))
    return path


class TestRefusedToRead:
    @pytest.mark.parametrize("content", [b"", b"not a model", bytes(range(256)) * 40], ids=["empty", "text", "bytes"])
    def test_what_is_no_model(self, tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        with pytest.raises(TrackerError) as error:
            OnnxEngine(path)
        assert_sentence(error.value, path, "expected an ONNX model")
        assert capfd.readouterr() == ("", "")

    @given(share=st.floats(0, 1, exclude_max=True))
    @settings(max_examples=25)
    def test_a_truncated_one(self, exported: Path, tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
        path = tmp_path_factory.getbasetemp() / "truncated.onnx"
        whole = exported.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(TrackerError) as error:
            OnnxEngine(path)
        assert_sentence(error.value, path, "expected")

    @pytest.mark.parametrize("name", ["missing.onnx", "folder"])
    def test_what_cannot_be_read(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "folder").mkdir()
        with pytest.raises(TrackerError) as error:
            OnnxEngine(tmp_path / name)
        assert_sentence(error.value, tmp_path / name, "cannot read the model: ")

    def test_a_foreign_model(self, tmp_path: Path) -> None:
        with pytest.raises(TrackerError) as error:
            OnnxEngine(foreign(tmp_path / "foreign.onnx"))
        assert_sentence(error.value, tmp_path / "foreign.onnx", "expected a landmark model", "export.run")

    def test_a_foreign_model_that_claims_to_be_one_of_ours(self, exported: Path, tmp_path: Path) -> None:
        path = foreign(tmp_path / "foreign.onnx", OnnxEngine(exported).spec.to_metadata())
        with pytest.raises(TrackerError) as error:
            OnnxEngine(path)
        assert_sentence(error.value, path, "contradict its spec")

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"scheme": "ibug69"}, "unknown landmark scheme 'ibug69'; known: ibug68"),
            ({"scheme": ["ibug68"]}, "unknown landmark scheme"),
            ({"scheme": "wflw98", "visibility": {}}, "contradict its spec"),
            ({"scheme": "wflw98"}, "its visibility must be a slope and 98 offsets"),
            ({"size": 64}, "contradict its spec"),
            ({"size": "32"}, "its size must be a whole number of pixels in 8..1024, got '32'"),
            ({"contract": 2}, "made for contract 2, this runtime supports 1"),
            ({"view": 1.5}, "wants crops of 1.5 x the face, this runtime makes 1.25"),
            ({"presence": None}, "presence must be in 0..1, got None"),
            ({"presence": float("nan")}, "presence must be in 0..1, got nan"),
            ({"presence": 7}, "presence must be in 0..1, got 7"),
            ({"surprise": 1}, "is not understood; expected JSON with size, scheme"),
        ],
        ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
    )
    def test_a_changed_spec(self, exported: Path, tmp_path: Path, change: dict[str, Any], reason: str) -> None:
        changed = {**asdict(OnnxEngine(exported).spec), **change}
        self.assert_refused(exported, tmp_path / "changed.onnx", json.dumps(changed), reason)

    @pytest.mark.parametrize("text", ["", "{", "null", "[]", "3", '{"size": 32}', '"ibug68"'])
    def test_a_spec_that_is_none(self, exported: Path, tmp_path: Path, text: str) -> None:
        self.assert_refused(exported, tmp_path / "changed.onnx", text, "is not understood; expected JSON with")

    def assert_refused(self, exported: Path, path: Path, metadata: str, reason: str) -> None:
        model = onnx.load(exported)
        helper.set_model_props(model, {KEY: metadata})
        onnx.save(model, str(path))
        with pytest.raises(TrackerError) as error:
            OnnxEngine(path)
        assert_sentence(error.value, path, reason)


class TestCommand:
    @pytest.fixture
    def command(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
        def run(*options: str) -> int:
            monkeypatch.setattr(sys, "argv", ["export.run", *options])
            return main()

        return run

    def test_writes_and_reports(
        self, command: Callable[..., int], checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        output, chain = tmp_path / "model.onnx", tmp_path / "chain.yaml"
        chain.write_text("pictures: drawn here\nlabels: |\n  exact,\n  as drawn\n")
        options = [f"--licence={LICENCE}", f"--provenance={chain}", "--allow-untrained"]
        assert command(f"--checkpoint={checkpoint}", f"--output={output}", *options) == 0
        spec = OnnxEngine(output).spec
        assert spec.licence == LICENCE
        assert spec.provenance == {"pictures": "drawn here", "labels": "exact, as drawn"}
        printed = capsys.readouterr().out
        assert str(output) in printed
        assert "compared with PyTorch on 3 validation faces" in printed

    @pytest.mark.slow
    def test_builds_an_engine_beside_the_model(
        self, command: Callable[..., int], checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX", exc_type=ImportError)
        options = [
            f"--checkpoint={checkpoint}",
            f"--output={tmp_path / 'model.onnx'}",
            f"--licence={LICENCE}",
            "--allow-untrained",
        ]
        assert command(*options, "--to=tensorrt_rtx") == 0
        (plan,) = (tmp_path / "engines").glob("*.plan")
        assert f"{plan}: " in capsys.readouterr().out

    def test_puts_the_model_into_a_repository_for_triton(
        self, command: Callable[..., int], checkpoint: Path, tmp_path: Path
    ) -> None:
        pytest.importorskip("tritonclient.grpc", reason="needs Triton's client: pip install 'tritonclient[grpc]'")
        output = tmp_path / "face.onnx"
        options = [f"--checkpoint={checkpoint}", f"--output={output}", f"--licence={LICENCE}", "--allow-untrained"]
        assert command(*options, "--to=triton") == 0
        folder = tmp_path / "triton_models/face"
        assert (folder / "1/model.onnx").read_bytes() == output.read_bytes()
        assert 'name: "face"' in (folder / "config.pbtxt").read_text()

    @pytest.mark.parametrize(
        "damage", ["missing", "empty", "text", "bytes", "truncated", "another", "no dict", "folder"]
    )
    def test_refuses_what_is_no_checkpoint(
        self,
        command: Callable[..., int],
        checkpoint: Path,
        tmp_path: Path,
        damage: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        path = tmp_path / "some.ckpt"
        contents = {
            "empty": b"",
            "text": b"hello",
            "bytes": bytes(range(256)) * 9,
            "truncated": checkpoint.read_bytes()[:5000],
        }
        if damage in contents:
            path.write_bytes(contents[damage])
        elif damage == "folder":
            path.mkdir()
        elif damage != "missing":
            torch.save({"state_dict": {}} if damage == "another" else [1], path)
        before = sorted(os.listdir(tmp_path))
        assert command(f"--checkpoint={path}", f"--output={tmp_path / 'model.onnx'}", "--licence=none") == 2
        complaint = capsys.readouterr().err
        assert complaint.count("\n") == 1
        assert str(path) in complaint
        assert sorted(os.listdir(tmp_path)) == before

    def test_refuses_without_the_faces_to_verify_on(
        self, command: Callable[..., int], checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        raw = torch.load(checkpoint, weights_only=True)
        raw["datamodule_hyper_parameters"]["source"]["init_args"]["root"] = str(tmp_path / "gone")
        torch.save(raw, tmp_path / "some.ckpt")
        assert command(f"--checkpoint={tmp_path / 'some.ckpt'}", f"--output={tmp_path / 'm.onnx'}", "--licence=x") == 2
        complaint = capsys.readouterr().err
        assert complaint.count("\n") == 1
        assert "missing: afw, helen/trainset, lfpw/trainset" in complaint

    def test_refuses_unknown_options(self, command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
        assert command("--checkpoint=a.ckpt", "--output=b.onnx", "--licence=x", "--budgett=3") == 2
        assert "did you mean --budget?" in capsys.readouterr().err

    def test_refuses_a_budget_that_is_none(
        self, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert command("--checkpoint=a.ckpt", "--output=b.onnx", "--licence=x", "--budget=3") == 2
        assert "--budget" in capsys.readouterr().err
