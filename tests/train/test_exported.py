"""Training goes on from an exported model as from the net that it was exported from."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from export.run import export, load
from export.verify import ANYTHING
from tracker.engines.onnx import OnnxEngine
from tracker.errors import TrackerError
from train.checkpoints import CheckpointError
from train.command_line import TrainingCLI
from train.exported import is_exported, load_exported, read_exported
from train.models.edge import EdgeHourglass
from train.models.fan import FanNet
from train.models.heads import OffsetVectorHead
from train.objectives import IntegerHeatmap, OffsetVector, Structured
from train.task import LandmarkTask

ROOT = Path(__file__).resolve().parents[2]
Fit = Callable[..., None]
CHANNELS = (8, 8)  # of the net of the fixture "checkpoint"


def untrained(channels: tuple[int, ...] = CHANNELS, **options: int) -> LandmarkTask:
    """Return a task of random weights, with the net of the fixture "checkpoint" if no channels are given."""
    torch.manual_seed(7)
    return LandmarkTask(EdgeHourglass(channels=channels, **{"stem": 8, "stacks": 2, **options}), Structured(), size=32)


def some_crops(count: int, seed: int = 0) -> torch.Tensor:
    """Return crops of noise in different brightness."""
    generator = torch.Generator().manual_seed(seed)
    crops = torch.randint(0, 256, (count, 32, 32, 3), generator=generator)
    return (crops * torch.linspace(0.2, 1, count)[:, None, None, None]).to(torch.uint8)


@pytest.fixture(scope="session")
def one_stack(tmp_path_factory: pytest.TempPathFactory, fit_tiny: Fit) -> Path:
    """A checkpoint of a net of one stack, whose BatchNorms have seen some steps."""
    folder = tmp_path_factory.mktemp("one_stack")
    fit_tiny(folder, "--model.net.stacks=1")
    return folder / "last.ckpt"


@pytest.fixture(scope="session")
def exported(one_stack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its model in FP32."""
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export(one_stack, path, licence="research only, drawn faces", allow_untrained=True)
    return path


def points_of(task: LandmarkTask, crops: torch.Tensor) -> torch.Tensor:
    """Return what the task decodes in evaluation."""
    with torch.no_grad():
        return task.eval().decode(task(crops))[0]


def test_answers_as_the_net_that_was_exported(exported: Path, one_stack: Path) -> None:
    original, _, _ = load(one_stack)
    task, crops = untrained(stacks=1), some_crops(6)
    assert not torch.allclose(points_of(task, crops), points_of(original, crops), atol=0.1)
    spec = load_exported(task, exported, [some_crops(4, seed=1), some_crops(5, seed=2)])
    torch.testing.assert_close(points_of(task, crops), points_of(original, crops), rtol=0, atol=1e-3)
    assert spec.licence == "research only, drawn faces"


def test_the_first_step_sees_what_the_file_answers(exported: Path) -> None:
    """In training a BatchNorm takes the statistics of the batch, so the net must be normalised by what it sees."""
    task, crops = untrained(stacks=1), some_crops(16)
    load_exported(task, exported, [crops])
    with torch.no_grad():
        evaluated = task.eval()(crops)[-1]
        torch.testing.assert_close(task.train()(crops)[-1], evaluated, rtol=1e-3, atol=1e-4)


def test_the_mode_of_the_task_stays(exported: Path) -> None:
    for mode in (True, False):
        task = untrained(stacks=1).train(mode)
        load_exported(task, exported, [some_crops(4)])
        assert task.training == mode
        assert task.net.stem.training == mode  # type: ignore[union-attr]


def test_half_precision_is_read(one_stack: Path, tmp_path: Path) -> None:
    export(one_stack, tmp_path / "half.onnx", "research only", "fp16", budget=ANYTHING, allow_untrained=True)
    original, _, _ = load(one_stack)
    task = untrained(stacks=1)
    load_exported(task, tmp_path / "half.onnx", [some_crops(4)])
    weights, expected = task.state_dict(), original.state_dict()
    torch.testing.assert_close(weights["net.heads.0.weight"], expected["net.heads.0.weight"], rtol=1e-3, atol=1e-6)
    distances = (points_of(task, some_crops(6)) - points_of(original, some_crops(6))).norm(dim=-1)
    assert distances.median() < 0.1  # of random maps some have two peaks


