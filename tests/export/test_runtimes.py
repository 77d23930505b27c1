"""Models for phones and boards: verified like the ONNX file, written whole or not at all, with a JSON file."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import math
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from export.calibration.fit import calibration_of
from export.graph import Calibration, LandmarkGraph
from export.run import export, load, main
from export.runtimes import write
from export.runtimes.base import CutNet, Target, converting
from export.runtimes.write import TARGETS, RuntimeName, open_runtime, write_runtime
from export.uncertainty import Spread
from export.verify import ANYTHING, Budget, Reference
from tracker import TrackerError, decode_heatmaps
from tracker.engines.onnx import OnnxEngine
from tracker.engines.spec import ModelSpec
from tracker.face.schemes import IBUG68
from train.models.edge import EdgeHourglass
from train.objectives import HeatmapMse, SoftArgmax, Structured
from train.task import LandmarkTask

NEEDED = {to: target.packages for to, target in TARGETS.items()}
SIZE = 32


def needs(to: RuntimeName) -> None:
    for package in NEEDED[to]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}: pip install 'landmark-tracker[{TARGETS[to].extra}]'")


def random_crops(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="session")
def graph(checkpoint: Path) -> LandmarkGraph:
    task, data, _ = load(checkpoint)
    return LandmarkGraph(task, calibration=calibration_of(task, data.validation.together())).eval()


@pytest.fixture(scope="session")
def reference(graph: LandmarkGraph) -> Reference:
    truth = np.random.default_rng(0).uniform(5, 27, (1, 68, 2)).repeat(4, 0)
    return Reference(graph, random_crops(4), truth, IBUG68)


@pytest.fixture(scope="session")
def peaked() -> LandmarkGraph:
    """Random weights that draw distinct peaks: those of two epochs are so flat that rounding moves their peaks."""
    torch.manual_seed(1)
    task = LandmarkTask(EdgeHourglass(channels=[8, 8, 16], stem=8), Structured(), size=SIZE).eval()
    for head in task.net.heads:  # type: ignore[union-attr]
        nn.init.normal_(head.weight, std=2.0)
    return LandmarkGraph(task, calibration=Calibration(1.3, Spread(2.0, 0.5, 1.5))).eval()


SPEC = ModelSpec(SIZE, "ibug68", 0.5, "window softmax", "for the tests", {}, "none")


def write_to(folder: Path, to: RuntimeName, graph: LandmarkGraph, reference: Reference, **options: Any) -> list[Path]:
    given = {"precision": "fp32", "spec": SPEC, "budget": Budget(), **options}
    return write_runtime(to, graph, reference=reference, model=folder / "é v1.2.onnx", **given)[0]


class TestCut:
    """What needs no other package: ONNX that ends at the heatmaps."""

    @pytest.mark.parametrize("decoder", ["local_softmax", "softmax_mean"])
    @pytest.mark.parametrize("objective", [Structured(), HeatmapMse(window=5), SoftArgmax()])
    def test_heatmaps_and_decoder_equal_the_graph(self, objective: Any, decoder: Any) -> None:
        torch.manual_seed(1)
        task = LandmarkTask(EdgeHourglass(channels=[8, 8], stem=8), objective, size=SIZE).eval()
        for head in task.net.heads:  # type: ignore[union-attr]
            nn.init.normal_(head.weight, std=2.0)  # maps with peaks
        graph = LandmarkGraph(task, decoder=decoder).eval()
        crops = random_crops(6)
        with torch.no_grad():
            logits = CutNet(graph)(crops.float().permute(0, 3, 1, 2) / 127.5 - 1)
            points, scores, covariances = graph(crops)
        cells = SIZE // graph.stride
        output = decode_heatmaps(logits.numpy(), graph.stride, min(objective.window, cells), decoder=decoder)
        np.testing.assert_allclose(output.points_px, points, atol=2e-4)
        np.testing.assert_allclose(output.scores, scores, atol=1e-5)
        np.testing.assert_allclose(output.covariances_px2, covariances, atol=5e-3)

    @pytest.mark.parametrize("decoder", ["local_softmax", "softmax_mean"])
    def test_the_file_with_the_parameters_beside_it(
        self, tmp_path: Path, checkpoint: Path, reference: Reference, decoder: Any
    ) -> None:
        """As a user does it: any runtime, then decode_heatmaps with the table `decoding`."""
        import onnxruntime

        graph = LandmarkGraph(load(checkpoint)[0], decoder=decoder).eval()
        reference = Reference(graph, reference.crops, reference.truth_px, IBUG68)
        model, described = write_to(tmp_path, "heatmaps", graph, reference)
        contents = json.loads(described.read_text())
        assert [model.name, described.name] == ["é v1.2.heatmaps.onnx", "é v1.2.heatmaps.json"]
        assert contents["files"] == {model.name: hashlib.sha256(model.read_bytes()).hexdigest()}
        assert contents["licence"] == SPEC.licence and contents["spec"]["presence"] == SPEC.presence
        tensor, crops = contents["input"], random_crops(1, 5)
        pixels = (crops.numpy() - np.array(tensor["normalisation"]["mean"])) * tensor["normalisation"]["scale"]
        session = onnxruntime.InferenceSession(model.read_bytes(), providers=["CPUExecutionProvider"])
        feed = pixels.transpose(0, 3, 1, 2).astype(np.float32)
        assert [list(feed.shape), tensor["name"]] == [tensor["shape"], session.get_inputs()[0].name]
        (name,) = contents["outputs"]
        (logits,) = session.run([name], {tensor["name"]: feed})
        assert list(logits.shape) == contents["outputs"][name]["shape"]
        with torch.no_grad():
            points, _, covariances = graph(crops)
        output = decode_heatmaps(logits, **contents["decoding"])
        np.testing.assert_allclose(output.points_px, points, atol=1e-3)
        np.testing.assert_allclose(output.covariances_px2, covariances, rtol=1e-3, atol=1e-3)
        assert {node.op_type for node in onnx.load(model).graph.node} <= {
            *("Conv", "Relu", "Add", "MaxPool", "Resize", "Constant", "Slice", "Concat", "Identity")
        }

    def test_the_tracker_refuses_it_in_one_sentence(
        self, tmp_path: Path, graph: LandmarkGraph, reference: Reference
    ) -> None:
        model, _ = write_to(tmp_path, "heatmaps", graph, reference)
        with pytest.raises(TrackerError, match="expected a landmark model"):
            OnnxEngine(model)

    def test_another_decoder_is_refused(self, tmp_path: Path, checkpoint: Path, reference: Reference) -> None:
        graph = LandmarkGraph(load(checkpoint)[0], decoder="dark").eval()
        with pytest.raises(
            TrackerError,
            match="local_softmax or softmax_mean, not with dark",
        ):
            write_to(tmp_path, "heatmaps", graph, reference)
        assert not os.listdir(tmp_path)


class TestGate:
    """The fake target stands for a runtime that computes something else."""

    def fake(self, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Any], Any]) -> None:
        real = TARGETS["heatmaps"]

        def opened(paths: list[Path], contents: dict[str, Any], threads: int) -> Any:
            engine = real.open(paths, contents, threads)

            class FakeRuntime:
                def run(self, crops: Any) -> Any:
                    return spoil(engine.run(crops))

            return FakeRuntime()

        fake: Target = dataclasses.replace(real, open=opened)
        monkeypatch.setattr(write, "TARGETS", {**TARGETS, "heatmaps": fake})

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            (
                lambda output: dataclasses.replace(output, points_px=output.points_px + np.float32(0.02)),
                "not written: the distance of half of the landmarks is 0.0283 px, the budget 0.001",
            ),
            (
                lambda output: dataclasses.replace(output, points_px=output.points_px * np.float32(math.nan)),
                "are not finite",
            ),
        ],
    )
    def test_nothing_is_written_beyond_the_budget(
        self,
        tmp_path: Path,
        graph: LandmarkGraph,
        reference: Reference,
        monkeypatch: pytest.MonkeyPatch,
        spoil: Callable[[Any], Any],
        words: str,
    ) -> None:
        older = write_to(tmp_path, "heatmaps", graph, reference)
        before = {file: file.read_bytes() for file in older}
        self.fake(monkeypatch, spoil)
        with pytest.raises(TrackerError, match=words):
            write_to(tmp_path, "heatmaps", graph, reference)
        assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before

    def test_the_budget_can_be_given(
        self, tmp_path: Path, graph: LandmarkGraph, reference: Reference, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.fake(
            monkeypatch, lambda output: dataclasses.replace(output, points_px=output.points_px + np.float32(0.02))
        )
        write_to(tmp_path, "heatmaps", graph, reference, budget=ANYTHING)
        assert len(os.listdir(tmp_path)) == 2


class TestCommand:
    def run(self, *options: object) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["export.run", *map(str, options)])
            return main()

    @pytest.mark.parametrize("to", [to for to, target in TARGETS.items() if target.packages])
    def test_a_missing_package_is_said_before_any_work(
        self, to: RuntimeName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = importlib.util.find_spec
        hidden = TARGETS[to].packages
        monkeypatch.setattr(write, "find_spec", lambda name: None if name in hidden else found(name))
        assert self.run("--checkpoint=gone.ckpt", f"--output={tmp_path / 'm.onnx'}", "--licence=x", f"--to={to}") == 2
        said = capsys.readouterr().err
        assert said == (
            f"export.run: --to {to} needs {hidden[0]}, which is not installed; pip install 'landmark-tracker[{to}]'\n"
        )

    def test_what_a_runtime_does_not_take(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        options = ["--checkpoint=gone.ckpt", f"--output={tmp_path / 'm.onnx'}", "--licence=x", "--to=heatmaps"]
        assert self.run(*options, "--precision=int8") == 2
        assert "--precision int8 is not for --to heatmaps, which takes fp32" in capsys.readouterr().err
        (tmp_path / "m.heatmaps.onnx").mkdir()
        assert self.run(*options) == 2
        assert "m.heatmaps.onnx is a folder, so it is not replaced" in capsys.readouterr().err

    def test_a_folder_that_is_no_package_is_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(write, "find_spec", lambda name: True)
        (tmp_path / "m.mlpackage").mkdir()
        (tmp_path / "m.mlpackage/mine").write_text("")
        with pytest.raises(TrackerError, match=r"m\.mlpackage is no Core ML package, so it is not replaced"):
            write.check_runtime("coreml", tmp_path / "m.onnx", "fp32", [])

    def test_of_a_checkpoint(self, tmp_path: Path, checkpoint: Path, capfd: pytest.CaptureFixture[str]) -> None:
        model = tmp_path / "m.onnx"
        export(checkpoint, model, "for the tests", to="heatmaps", allow_untrained=True)
        assert f"written: {tmp_path / 'm.heatmaps.onnx'}, {tmp_path / 'm.heatmaps.json'}" in capfd.readouterr().out
        assert sorted(os.listdir(tmp_path)) == ["m.heatmaps.json", "m.heatmaps.onnx", "m.onnx", "m.onnx.modelinfo"]
        crops = random_crops(3).numpy()
        complete, cut = OnnxEngine(model).run(crops), open_runtime("heatmaps", model).run(crops)
        np.testing.assert_allclose(cut.points_px, complete.points_px, atol=1e-3)


def test_a_converters_messages_are_kept_off_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with converting("x"):
        os.write(1, b"chatter")
        warnings.warn("and a warning", stacklevel=1)
    print("after")
    assert capfd.readouterr().out == "after\n"
    said = r"^x cannot convert this net \(no such operation\)$"
    with pytest.raises(TrackerError, match=said), converting("x"):
        raise RuntimeError("no such operation\nand more")


@pytest.mark.slow
class TestRuntimes:
    """With the packages themselves, which are in extras of their own."""

    @pytest.mark.parametrize("to", ["litert", "ncnn", "coreml"])
    def test_answers_as_torch_and_onnx_runtime_do(self, to: RuntimeName, tmp_path: Path, peaked: LandmarkGraph) -> None:
        needs(to)
        faces = Reference(peaked, random_crops(4), np.random.default_rng(0).uniform(5, 27, (4, 68, 2)), IBUG68)
        *files, described = write_to(tmp_path, to, peaked, faces)
        assert json.loads(described.read_text())["files"] == {
            file.relative_to(tmp_path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for top in files
            for file in (sorted(top.rglob("*")) if top.is_dir() else [top])
            if file.is_file()
        }
        crops = random_crops(5, 3)
        write_to(tmp_path, "heatmaps", peaked, faces)
        model = tmp_path / "é v1.2.onnx"
        found, in_onnx = (open_runtime(each, model).run(crops.numpy()) for each in (to, "heatmaps"))
        with torch.no_grad():
            points, scores, covariances = peaked(crops)
        for expected in (points.numpy(), in_onnx.points_px):
            np.testing.assert_allclose(found.points_px, expected, atol=2e-3)
        np.testing.assert_allclose(found.scores, scores, atol=1e-4)
        np.testing.assert_allclose(found.covariances_px2, covariances, atol=1e-2)
        write_to(tmp_path, to, peaked, faces)  # in the place of the older ones
        assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]

    @pytest.mark.parametrize("to", ["ncnn", "coreml"])
    def test_half_precision(self, to: RuntimeName, tmp_path: Path, graph: LandmarkGraph, reference: Reference) -> None:
        needs(to)
        budget = dataclasses.replace(ANYTHING, p50_px=0.5)  # a net of a few channels on noise keeps no other
        half = sum(
            file.stat().st_size
            for top in write_to(tmp_path, to, graph, reference, precision="fp16", budget=budget)
            for file in (top.rglob("*") if top.is_dir() else [top])
            if file.name in ("weight.bin", "é v1.2.ncnn.bin")
        )
        whole = sum(tensor.numel() for tensor in graph.net.state_dict().values())
        assert half < 3.2 * whole
