"""python -m train.label, with a fake teacher in a process of its own, and once with the real one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import tracker.sources.pictures
import train.label
import train.labels.folder
from tools.london import ibug68, read_template
from tracker.cli.command import run_command
from tracker.datasets.folder import read_custom
from tracker.datasets.pts_files import read_pts
from tracker.detectors.base import Detection
from tracker.detectors.yunet import CALIBRATION
from tracker.errors import TrackerError
from tracker.system.files import held_folder
from train.label import label
from train.labels import teachers
from train.labels.folder import read_spread
from train.labels.mesh68 import VERTICES, load_mesh68

FAKE = Path(__file__).with_name("fake_facemesh_worker.py")
EYES, CHIN = np.array([[70.0, 80.0], [130.0, 84.0]]), np.array([96.0, 150.0])


class FakeDetector:
    """Finds the one drawn face, where there is one."""

    name = "yunet"
    calibration = CALIBRATION

    def detect(self, image_rgb: np.ndarray) -> list[Detection]:
        if not (image_rgb[..., 1] > 180).any():
            return []
        return [Detection(np.array([50.0, 60.0, 100.0, 110.0]), 0.9, EYES)]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts the fakes in the place of the real ones; gives the mesh (478, 3) the fake teacher lays."""
    mesh = np.random.default_rng(1).uniform(-1, 1, (VERTICES, 3))
    flip = load_mesh68().flip
    mesh = (mesh + mesh[flip] * [-1, 1, 1]) / 2
    shutil.copy(FAKE, tmp_path / "fake.py")
    np.save(tmp_path / "fake.npy", mesh)
    monkeypatch.setattr(teachers, "WORKER", tmp_path / "fake.py")
    monkeypatch.setattr(train.label, "load_detector", lambda name: FakeDetector())
    return tmp_path / "fake.npy"


def draw(path: Path, red: int = 0, face: bool = True) -> None:
    """A picture of 200 x 220 pixels; red: see fake_facemesh_worker.py."""
    picture = np.zeros((220, 200, 3), np.uint8)
    picture[..., 0] = red
    if face:
        for (x, y), color in ((EYES[0], (0, 255, 0)), (EYES[1], (0, 255, 0)), (CHIN, (0, 0, 255))):
            cv2.circle(picture, (int(x), int(y)), 6, color, -1)
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), picture[..., ::-1])


def run(*options: object) -> int:
    return run_command(label, "train.label", [str(option) for option in options])


@pytest.fixture
def options(fake: Path, tmp_path: Path) -> list[object]:
    """A command line for one good picture, a.png."""
    draw(tmp_path / "in/a.png")
    return ["--images", tmp_path / "in", "--output", tmp_path / "out", "--teacher-python", sys.executable]