def test_train_run_begins_with_it(exported: Path, one_stack: Path, fit_tiny: Fit, tmp_path: Path) -> None:
    freeze = ("--model.learning_rate=0", "--trainer.max_epochs=1", "--average.decay=0")
    fit_tiny(tmp_path, "--model.net.stacks=1", *freeze, f"--model.start={exported}")
    original, _, _ = load(one_stack)
    begun = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    kept = original.state_dict()["net.heads.0.weight"]
    torch.testing.assert_close(begun["net.heads.0.weight"], kept, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "configurations"), [("edge68", ["edge68"]), ("edge68_fast", ["edge68", "edge68_fast"])]
)
def test_a_packaged_model_has_the_net_of_its_configuration(name: str, configurations: list[str]) -> None:
    files = [f"--config={ROOT / 'configs/train' / each}.yaml" for each in configurations]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.run"])
        task = TrainingCLI.run(run=False, args=files).model
    crops = torch.randint(0, 256, (4, task.size, task.size, 3), dtype=torch.uint8)
    load_exported(task, Path(name), [crops])
    expected = OnnxEngine(ROOT / f"tracker/weights/{name}.onnx").run(crops.numpy()).points_px
    file = read_exported(Path(name))
    with torch.no_grad():
        logits = task.objective.logits(task.eval()(crops)[-1].float()) / file.spec.temperature
        points, _, _ = task.objective.read(logits, None, task.stride, file.decoder)
    assert np.median(np.linalg.norm(points.numpy() - expected, axis=-1)) < 0.01


@pytest.mark.parametrize(
    ("start", "answer"),
    [("edge68", True), ("edge68_fast_300w", True), ("a/b.onnx", True), ("B.ONNX", True), ("last.ckpt", False)],
)
def test_what_is_taken_for_an_exported_model(start: str, answer: bool) -> None:
    assert is_exported(Path(start)) == answer


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stacks": 1, "channels": (16, 16)}, "convolution 3 has the shape (8, 8, 1, 1) instead of (16, 8, 1, 1)"),
        ({"stacks": 1, "channels": (8, 16)}, "the net has 31 convolutions, the file has 29"),
        ({"stacks": 2}, "the net has 53 convolutions, the file has 29"),
        ({"stacks": 1, "landmarks": 98}, "has the shape (68, 8, 1, 1) instead of (98, 8, 1, 1)"),
    ],
)
def test_another_net_is_one_sentence(exported: Path, change: dict[str, int], reason: str) -> None:
    task = untrained(**change)  # type: ignore[arg-type]
    before = copy.deepcopy(task.state_dict())
    with pytest.raises(TrackerError) as error:
        load_exported(task, exported, [some_crops(2)])
    assert str(error.value).startswith(f"{exported}: its weights do not fit the net: ")
    assert reason in str(error.value)
    torch.testing.assert_close(task.state_dict(), before, rtol=0, atol=0)


def test_a_quantised_model_is_one_sentence() -> None:
    with pytest.raises(TrackerError, match=r"expected a model in FP32 or FP16 to start from.*this one is quantised"):
        load_exported(untrained(stacks=1), Path("edge68_int8"), [some_crops(2)])


@pytest.mark.parametrize(
    "net",
    [
        FanNet(stacks=1),  # BatchNorm before the convolutions
        EdgeHourglass(channels=CHANNELS, stacks=1, stem=8, cell_head=OffsetVectorHead(8, 68, 4)),  # a linear layer
    ],
    ids=["FAN", "linear"],
)
def test_a_net_whose_weights_a_file_does_not_state_is_one_sentence(exported: Path, net: nn.Module) -> None:
    objective = OffsetVector() if net.cell_head else IntegerHeatmap()
    task = LandmarkTask(net, objective, size=64)
    before = copy.deepcopy(task.state_dict())
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with pytest.raises(TrackerError, match="start from the checkpoint that it was exported from"):
        load_exported(task, exported, [crops])
    torch.testing.assert_close(task.state_dict(), before, rtol=0, atol=0)


def test_other_strides_are_one_sentence(exported: Path) -> None:
    with pytest.raises(TrackerError, match=r"convolution 2 has the strides \[2, 2\] instead of \[1, 1\]"):
        load_exported(untrained(stacks=1, stride=2), exported, [some_crops(2)])


