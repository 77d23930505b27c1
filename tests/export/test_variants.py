"""Every representation that can be trained, from the training's command line to the tracker's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from export.graph import LandmarkGraph
from export.int8.quantise import convolutions
from export.lint import lint
from export.onnx import write_onnx
from export.run import export, load
from export.tensorrt import build, engine_key
from export.verify import ANYTHING, Reference
from tracker.engines.onnx import OnnxEngine
from tracker.engines.spec import ModelSpec
from tracker.errors import TrackerError
from tracker.face.schemes import IBUG68
from tracker.run import run
from tracker.sources.demo import DemoClip
from train.models.fan import FanNet
from train.models.hih import HihNet
from train.objectives import HeatmapInHeatmap, Subpixel
from train.task import LandmarkTask

LICENCE = "research only, drawn faces"
# A net that has learned nothing answers noise, in which peaks all but tie.
UNTRAINED: dict[str, Any] = {"budget": ANYTHING, "allow_untrained": True}


def with_head(kind: str, *options: str) -> list[str]:
    head = f"train.models.heads.{kind}"
    return [
        f"--model.net.cell_head={head}",
        *(f"--model.net.cell_head.{each}" for each in ("features=8", "width=8", *options)),
    ]


VARIANTS: dict[str, list[str]] = {
    "Subpixel": [],
    "IntegerHeatmap": [],
    "HeatmapMse": [],
    "SoftArgmax": [],
    "Star": [],
    "HeatmapInHeatmap": with_head("DecimalHead", "landmarks=68", "cells=8", "decimals=2"),
    "OffsetVector": with_head("OffsetVectorHead", "landmarks=68"),
    "OffsetMap": with_head("OffsetMapHead"),
}
DECODES = {"HeatmapInHeatmap": "decimals", "OffsetVector": "vector", "OffsetMap": "map", "IntegerHeatmap": "quarter"}


FAST = ("Subpixel", "HeatmapInHeatmap")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name not in FAST)) for name in VARIANTS]
)
def variant(
    request: pytest.FixtureRequest, fit_tiny: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Path]:
    """Its name, a checkpoint of it and its engine."""
    folder = tmp_path_factory.mktemp(request.param)
    objective = f"--model.objective=train.objectives.{request.param}"
    fit_tiny(folder, objective, "--trainer.max_epochs=1", *VARIANTS[request.param])
    checkpoint, output = folder / "last.ckpt", folder / "model.onnx"
    export(checkpoint, output, LICENCE, **UNTRAINED)
    return request.param, checkpoint, output


class TestInt8:
    """Export in INT8 with a finite budget that every net keeps, so that the choice of nodes runs."""

    BUDGET = replace(ANYTHING, p99_px=1000.0)

    def in_int8(self, checkpoint: Path, output: Path, to: str) -> int:
        export(checkpoint, output, LICENCE, "int8", to=to, budget=self.BUDGET, allow_untrained=True)
        crops = np.random.default_rng(0).integers(0, 256, (2, *2 * [OnnxEngine(output).spec.size], 3), np.uint8)
        assert np.isfinite(OnnxEngine(output).run(crops).points_px).all()
        return convolutions(output)[0]

    def test_every_representation(self, variant: tuple[str, Path, Path], tmp_path: Path) -> None:
        assert self.in_int8(variant[1], tmp_path / "m.onnx", "onnx") > 0

    @pytest.mark.parametrize(
        "options",
        [
            ["--data.size=40", "--model.net.channels=[8,8,8]"],  # maps whose side is odd
            ["--model.net.stacks=2"],
        ],
        ids=["odd", "stacks"],
    )
    def test_other_nets(self, options: list[str], fit_tiny: Callable[..., None], tmp_path: Path) -> None:
        fit_tiny(tmp_path, "--trainer.max_epochs=1", *options)
        assert self.in_int8(tmp_path / "last.ckpt", tmp_path / "m.onnx", "onnx") > 0


def test_the_engine_answers_as_the_net_is_validated(variant: tuple[str, Path, Path]) -> None:
    """Where no peak is tied: by the decoder that the objective names, with the head that it needs."""
    name, checkpoint, output = variant
    task, _, _ = load(checkpoint)
    crops = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    engine = OnnxEngine(output)
    assert engine.spec.decode.startswith(DECODES.get(name, "local_softmax"))
    with torch.no_grad():
        expected, scores, _ = task.decode(task(crops))
    answer = engine.run(crops.numpy())
    agree = np.abs(answer.points_px - expected.numpy()).max(-1) < 0.01
    assert agree.mean() > 0.97
    np.testing.assert_allclose(answer.scores[agree], scores.numpy()[agree], atol=1e-3)
    assert lint(output) == []


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_rtx_builds_it(variant: tuple[str, Path, Path], precision: str, tmp_path: Path) -> None:
    pytest.importorskip(
        "tensorrt_rtx", reason="needs TensorRT-RTX: pip install tensorrt-rtx-cu13", exc_type=ImportError
    )
    _, checkpoint, output = variant
    if precision == "fp16":
        output = tmp_path / "half.onnx"
        export(checkpoint, output, LICENCE, "fp16", **UNTRAINED)
    assert len(build(output, engine_key(output, "tensorrt_rtx", precision=precision))) > 10_000  # type: ignore[arg-type]


def test_the_tracker_runs_it(variant: tuple[str, Path, Path], tmp_path: Path) -> None:
    """On a real face, whose detection it measures; what has learned nothing recognises none."""
    _, _, output = variant
    picture = next(iter(DemoClip(seconds=0.1))).image_rgb[..., ::-1]
    cv2.imwrite(str(tmp_path / "face.png"), picture)
    stats, lines = tmp_path / "stats.json", tmp_path / "faces.jsonl"
    run(images=tmp_path, model=output, output=lines, stats=stats)
    assert len(lines.read_text().splitlines()) == 1
    assert json.loads(stats.read_text())["stages_ms"]["engine"]["calls"] >= 1


def test_a_decoder_needs_its_head(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match="decoder vector reads a head that its net does not have"):
        export(checkpoint, tmp_path / "model.onnx", LICENCE, decoder="vector")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("net", ["HihNet", "FanNet"])
def test_the_papers_nets_export_and_build(net: str, tmp_path: Path) -> None:
    """One stack at 64 px, with random weights, in half precision; the lint knows what TensorRT cannot fuse."""
    torch.manual_seed(0)
    module, objective = {
        "HihNet": (HihNet(stacks=1, size=64, decimals=4), HeatmapInHeatmap()),
        "FanNet": (FanNet(stacks=1), Subpixel()),
    }[net]
    task = LandmarkTask(module, objective, size=64).eval()
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    truth = np.random.default_rng(0).uniform(0, 64, (2, 68, 2))
    spec = ModelSpec(size=64, scheme="ibug68", presence=0.5, decode="none", licence=LICENCE, config={}, commit="0")
    output = tmp_path / "half.onnx"
    graph = LandmarkGraph(task).eval()
    write_onnx(LandmarkGraph(task, "fp16"), spec, Reference(graph, crops, truth, IBUG68), output, ANYTHING)
    assert lint(output) == []
    pytest.importorskip(
        "tensorrt_rtx", reason="needs TensorRT-RTX: pip install tensorrt-rtx-cu13", exc_type=ImportError
    )
    assert len(build(output, engine_key(output, "tensorrt_rtx", precision="fp16"))) > 1_000_000


class TestMisfits:
    """A net and an objective that do not fit end the command with one sentence, before any data is read."""

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (
                ["--model.objective=train.objectives.HeatmapInHeatmap"],
                "HeatmapInHeatmap needs a net with a head for decimals, EdgeHourglass is one without a head",
            ),
            (
                with_head("OffsetMapHead"),
                "Structured needs a net without a head, EdgeHourglass is one with a head for map",
            ),
        ],
    )
    def test_is_said(self, options: list[str], sentence: str, fit_tiny: Callable[..., None], tmp_path: Path) -> None:
        with pytest.raises(SystemExit) as ended:
            fit_tiny(tmp_path, *options)
        assert f"train.run: {sentence}; set model.net.init_args.cell_head" in str(ended.value)


def test_a_checkpoint_trained_on_several_sets(tmp_path: Path, fit_tiny: Callable[..., None], w300: Path) -> None:
    """jsonargparse changes settings inside a list, and they are written into the file."""
    made = tmp_path / "own"
    made.mkdir()
    for path in (w300 / "afw").iterdir():
        (made / f"own_{path.name}").write_bytes(path.read_bytes())
    first = {"class_path": "train.datasets.W300", "init_args": {"root": str(w300)}}
    second = {"class_path": "train.datasets.CustomDataset", "init_args": {"path": str(made), "scheme": "ibug68"}}
    config = tmp_path / "several.yaml"
    source = {"class_path": "train.datasets.Combined", "init_args": {"sources": [first, second]}}
    config.write_text(json.dumps({"data": {"source": source}}))
    fit_tiny(tmp_path, f"--config={config}", "--data.augmentation.turn=0.5", "--trainer.max_epochs=1")
    export(tmp_path / "last.ckpt", tmp_path / "m.onnx", "drawn", allow_untrained=True)
    spec = OnnxEngine(tmp_path / "m.onnx").spec
    paths = [each["class_path"] for each in spec.config["data"]["source"]["init_args"]["sources"]]
    assert paths == ["train.datasets.W300", "train.datasets.CustomDataset"]
