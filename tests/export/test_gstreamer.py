"""The .modelinfo beside each model says what the model's own graph says. GStreamer itself is not run."""

from __future__ import annotations

import configparser
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

onnx = pytest.importorskip("onnx", reason="needs onnx, of the extra export")

from export.gstreamer import info_path, main, model_info, whole_model_info  # noqa: E402
from tracker.engines.spec import ModelSpec  # noqa: E402
from tracker.errors import TrackerError  # noqa: E402

MODELS = sorted((ROOT / "tracker/weights").glob("edge68*.onnx"))
DTYPES = {onnx.TensorProto.UINT8: "uint8", onnx.TensorProto.FLOAT: "float32"}


def read(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser()
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_the_committed_one_is_that_of_the_graph(model: Path) -> None:
    """Names, order, sizes and data types are those of the ONNX graph, read by onnx and not by this project's spec."""
    sections = read(info_path(model).read_text(encoding="ascii"))
    head = sections.pop("modelinfo")
    assert head["version"] == "1.0" and head["group-id"].startswith("landmark-tracker-")
    graph = onnx.load(str(model)).graph
    tensors = {
        tensor.name: (
            direction,
            DTYPES[tensor.type.tensor_type.elem_type],
            [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.type.tensor_type.shape.dim],
        )
        for direction, them in (("input", graph.input), ("output", graph.output))
        for tensor in them
    }
    found = {
        name: (section["dir"], section["type"], [int(size) for size in section["dims"].split(",")])
        for name, section in sections.items()
    }
    assert found == tensors and list(found) == list(tensors)
    assert len({section["id"] for section in sections.values()}) == len(sections)
    assert [name for name, section in sections.items() if "ranges" in section] == ["crops"]


@pytest.mark.parametrize("scheme", ["ibug68", "wflw98", "cofw29"])
def test_follows_the_scheme_and_the_size(scheme: str) -> None:
    spec = ModelSpec(192, scheme, 0.5, "softmax", "x", {}, "here")
    sections = read(model_info(spec))
    assert sections["crops"]["dims"] == "-1,192,192,3" and sections["crops"]["ranges"].split(";") == ["0.0,255.0"] * 3
    assert sections["points_px"]["dims"] == f"-1,{scheme[-2:]},2" and sections["scores"]["dims"] == f"-1,{scheme[-2:]}"


def run(monkeypatch: pytest.MonkeyPatch, model: Path) -> int:
    monkeypatch.setattr(sys, "argv", ["export.gstreamer", "--model", str(model)])
    return main()


def test_the_command_writes_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "own.onnx"
    model.write_bytes(MODELS[0].read_bytes())
    (tmp_path / "own.onnx.modelinfo").write_text("old")
    assert run(monkeypatch, model) == 0
    assert (tmp_path / "own.onnx.modelinfo").read_text() == info_path(MODELS[0]).read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.onnx", "own.onnx.modelinfo"]


@pytest.mark.parametrize("content", [None, b"no model"])
def test_one_sentence_for_what_is_no_model(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "own.onnx"
    if content is not None:
        model.write_bytes(content)
    assert run(monkeypatch, model) == 2
    error = capsys.readouterr().err
    assert error.startswith("export.gstreamer: ") and error.count("\n") == 1 and "own.onnx" in error
    assert not info_path(model).exists()


@pytest.mark.parametrize("failing", ["the model", "the .modelinfo"])
def test_beside_a_model_that_is_not_written_the_old_one_stays(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    model = tmp_path / "own.onnx"
    info_path(model).write_text("old")
    spec = ModelSpec(32, "ibug68", 0.5, "", "", {}, "")
    if failing == "the .modelinfo":
        monkeypatch.setattr(Path, "write_bytes", fail)

    def write_both() -> None:
        with whole_model_info(model, spec):
            model.touch()
            raise TrackerError("the model cannot be written")

    with pytest.raises(TrackerError, match="cannot be written"):
        write_both()
    assert model.exists() == (failing == "the model")  # it is not begun without the other
    assert info_path(model).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