def break_weights(model: onnx.ModelProto) -> None:
    """Put NaN into the first tensor."""
    first = model.graph.initializer[0]
    values = numpy_helper.to_array(first).copy()
    values.flat[0] = np.nan
    first.CopyFrom(numpy_helper.from_array(values, first.name))


def replace_scheme(model: onnx.ModelProto) -> None:
    """Change the scheme that the metadata state."""
    (entry,) = model.metadata_props
    spec = json.loads(entry.value)
    spec.update(scheme="wflw98", visibility={})
    entry.value = json.dumps(spec)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (break_weights, "not finite"),
        (lambda model: model.ClearField("metadata_props"), "expected a landmark model"),
        (replace_scheme, "scheme ibug68, it has wflw98"),
    ],
)
def test_a_file_that_is_no_such_model_is_one_sentence(
    exported: Path, tmp_path: Path, change: Callable[[onnx.ModelProto], object], reason: str
) -> None:
    model = onnx.load(str(exported))
    change(model)
    onnx.save(model, str(other := tmp_path / "other.onnx"))
    with pytest.raises(TrackerError, match=reason):
        load_exported(untrained(stacks=1), other, [some_crops(2)])


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (broken := tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(TrackerError, match=r"expected an exported model \(.onnx\), it cannot be read") as error:
        load_exported(untrained(stacks=1), broken, [some_crops(2)])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.onnx", "got no file"),
        ("edge86", "got no file; did you mean edge68?"),
        ("folder", "got a folder"),
        ("pipe", "got a pipe"),
        (300 * "a" + ".ckpt", "got one that cannot be looked at (File name too long)"),
        (300 * "a" + ".onnx", "got one that cannot be looked at (File name too long)"),
    ],
)
def test_what_does_not_exist_is_said_before_anything_is_written(
    fit_tiny: Fit, tmp_path: Path, name: str, reason: str
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    start = name if name == "edge86" else tmp_path / name
    with pytest.raises(SystemExit) as error:
        fit_tiny(tmp_path / "run", f"--model.start={start}")
    said = str(error.value)
    assert said.startswith(f"train.run: {start}: model.start: expected a checkpoint, an .onnx file or one of edge68, ")
    assert reason in said
    assert "int8" not in said
    assert "\n" not in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [300 * "a" + ".onnx", 300 * "a", 300 * "a" + ".ckpt"])
def test_a_name_that_is_too_long_is_one_sentence(name: str) -> None:
    with pytest.raises(TrackerError, match="File name too long"):
        load(Path(name))


def test_a_file_goes_before_a_packaged_model_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_exported(Path("edge68"))
    Path("edge68").touch()
    assert not is_exported(Path("edge68"))


