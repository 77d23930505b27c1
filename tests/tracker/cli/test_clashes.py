"""An output that is an input, or another output, is refused whatever name leads to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from tracker.cli.clashes import files_of_model, files_of_pipeline, files_of_url, refuse_clashes
from tracker.errors import TrackerError
from tracker.evaluate import evaluate
from tracker.run import main, run
from tracker.weights.packaged import WEIGHTS, YUNET

Ways = Callable[[Path], list[str]]


def ways_to(path: Path) -> list[str]:
    """Names that lead to a file."""
    link, hard = path.with_name(f"link to {path.name}"), path.with_name(f"hard {path.name}")
    for other in (link, hard):
        other.unlink(missing_ok=True)
    link.symlink_to(path)
    os.link(path, hard)
    (path.parent / "folder").mkdir(exist_ok=True)
    folder = path.parent / "linked folder"
    if not folder.exists():
        folder.symlink_to(path.parent)
    relative = os.path.relpath(path)
    return [str(path), str(link), str(hard), f"{path.parent}/folder/../{path.name}", str(folder / path.name), relative]


@pytest.fixture
def made(video: Path, tmp_path: Path) -> dict[str, Path]:
    """By option: a file that a run reads."""
    (tmp_path / "pictures").mkdir()
    files = {
        "--video": tmp_path / "clip größe.mp4",
        "--model": tmp_path / "model.onnx",
        "--detector-model": tmp_path / "detector.onnx",
        "--config": tmp_path / "options.yaml",
        "--images": tmp_path / "pictures/a.png",
    }
    files["--video"].write_bytes(video.read_bytes())
    files["--model"].write_bytes((WEIGHTS / "edge68_fast.onnx").read_bytes())
    files["--detector-model"].write_bytes(YUNET.path.read_bytes())
    files["--config"].write_text("max_faces: 1\n")
    cv2.imwrite(str(files["--images"]), np.zeros((64, 64, 3), np.uint8))
    return files


def refusal(*arguments: object, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["tracker.run", *map(str, arguments)])
        patch.setattr("tracker.run.Tracker", None)  # refused before anything is made
        patch.setattr("tracker.run._source", None)
        assert main() == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


@pytest.mark.parametrize("option", ["--video", "--model", "--detector-model", "--config", "--images"])
@pytest.mark.parametrize("output", ["--output", "--csv", "--parquet", "--stats", "--profile"])
def test_an_output_that_is_an_input(
    option: str, output: str, made: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = made[option]
    content = path.read_bytes()
    source = [] if option in ("--video", "--images") else ["--video", made["--video"]]
    for name in ways_to(path):
        asked = [option, path.parent if option == "--images" else path, *source]
        error = refusal(*asked, output, name, capsys=capsys)
        assert f"{option} and {output} name the same file" in error
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "url",
    ["file://{}", "file://localhost{}", "cache:file://{}", "crypto+file://{}", "concat://other|{}", "file:///{}"],
)
def test_a_video_by_its_url(url: str, made: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = made["--video"]
    for name in (str(path), quote(str(path))):
        for output in ways_to(path):
            assert "name the same file" in refusal("--video", url.format(name), "--overlay", output, capsys=capsys)


def test_a_pipeline_that_reads_a_file(made: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = made["--video"]
    for given in (f'location="{path}"', f"location = '{path}'", f'uri="file://{quote(str(path))}"'):
        pipeline = f"filesrc {given} ! decodebin ! appsink"
        assert "--camera and --output" in refusal("--camera", pipeline, "--output", path, capsys=capsys)
    assert Path("/a/b.mp4") in files_of_pipeline("filesrc location=/a/b.mp4 ! appsink")


def test_the_packaged_models(made: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for path in (WEIGHTS / "edge68.onnx", YUNET.path):
        assert "the package and --output" in refusal("--video", made["--video"], "--output", path, capsys=capsys)


def test_a_configuration_that_another_names(made: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    outer = made["--config"].with_name("outer.yaml")
    outer.write_text(f"config: {made['--config']}\nvideo: {made['--video']}\n")
    for path in (outer, made["--config"]):
        assert "--config and --output" in refusal("--config", outer, "--output", path, capsys=capsys)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("--output", "--csv"),
        ("--csv", "--parquet"),
        ("--stats", "--profile"),
        ("--output", "--stats"),
        ("--csv", "--overlay"),
    ],
)
def test_two_outputs_that_are_one(
    first: str, second: str, made: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")
    for name in ways_to(path):
        asked = ("--video", made["--video"], first, path, second, name)
        assert f"{first} and {second} name the same file" in refusal(*asked, capsys=capsys)
    assert path.read_bytes() == b"old"
    path.unlink()
    asked = ("--video", made["--video"], first, path, second, path)
    assert "name the same file" in refusal(*asked, capsys=capsys)


def test_hidden_files_in_the_making_count(
    made: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hidden = tmp_path / ".clip.part.mp4"
    made["--video"].rename(hidden)
    assert "name the same file" in refusal("--video", hidden, "--overlay", tmp_path / "clip.mp4", capsys=capsys)
    for option, end in (("--stats", "json"), ("--parquet", "parquet")):
        asked = ("--demo", "--output", tmp_path / f".s.part.{end}", option, tmp_path / f"s.{end}")
        assert "name the same file" in refusal(*asked, capsys=capsys)


def test_outputs_among_the_labels_that_are_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked = ("--demo", "--pts", tmp_path / "out", "--output", tmp_path / "out/annot/000001.pts")
    assert "is in the folder that --pts writes" in refusal(*asked, capsys=capsys)


def test_standard_output_that_is_a_file(made: dict[str, Path], tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = "from tracker.run import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "--video", str(made["--video"]), "--output", "-", "--csv", str(log)]
    with log.open("wb") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2 and "--output and --csv name the same file" in done.stderr


def test_devices_may_be_named_twice_and_new_names_are_free(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"")
    outputs = [("--output", tmp_path / "a"), ("--csv", tmp_path / "b"), ("--stats", Path("-"))]
    refuse_clashes(outputs, [("--video", tmp_path / "in"), ("--model", tmp_path / "none")])


def test_what_lies_beside_a_model(tmp_path: Path) -> None:
    assert set(files_of_model(Path("a/m.plan"))) == {Path("a/m.plan.json"), Path("a/m.plan")}
    assert set(files_of_model(Path("a/none.onnx"))) == {Path("a/none.onnx.json"), Path("a/none.onnx")}
    onnx = pytest.importorskip("onnx", reason="needs the extra export")
    model = onnx.load(WEIGHTS / "edge68_fast.onnx")
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert tmp_path / "weights.bin" in files_of_model(tmp_path / "m.onnx")


def test_urls_lead_to_files() -> None:
    assert Path("/a b") in files_of_url("file:///a%20b") and Path("/a%20b") in files_of_url("file:///a%20b")
    assert Path("/x") in files_of_url("concat://y|file:///x")


class TestEvaluate:
    @pytest.mark.parametrize("suffix", [".json", ".png", ".csv", ".html"])
    def test_a_report_that_would_overwrite_what_is_read(self, suffix: str, tmp_path: Path) -> None:
        model = tmp_path / f"model{suffix}"
        model.write_bytes(b"model")
        with pytest.raises(TrackerError, match="--model and --report"):
            evaluate("folder", tmp_path, report=tmp_path / "model.json", model=model)
        with pytest.raises(TrackerError, match="--detector-model and --report"):
            evaluate("folder", tmp_path, report=tmp_path / "model.json", detector_model=model)
        assert model.read_bytes() == b"model"

    def test_a_labelled_picture(self, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "face.png"), np.zeros((64, 64, 3), np.uint8))
        (tmp_path / "face.pts").write_text("version: 1")
        with pytest.raises(TrackerError, match="--root and --report"):
            evaluate("folder", tmp_path, report=tmp_path / "face.json")
        os.link(tmp_path / "face.pts", tmp_path / "out.json")
        with pytest.raises(TrackerError, match="--root and --report"):
            evaluate("folder", tmp_path, report=tmp_path / "out.json")


def test_a_run_in_an_application_is_refused_alike(made: dict[str, Path]) -> None:
    with pytest.raises(TrackerError, match="--video and --output"):
        run(video=str(made["--video"]), output=made["--video"])


@pytest.mark.parametrize("option", ["--output", "--csv", "--parquet", "--overlay", "--stats", "--profile", "--pts"])
def test_a_url_is_no_output(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "got a URL" in refusal("--demo", option, f"file://{tmp_path}/a.mp4", capsys=capsys)
    assert not os.listdir(tmp_path)