class TestLabels:
    def test_lie_where_the_teacher_sees_them_in_the_picture(
        self, options: list[object], fake: Path, tmp_path: Path
    ) -> None:
        """Through turned, scaled, shifted and mirrored views, and the file is 1-based."""
        assert run(*options) == 0
        mesh = np.load(fake)
        eyes = EYES.mean(0)
        flat = eyes + mesh[:, :1] * (EYES[1] - EYES[0]) + mesh[:, 1:2] * (CHIN - eyes)
        expected = load_mesh68().points(np.hstack([flat, mesh[:, 2:]]))
        points = read_pts(tmp_path / "out/a.pts")
        assert np.abs(points - expected).max() < 0.5  # the dots' middles in warped pixels
        spread = read_spread(tmp_path / "out/a.spread.csv")
        assert spread.shape == (68,) and 0 < spread.max() < 1

    def test_are_what_the_training_reads(self, options: list[object], tmp_path: Path) -> None:
        run(*options)
        (sample,) = read_custom(tmp_path / "out", "ibug68")
        assert sample.read_image().shape == (220, 200, 3)

    def test_are_the_same_from_views_that_were_kept(self, options: list[object], tmp_path: Path) -> None:
        """To the bit: of a run without --keep, of one with it, and of one that goes on after it was killed."""
        keep = ["--keep", tmp_path / "keep"]
        runs = {"without": [], "with": keep, "after": keep}
        for name, more in runs.items():
            assert run(*options[:3], tmp_path / name, *options[4:], *more) == 0
        for file in ("a.pts", "a.spread.csv"):
            first, *others = [(tmp_path / name / file).read_bytes() for name in runs]
            assert others == [first, first]

    def test_lie_beside_their_own_picture(
        self, options: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        draw(tmp_path / "out/a.png", red=1)
        assert run(*options) == 2
        assert "a.png: is another picture than" in capsys.readouterr().err
        assert not (tmp_path / "out/a.pts").exists()
        shutil.copy(tmp_path / "in/a.png", tmp_path / "out/a.png")
        assert run(*options) == 0

    def test_lie_beside_a_copy_where_there_are_no_links(
        self, options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise OSError(errno.EPERM, "not permitted")

        monkeypatch.setattr(Path, "symlink_to", fail)
        assert run(*options) == 0
        copy = tmp_path / "out/a.png"
        assert not copy.is_symlink() and copy.read_bytes() == (tmp_path / "in/a.png").read_bytes()

    def test_one_point_that_wanders_has_the_larger_spread(self) -> None:
        seen = np.zeros((8, 68, 2)) + np.arange(68)[:, None]
        seen[::2, 5] += 3.0
        _, spread = train.label.agreed(seen, _Straight(), 0.5, 0.5)
        assert spread.argmax() == 5 and np.delete(spread, 5).max() == 0


class _Straight:
    """A teacher whose points are labels."""

    def labels(self, points: np.ndarray) -> np.ndarray:
        return points


class TestLeftOut:
    @pytest.mark.parametrize(
        ("make", "reason"),
        [
            (lambda path: path.write_bytes(b"no picture"), "cannot be decoded as a picture"),
            (lambda path: path.write_bytes(b""), "cannot be decoded as a picture"),
            (
                lambda path: path.write_bytes(b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 30_000, 9000, 1, 24)),
                "cannot be decoded as a picture: its header states 30000 x 9000 pixels, at most 89,000,000 in all",
            ),
            (lambda path: draw(path, face=False), "yunet finds no face"),
            (lambda path: draw(path, red=50), "the teacher sees the face in 0 of 8 views"),
            (lambda path: draw(path, red=100), "the views disagree by"),
        ],
    )
    def test_with_a_sentence(
        self,
        options: list[object],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        make: Callable[[Path], None],
        reason: str,
    ) -> None:
        make(tmp_path / "in/b.png")
        assert run(*options) == 0
        assert f"b.png: {reason}" in capsys.readouterr().err
        assert reason in (tmp_path / "out/left_out.csv").read_text()
        assert [path.name for path in sorted((tmp_path / "out").glob("*.pts"))] == ["a.pts"]
        summary = json.loads((tmp_path / "out/summary.json").read_text())
        assert summary["labelled"] == 1 and sum(summary["left_out"].values()) == 1

    def test_limit_is_the_users(self, options: list[object], tmp_path: Path) -> None:
        draw(tmp_path / "in/b.png", red=100)
        assert run(*options, "--limit", 0.5) == 0
        assert (tmp_path / "out/b.pts").exists()


class TestResume:
    def test_does_only_what_is_left(
        self, options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[object] = []
        detect = FakeDetector.detect
        draw(tmp_path / "in/b.png", red=50)
        run(*options)
        before = (tmp_path / "out/a.pts").stat().st_mtime_ns
        draw(tmp_path / "in/c.png")
        monkeypatch.setattr(FakeDetector, "detect", lambda self, image: seen.append(image) or detect(self, image))
        assert run(*options) == 0
        assert len(seen) == 1  # b was left out before
        assert (tmp_path / "out/a.pts").stat().st_mtime_ns == before
        assert not (tmp_path / "out/b.pts").exists() and (tmp_path / "out/c.pts").exists()

    def test_looks_again_at_what_has_changed_since_it_was_left_out(self, options: list[object], tmp_path: Path) -> None:
        draw(tmp_path / "in/b.png", red=50)
        assert run(*options) == 0
        draw(tmp_path / "in/b.png")
        assert run(*options) == 0
        assert (tmp_path / "out/b.pts").exists()
        assert (tmp_path / "out/left_out.csv").read_text() == "picture,reason,digest\n"

    def test_looks_again_at_what_could_not_be_read(
        self,
        options: list[object],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """As after an error of a disk, which says nothing of the picture."""
        draw(tmp_path / "in/b.png")

        def fail(path: Path, most_bytes: int | None = None) -> bytes:
            if path.name == "b.png":
                raise OSError(errno.EIO, "Input/output error")
            return path.read_bytes()

        with monkeypatch.context() as patch:
            for module in (train.labels.folder, tracker.sources.pictures):
                patch.setattr(module, "read_plain", fail)
            for _ in range(2):
                assert run(*options) == 0
            assert "b.png: cannot be decoded as a picture: Input/output error" in capsys.readouterr().err
            assert not (tmp_path / "out/b.pts").exists()
        assert run(*options) == 0
        assert (tmp_path / "out/b.pts").exists()

    def test_counts_the_pictures_that_are_there(
        self, options: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("b", "c"):
            draw(tmp_path / f"in/{name}.png", red=50)
        assert run(*options) == 0
        assert "1 of 3 pictures labelled" in capsys.readouterr().out
        for name in ("b", "c"):
            (tmp_path / f"in/{name}.png").unlink()
        assert run(*options) == 0
        assert "1 of 1 pictures labelled" in capsys.readouterr().out
        summary = json.loads((tmp_path / "out/summary.json").read_text())
        assert (summary["pictures"], summary["labelled"], summary["left_out"]) == (1, 1, {})

    def test_goes_on_in_a_folder_of_an_earlier_version(self, options: list[object], tmp_path: Path) -> None:
        """It has no digests: what was left out stays so."""
        draw(tmp_path / "in/b.png")
        assert run(*options, "--limit", 0.03) == 0
        (tmp_path / "out/left_out.csv").write_text("picture,reason\nb.png,yunet finds no face\n")
        (tmp_path / "out/b.pts").unlink()
        assert run(*options, "--limit", 0.03) == 0
        assert not (tmp_path / "out/b.pts").exists()
        assert (tmp_path / "out/left_out.csv").read_text() == "picture,reason,digest\nb.png,yunet finds no face,\n"

    @pytest.mark.parametrize("copied", [False, True])
    @pytest.mark.parametrize("name", ["a.png", "a.bmp"])
    def test_refuses_another_picture_of_the_name(
        self,
        options: list[object],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        name: str,
        copied: bool,
    ) -> None:
        assert run(*options) == 0
        if copied:
            (tmp_path / "out/a.png").unlink()
            shutil.copy(tmp_path / "in/a.png", tmp_path / "out/a.png")
        draw(tmp_path / "others" / name, red=1)
        before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        assert run("--images", tmp_path / "others", *options[2:]) == 2
        assert f"a.png: is another picture than {tmp_path / 'others' / name}; give" in capsys.readouterr().err
        assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
        shutil.copytree(tmp_path / "in", tmp_path / "moved")
        assert run("--images", tmp_path / "moved", *options[2:]) == 0

    def test_refuses_kept_points_of_another_picture(
        self, options: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        keep = ["--keep", tmp_path / "keep"]
        assert run(*options, *keep) == 0
        draw(tmp_path / "others/a.png", red=1)
        assert run("--images", tmp_path / "others", "--output", tmp_path / "again", *options[4:], *keep) == 2
        assert f"a.npy: has the points of another picture than {tmp_path / 'others'}" in capsys.readouterr().err
        assert not (tmp_path / "again/a.pts").exists()

    def test_goes_on_after_the_teacher_has_ended(
        self, options: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        draw(tmp_path / "in/b.png", red=150)
        assert run(*options) == 2
        assert "the teacher has ended: the fake teacher was told to end" in capsys.readouterr().err
        assert (tmp_path / "out/a.pts").exists() and not (tmp_path / "out/summary.json").exists()
        draw(tmp_path / "in/b.png")
        assert run(*options) == 0
        assert (tmp_path / "out/b.pts").exists()

    def test_labels_do_not_depend_on_the_other_pictures(self, options: list[object], tmp_path: Path) -> None:
        run(*options)
        first = (tmp_path / "out/a.pts").read_bytes()
        draw(tmp_path / "in/0.png")
        run(*options[:3], tmp_path / "again", *options[4:])
        assert (tmp_path / "again/a.pts").read_bytes() == first

    @pytest.mark.parametrize(("option", "value"), [("views", 6), ("seed", 1), ("limit", 0.03), ("least_views", 0.5)])
    def test_refuses_other_settings(
        self, options: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: float
    ) -> None:
        run(*options)
        files = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert run(*options, f"--{option}", value) == 2
        error = capsys.readouterr().err
        assert f"was made with {option}" in error and "another folder" in error and error.count("\n") == 1
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == files

    def test_kept_points_need_no_teacher(
        self, options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep = ["--keep", tmp_path / "keep"]
        assert run(*options, *keep) == 0
        monkeypatch.delattr(teachers.FaceMesh, "look")
        assert run(*options[:3], tmp_path / "again", *options[4:], *keep, "--limit", 0.03) == 0
        ours, theirs = (read_pts(tmp_path / folder / "a.pts") for folder in ("out", "again"))
        assert np.abs(ours - theirs).max() < 1e-3  # they are kept as float32


class TestKept:
    """A mistake in the folder of --keep is told of its file."""

    @pytest.fixture
    def keep(self, options: list[object], tmp_path: Path) -> list[object]:
        """A command line of which the points are kept already."""
        assert run(*options, "--keep", tmp_path / "keep") == 0
        return [*options[:3], tmp_path / "again", *options[4:], "--keep", tmp_path / "keep"]

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "expected an array, the file is damaged; delete it"),
            (b"PK\3\4 no archive", "expected an array, the file is damaged; delete it"),
            (b"\x93NUMPY\1\0\2\0{}", "expected an array, the file is damaged; delete it"),
            (np.zeros((8, 5, 2)), "expected an array of the shape (8, 478, 3), it has (8, 5, 2); delete it"),
            (np.zeros((3, 478, 3)), "expected an array of the shape (8, 478, 3), it has (3, 478, 3); delete it"),
            (None, "cannot be read: it is a folder; delete it or give another --keep"),
        ],
    )
    def test_points_that_are_none(
        self,
        keep: list[object],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        content: bytes | np.ndarray | None,
        words: str,
    ) -> None:
        path = tmp_path / "keep/a.npy"
        path.unlink()
        if content is None:
            path.mkdir()
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.save(path, content)
        assert run(*keep) == 2
        assert f"{path}: {words}" in capsys.readouterr().err
        assert "a.png" not in (tmp_path / "again/left_out.csv").read_text()

    def test_a_disk_that_is_full(
        self, options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fail(path: Path, content: bytes) -> None:
            if path.suffix == ".npy":
                raise OSError(errno.ENOSPC, "No space left on device")
            path.write_bytes(content)

        monkeypatch.setattr("tracker.system.files.write_whole", fail)
        assert run(*options, "--keep", tmp_path / "keep") == 2
        assert f"{tmp_path / 'keep/a.npy'} cannot be written (No space left" in capsys.readouterr().err


class TestRefuses:
    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (["--views", 1], "--views must be at least 2"),
            (["--limit", 0], "--limit must be positive"),
            (["--seed", -1], "--seed: expected a number from 0 to 4294967295, got -1"),
            (["--seed", 1 << 32], "--seed: expected a number from 0 to 4294967295, got 4294967296"),
            (["--least-views", 0], "--least-views must lie above 0"),
            (["--images", "nowhere"], "nowhere: expected a folder of pictures"),
            (["--teacher-python", "nowhere/python"], "cannot start the teacher nowhere/python"),
            (["--teacher", "edge68"], "--teacher-python: expected it for the teacher facemesh alone, got the teacher"),
            (["--teacher", "facemesh", "edge68"], "--teacher: expected facemesh alone"),
        ],
    )
    def test_with_one_sentence(
        self, options: list[object], capsys: pytest.CaptureFixture[str], change: list[object], sentence: str
    ) -> None:
        assert run(*options, *change) == 2
        error = capsys.readouterr().err
        assert sentence in error and error.count("\n") == 1
        assert not Path(str(options[3])).exists()

    @pytest.mark.parametrize(
        ("names", "sentence"),
        [
            (["nothing.onnx"], "landmark model: expected an .onnx or .plan file that exists"),
            (["edge68", "nothing.onnx"], "landmark model: expected an .onnx or .plan file that exists"),
            (["edge68", "edge68"], "--teacher: expected different models, got one twice: edge68, edge68"),
        ],
    )
    def test_models_that_are_none(
        self, options: list[object], capsys: pytest.CaptureFixture[str], names: list[str], sentence: str
    ) -> None:
        assert run(*options[:4], "--teacher", *names) == 2
        error = capsys.readouterr().err
        assert sentence in error and error.count("\n") == 1

    def test_facemesh_without_its_python(self, options: list[object], capsys: pytest.CaptureFixture[str]) -> None:
        assert run(*options[:4]) == 2
        assert "needs --teacher-python" in capsys.readouterr().err

    def test_pictures_that_would_share_a_label(
        self, options: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        draw(tmp_path / "in/a.jpg")
        assert run(*options) == 2
        assert "a.jpg and a.png would share a.pts" in capsys.readouterr().err

    def test_an_environment_without_mediapipe(
        self, options: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(teachers, "WORKER", Path(teachers.__file__).with_name("facemesh_worker.py"))
        assert run(*options) == 2
        error = capsys.readouterr().err
        assert "No module named 'mediapipe'" in error and "mediapipe==0.10.21" in error


class TestSeveralModels:
    def test_points_are_the_mean_of_theirs(self) -> None:
        names = [Path("edge68"), Path("edge68_300w")]
        views = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)
        alone = [teachers.Models([name], FakeDetector()).look(views) for name in names]
        both = teachers.Models(names, FakeDetector())
        np.testing.assert_allclose(both.look(views), (alone[0] + alone[1]) / 2, atol=1e-6)
        assert not np.allclose(alone[0], alone[1])
        assert [one["name"] for one in both.about["mean_of"]] == ["edge68", "edge68_300w"]

    def test_of_different_sizes_are_refused(self) -> None:
        with pytest.raises(TrackerError, match=r"got edge68 \(ibug68, 128 px\) and edge68_fast \(ibug68, 96 px\)"):
            teachers.Models([Path("edge68"), Path("edge68_fast")], FakeDetector())


def test_real_teacher_on_faces_labelled_by_hand(shared: Path, tmp_path: Path) -> None:
    """The whole chain, detector, FaceMesh and table, is near the hand's points on three London faces: 1.9 % on average
    over all (docs/labels.md), none as far off as 4."""
    python = os.environ.get("MEDIAPIPE_PYTHON")
    if not python:
        pytest.skip("needs $MEDIAPIPE_PYTHON, the Python of an environment with mediapipe==0.10.21")
    (tmp_path / "in").mkdir()
    for picture in sorted((shared / "data/london").glob("*.jpg"))[:3]:
        (tmp_path / "in" / picture.name).symlink_to(picture)
    assert run("--images", tmp_path / "in", "--output", tmp_path / "out", "--teacher-python", python) == 0
    labels = sorted((tmp_path / "out").glob("*.pts"))
    assert len(labels) == 3
    for path in labels:
        points, hand = read_pts(path), ibug68(read_template(shared / f"data/london/{path.stem}.tem"))
        error = np.linalg.norm(points - hand, axis=1).mean() / np.linalg.norm(hand[45] - hand[36])
        assert error < 0.04


class TestFoldersOfSomebodyElse:
    """Labels of others are neither mixed with these nor written over."""

    @pytest.mark.parametrize("name", ["a.pts", "b.spread.csv", "summary.json", "left_out.csv", "c.npy"])
    @pytest.mark.parametrize("option", ["--output", "--keep"])
    def test_is_refused_and_left_as_it_is(
        self, options: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, name: str
    ) -> None:
        theirs = tmp_path / "theirs"
        theirs.mkdir()
        (theirs / name).write_text("their work")
        assert run(*options, option, theirs) == 2
        assert f"{theirs}: holds {name}, which this command did not write" in capsys.readouterr().err
        assert os.listdir(theirs) == [name] and (theirs / name).read_text() == "their work"

    def test_the_folder_of_the_pictures_with_labels(
        self, options: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "in/a.pts").write_text("their work")
        assert run(*options, "--output", tmp_path / "in") == 2
        assert "holds a.pts" in capsys.readouterr().err

    def test_two_runs(self, options: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "out").mkdir()
        with held_folder(tmp_path / "out"):
            assert run(*options) == 2
        assert f"{tmp_path / 'out'} is being written by another run" in capsys.readouterr().err
        assert run(*options) == 0

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.pts", b"damaged"),
            ("a.spread.csv", b"spread_px\nmany\n"),
            ("settings.json", b"[1]"),
            ("settings.json", b"[" * 100_000),
            ("settings.json", b"\xff"),
            ("left_out.csv", b"picture,reason\na,b\x00\n"),
            ("left_out.csv", b"picture,reason\n" + b"a" * 200_000 + b",b\n"),
        ],
    )
    def test_what_was_damaged_since(
        self, options: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
    ) -> None:
        assert run(*options) == 0
        (tmp_path / "out" / name).write_bytes(content)
        capsys.readouterr()
        status = run(*options)
        said = capsys.readouterr().err
        assert (status == 2 and "delete" in said) or (name == "left_out.csv" and status == 0)
        assert "Traceback" not in said