class TestExportedAgain:
    """An exported model may stand for its checkpoint in the export."""

    def test_it_is_the_same_model(self, one_stack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Also in what was chosen when it was exported, and is not chosen again."""
        first, again, origin = tmp_path / "first.onnx", tmp_path / "again.onnx", tmp_path / "origin.yaml"
        origin.write_text("pictures: drawn\n")
        chosen = {"decoder": "dark", "deviation_scale": 1.52, "provenance": origin}
        export(one_stack, first, "for a test", allow_untrained=True, **chosen)
        capsys.readouterr()
        export(first, again, "for another", allow_untrained=True)
        assert f"{first} is exported again; its licence: for a test" in capsys.readouterr().out
        crops, one, other = some_crops(6).numpy(), OnnxEngine(first), OnnxEngine(again)
        for name in ("points_px", "scores", "covariances_px2"):
            np.testing.assert_allclose(
                getattr(other.run(crops), name), getattr(one.run(crops), name), rtol=1e-3, atol=1e-3
            )
        assert other.spec.decode.startswith("dark; ") and other.spec.decode.endswith("; deviations times 1.52")
        same = {
            "licence": "",
            "decode": "",
            "temperature": 1.0,
            "visibility": {},
        }  # what is fitted anew ends a digit off
        assert dataclasses.replace(other.spec, **same) == dataclasses.replace(one.spec, **same)

    def test_it_is_not_overwritten(self, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = exported.read_bytes()
        monkeypatch.setattr("train.exported.landmark_model", lambda name: exported)
        for checkpoint in (exported, Path("edge68")):
            with pytest.raises(TrackerError, match="which is read; give another --output"):
                export(checkpoint, exported, "drawn", allow_untrained=True)
        assert exported.read_bytes() == before

    def test_of_a_net_of_two_stacks_the_last_is_in_the_file(self, checkpoint: Path, tmp_path: Path) -> None:
        export(checkpoint, tmp_path / "model.onnx", licence="drawn", allow_untrained=True)
        with pytest.raises(CheckpointError, match="its weights do not fit the net"):
            load(tmp_path / "model.onnx")

    @pytest.mark.parametrize(
        ("config", "reason"),
        [
            ({}, "expected a model that says how it was trained; give its checkpoint instead"),
            ({"model": [], "data": {}}, "expected a model that says how it was trained"),
            (
                {"model": {"size": 32, "net": {"class_path": "os.system"}}, "data": {}},
                r"os\.system.* not part of train",
            ),
            ({"model": {"size": 65536}, "data": {}}, "takes crops of 32 px, and says that its training had 65536"),
            ({"model": {"size": 32, "_instantiator": "os.system"}, "data": {}}, "name an instantiator other than"),
        ],
    )
    def test_what_it_says_of_itself_is_not_trusted(
        self, exported: Path, tmp_path: Path, config: dict[str, object], reason: str
    ) -> None:
        model = onnx.load(str(exported))
        (entry,) = (each for each in model.metadata_props if "config" in each.value)
        entry.value = json.dumps({**json.loads(entry.value), "config": config})
        onnx.save(model, str(tmp_path / "model.onnx"))
        with pytest.raises(CheckpointError, match=reason):
            load(tmp_path / "model.onnx")

    def test_a_larger_net_than_the_file_has_weights_for(self, exported: Path, tmp_path: Path) -> None:
        model = onnx.load(str(exported))
        (entry,) = (each for each in model.metadata_props if "config" in each.value)
        spec = json.loads(entry.value)
        spec["config"]["model"]["net"]["init_args"]["channels"] = [8, 100_000]
        entry.value = json.dumps(spec)
        onnx.save(model, str(tmp_path / "model.onnx"))
        with pytest.raises(CheckpointError, match="the net has more of them"):
            load(tmp_path / "model.onnx")

    @pytest.mark.parametrize(
        ("name", "reason"),
        [("edge68_fst", "did you mean edge68_fast"), ("http://a/b.onnx", "got a URL"), ("none.onnx", "got no file")],
    )
    def test_names_are_those_of_model_start(self, name: str, reason: str) -> None:
        with pytest.raises(TrackerError, match=reason):
            load(Path(name))


def change_bytes(tensor: onnx.TensorProto) -> None:
    tensor.raw_data = tensor.raw_data[:-4]


def change_type(tensor: onnx.TensorProto) -> None:
    tensor.data_type = 77


def change_sizes(tensor: onnx.TensorProto) -> None:
    tensor.dims[0] = 1 << 40


def change_numbers(tensor: onnx.TensorProto) -> None:
    values = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.ones(values.shape, np.uint16), tensor.name))


def change_name(tensor: onnx.TensorProto) -> None:
    tensor.name = "another"


def shorten(tensor: onnx.TensorProto) -> None:
    values = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(values[:1], tensor.name))


@pytest.mark.parametrize("part", [1, 2], ids=["weight", "bias"])
@pytest.mark.parametrize("change", [change_bytes, change_type, change_sizes, change_numbers, change_name, shorten])
def test_damaged_numbers_are_one_sentence(
    exported: Path, tmp_path: Path, part: int, change: Callable[[onnx.TensorProto], None]
) -> None:
    model = onnx.load(str(exported))
    wanted = next(node for node in model.graph.node if node.op_type == "Conv").input[part]
    change(next(each for each in model.graph.initializer if each.name == wanted))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=r"its weights (are damaged|do not fit the net)"):
        load_exported(untrained(stacks=1), tmp_path / "model.onnx", [some_crops(4)])


@pytest.mark.parametrize("value", [2.0, [1.5, 1.5]])
def test_damaged_attributes_are_one_sentence(exported: Path, tmp_path: Path, value: object) -> None:
    model = onnx.load(str(exported))
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    (strides,) = (each for each in node.attribute if each.name == "strides")
    strides.CopyFrom(onnx.helper.make_attribute("strides", value))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match="its weights are damaged"):
        load_exported(untrained(stacks=1), tmp_path / "model.onnx", [some_crops(4)])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(CheckpointError, match="got a pipe"):
        load(tmp_path / "pipe.onnx")
