"""A model repository that Triton's own message reads back, whole or not there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

import export.triton
from export.triton import write_repository
from tracker.cli.command import run_command
from tracker.engines.onnx import OnnxEngine
from tracker.engines.spec import KEY, ModelSpec
from tracker.errors import TrackerError

PACKAGED = Path(__file__).parents[2] / "tracker/weights/edge68.onnx"
NEEDED = "needs Triton's client: pip install 'tritonclient[grpc]'"


@pytest.fixture(scope="session")
def proto() -> Any:
    """Triton's model_config_pb2."""
    return pytest.importorskip("tritonclient.grpc", reason=NEEDED).model_config_pb2


@pytest.fixture
def read(proto: Any) -> Callable[[Path], Any]:
    """Reads a config.pbtxt as Triton does."""
    from google.protobuf import text_format

    return lambda path: text_format.Parse(path.read_text("utf-8"), proto.ModelConfig())


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Of a repository that is not there yet."""
    return tmp_path / "deep" / "models"


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, hidden files and empty folders included."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


def assert_sentence(error: TrackerError, *parts: object) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) < 600
    for part in parts:
        assert str(part) in str(error)


class TestRepository:
    def test_the_configuration_field_by_field(self, proto: Any, read: Callable[[Path], Any], models: Path) -> None:
        written = write_repository(PACKAGED, models, "edge68")
        assert written == models / "edge68/1/model.onnx"
        assert files(models).keys() == {"edge68", "edge68/config.pbtxt", "edge68/1", "edge68/1/model.onnx"}
        assert written.read_bytes() == PACKAGED.read_bytes()

        config = read(models / "edge68/config.pbtxt")
        assert {field.name for field, _ in config.ListFields()} == {
            *("name", "platform", "backend", "version_policy", "max_batch_size", "input", "output"),
            *("dynamic_batching", "default_model_filename", "parameters"),
        }
        assert (config.name, config.platform, config.backend) == ("edge68", "onnxruntime_onnx", "onnxruntime")
        assert (config.max_batch_size, config.default_model_filename) == (16, "model.onnx")
        assert config.version_policy == proto.ModelVersionPolicy(latest={"num_versions": 1})
        assert list(config.dynamic_batching.preferred_batch_size) == [4, 8, 16]
        kinds = {proto.TYPE_UINT8: "UINT8", proto.TYPE_FP32: "FP32"}
        side = OnnxEngine(PACKAGED).spec.size
        crops = ("crops", "UINT8", [side, side, 3])
        assert [(t.name, kinds[t.data_type], list(t.dims)) for t in config.input] == [crops]
        assert [(t.name, kinds[t.data_type], list(t.dims)) for t in config.output] == [
            ("points_px", "FP32", [68, 2]),
            ("scores", "FP32", [68]),
            ("covariances_px2", "FP32", [68, 3]),
        ]
        spec = OnnxEngine(PACKAGED).spec
        assert list(config.parameters) == [KEY]
        assert json.loads(config.parameters[KEY].string_value) == asdict(spec)
        assert ModelSpec.from_metadata({KEY: config.parameters[KEY].string_value}, "here") == spec

    def test_it_says_of_the_tensors_what_onnx_runtime_says(self, read: Callable[[Path], Any], models: Path) -> None:
        session = onnxruntime.InferenceSession(write_repository(PACKAGED, models, "edge68"))
        config = read(models / "edge68/config.pbtxt")
        real = [*session.get_inputs(), *session.get_outputs()]
        assert [(t.name, list(t.dims)) for t in (*config.input, *config.output)] == [
            (r.name, r.shape[1:]) for r in real
        ]
        assert {r.shape[0] for r in real} == {"faces"}  # any number

    @pytest.mark.parametrize(("most", "preferred"), [(1, [1]), (4, [4]), (6, [4, 6]), (32, [4, 8, 16, 32])])
    def test_batches(self, read: Callable[[Path], Any], models: Path, most: int, preferred: list[int]) -> None:
        write_repository(PACKAGED, models, "edge68", most)
        config = read(models / "edge68/config.pbtxt")
        assert config.max_batch_size == most
        assert list(config.dynamic_batching.preferred_batch_size) == preferred

    @pytest.mark.usefixtures("proto")
    def test_a_model_beside_another(self, models: Path) -> None:
        write_repository(PACKAGED, models, "one")
        write_repository(PACKAGED, models, "two.fp32")
        assert sorted(path.name for path in models.iterdir()) == ["one", "two.fp32"]

    @pytest.mark.usefixtures("proto")
    def test_the_next_version(self, models: Path) -> None:
        config = write_repository(PACKAGED, models, "edge68").parents[1] / "config.pbtxt"
        config.write_text(f"# ours\n{config.read_text()}")
        (models / "edge68/notes").mkdir()
        (models / "edge68/9").mkdir()
        written = write_repository(PACKAGED, models, "edge68")
        assert written == models / "edge68/10/model.onnx"
        assert written.read_bytes() == PACKAGED.read_bytes()
        assert config.read_text().startswith("# ours\n")
        assert sorted(p.name for p in (models / "edge68").iterdir()) == ["1", "10", "9", "config.pbtxt", "notes"]


@pytest.mark.usefixtures("proto")
class TestRefusals:
    def test_another_configuration_of_that_name(self, models: Path) -> None:
        write_repository(PACKAGED, models, "edge68")
        before = files(models)
        with pytest.raises(TrackerError) as error:
            write_repository(PACKAGED, models, "edge68", max_faces=8)
        assert_sentence(error.value, models, "differs", "in dynamic_batching, max_batch_size;", "take another name")
        assert files(models) == before

    def test_another_spec_of_that_name(self, models: Path) -> None:
        path = write_repository(PACKAGED, models, "edge68").parents[1] / "config.pbtxt"
        path.write_text(path.read_text().replace("presence", "absence"))
        with pytest.raises(TrackerError, match=r"differs .* in parameters \(the model's spec\); "):
            write_repository(PACKAGED, models, "edge68")

    @pytest.mark.parametrize("content", [b"hello", b"\xff\xfe", None])
    def test_a_folder_that_is_no_model(self, models: Path, content: bytes | None) -> None:
        (models / "edge68").mkdir(parents=True)
        if content is not None:
            (models / "edge68/config.pbtxt").write_bytes(content)
        before = files(models)
        with pytest.raises(TrackerError) as error:
            write_repository(PACKAGED, models, "edge68")
        assert_sentence(error.value, models / "edge68", "take another name")
        assert files(models) == before

    @pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "/tmp", "é", "a b", "a\n"])
    def test_a_name(self, models: Path, name: str) -> None:
        with pytest.raises(TrackerError) as error:
            write_repository(PACKAGED, models, name)
        assert_sentence(error.value, "name must be letters", repr(name))
        assert not models.exists()

    def test_no_faces(self, models: Path) -> None:
        with pytest.raises(TrackerError, match="max_faces must be at least 1, got 0"):
            write_repository(PACKAGED, models, "edge68", 0)

    @pytest.mark.parametrize("content", [None, b"hello"])
    def test_a_file_that_is_no_model(self, models: Path, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "model.onnx"
        if content:
            path.write_bytes(content)
        with pytest.raises(TrackerError) as error:
            write_repository(path, models, "edge68")
        assert_sentence(error.value, path)
        assert not models.exists()

    def test_a_repository_that_is_a_file(self, models: Path) -> None:
        models.parent.mkdir()
        models.write_text("hello")
        with pytest.raises(TrackerError) as error:
            write_repository(PACKAGED, models, "edge68")
        assert_sentence(error.value, models, "cannot write the model there")

    @pytest.mark.parametrize("versions", [0, 1])
    @pytest.mark.parametrize("at", ["the model", "the last step"])
    def test_a_full_disk_leaves_what_was_there(
        self, models: Path, monkeypatch: pytest.MonkeyPatch, versions: int, at: str
    ) -> None:
        models.mkdir(parents=True)
        for _ in range(versions):
            write_repository(PACKAGED, models, "edge68")
        before = files(models)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        place, name = (Path, "write_bytes") if at == "the model" else (export.triton.os, "rename")
        monkeypatch.setattr(place, name, full)
        with pytest.raises(TrackerError) as error:
            write_repository(PACKAGED, models, "edge68")
        assert_sentence(error.value, models / "edge68", "No space left on device")
        assert files(models) == before

    def test_two_that_write_at_once(self, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        rename = os.rename

        def later(source: Path, target: Path) -> None:
            monkeypatch.setattr(export.triton.os, "rename", rename)
            write_repository(PACKAGED, models, "edge68", max_faces=4)
            rename(source, target)

        monkeypatch.setattr(export.triton.os, "rename", later)
        with pytest.raises(TrackerError, match="cannot write the model there"):
            write_repository(PACKAGED, models, "edge68")
        assert "max_batch_size: 4" in (models / "edge68/config.pbtxt").read_text()
        assert files(models).keys() == {"edge68", "edge68/config.pbtxt", "edge68/1", "edge68/1/model.onnx"}


def test_without_the_client(monkeypatch: pytest.MonkeyPatch, models: Path) -> None:
    monkeypatch.setitem(sys.modules, "tritonclient.grpc", None)
    with pytest.raises(TrackerError) as error:
        write_repository(PACKAGED, models, "edge68")
    assert_sentence(error.value, "not installed", "pip install 'landmark-tracker[triton]'")
    assert not models.exists()


@pytest.mark.usefixtures("proto")
def test_the_command_line(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model", str(PACKAGED), "--repository", str(models), "--name", "edge68"]
    assert run_command(export.triton.export, "export.triton", [*options, "--max-faces", "8"]) == 0
    told = capsys.readouterr().out
    assert f"{models}/edge68/1/model.onnx: version 1 of edge68" in told
    assert f"tritonserver --model-repository {models}" in told
    assert run_command(export.triton.export, "export.triton", options) == 2
    assert "differs from the new model's" in capsys.readouterr().err
