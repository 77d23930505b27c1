"""Tables and label files are what other tools read, and whole."""

from __future__ import annotations

import csv
import errno
import io
import os
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.tracker.sinks.sinks_shared import frame, result, run_on_full_disk
from tracker.analysis.head_pose import mean_head_mm
from tracker.datasets.pts_files import read_pts
from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68, WFLW98, Scheme
from tracker.result import FrameResult, State, TrackedFace
from tracker.sinks import OpenFaceCsv, PtsFiles

FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


def face(number: int, state: State = "tracking", scheme: Scheme = IBUG68) -> TrackedFace:
    """Anywhere, even outside the picture; the raw landmarks elsewhere."""
    rng = np.random.default_rng(number)
    shape = scheme.count, 2
    points, scores = rng.uniform(-20, 4000, shape), rng.uniform(0, 1, scheme.count)
    covariances = rng.normal(0, 3, (scheme.count, 3))
    smooth = Landmarks(points, scores, covariances, scheme)
    return TrackedFace(number, state, rng.uniform(), smooth, Landmarks(points + 9, scores, covariances, scheme))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="ascii") as file:
        return list(csv.DictReader(file))


class TestCsv:
    def test_columns_as_openface_writes_them_and_ours_after(self, tmp_path: Path) -> None:
        with OpenFaceCsv(tmp_path / "out.csv", IBUG68):
            assert (tmp_path / "out.csv").read_bytes().endswith(b",mouth_opening\n")  # before any face
        header = (tmp_path / "out.csv").read_text().strip().split(",")
        openface = [f"{axis}_{i}" for axis, i in product("xy", range(68))]
        pose = [f"pose_{what}{axis}" for what, axis in product("TR", "xyz")]
        assert header[:147] == ["frame", "face_id", "timestamp", "confidence", "success", *pose, *openface]
        names = ("score", "cov_xx", "cov_xy", "cov_yy", "visibility")
        ours = [f"{name}_{i}" for name, i in product(names, range(68))]
        assert header[147:] == [*ours, "right_eye_opening", "left_eye_opening", "mouth_opening"]

    @pytest.mark.parametrize("scheme", [IBUG68, WFLW98])
    def test_a_line_a_face_and_frame(self, tmp_path: Path, scheme: Scheme) -> None:
        faces = {0: [face(1, scheme=scheme)], 1: [], 2: [face(4, scheme=scheme), face(2, "coasting", scheme)]}
        with OpenFaceCsv(tmp_path / "größe.csv", scheme) as sink:
            for index, there in faces.items():
                sink.write(frame(index), FrameResult(index, index / 3, tuple(there)))
        rows = rows_of(tmp_path / "größe.csv")
        assert [(row["frame"], row["face_id"], row["timestamp"], row["success"]) for row in rows] == [
            ("1", "1", "0.0", "1"),
            ("3", "4", "0.666667", "1"),
            ("3", "2", "0.666667", "0"),
        ]
        for row, one in zip(rows, [faces[0][0], *faces[2]], strict=True):
            assert float(row["confidence"]) == round(one.score, 4)
            got = {n: [float(row[f"{n}_{i}"]) for i in range(scheme.count)] for n in ("x", "y", "score")}
            assert_allclose(np.stack([got["x"], got["y"]], 1), one.landmarks.points_px, atol=0.0051)
            assert_allclose(got["score"], one.landmarks.scores, atol=0.51e-4)
            for name, expected in zip(("cov_xx", "cov_xy", "cov_yy"), one.landmarks.covariances_px2.T):
                assert_allclose([float(row[f"{name}_{i}"]) for i in range(scheme.count)], expected, atol=0.51e-4)

    def test_visibility_where_the_model_tells_it(self, tmp_path: Path) -> None:
        known, unknown = face(1), face(2)
        landmarks = replace(known.landmarks, visibility=np.linspace(0, 1, 68))
        with OpenFaceCsv(tmp_path / "out.csv", IBUG68) as sink:
            sink.write(frame(0), FrameResult(0, 0.0, (replace(known, landmarks=landmarks), unknown)))
        first, second = rows_of(tmp_path / "out.csv")
        assert [float(first[f"visibility_{i}"]) for i in range(68)] == np.linspace(0, 1, 68).round(4).tolist()
        assert {second[f"visibility_{i}"] for i in range(68)} == {""}

    def test_the_pose_as_openface_means_it(self, tmp_path: Path) -> None:
        """The mean head, turned by Rx @ Ry @ Rz and seen by a pinhole in the middle of the picture."""
        radians, at_mm = (0.2, -0.3, 0.15), (30.0, -20.0, 700.0)
        x, y, z = (cv2.Rodrigues(angle * axis)[0] for angle, axis in zip(radians, np.eye(3)))
        points_mm = mean_head_mm() @ (x @ y @ z).T + at_mm
        points_px = points_mm[:, :2] / points_mm[:, 2:] * 640 + (319.5, 239.5)
        landmarks = Landmarks.from_points(points_px, IBUG68)
        tracked = TrackedFace(1, "tracking", 1.0, landmarks, landmarks), face(2)
        with OpenFaceCsv(tmp_path / "out.csv", IBUG68) as sink:
            sink.write(frame(0, np.zeros((480, 640, 3), np.uint8)), FrameResult(0, 0.0, tracked))
        posed, shuffled = rows_of(tmp_path / "out.csv")
        assert_allclose([float(posed[f"pose_R{axis}"]) for axis in "xyz"], radians, atol=1e-3)
        assert_allclose([float(posed[f"pose_T{axis}"]) for axis in "xyz"], at_mm, atol=0.3)
        assert {shuffled[f"pose_{what}{axis}"] for what, axis in product("TR", "xyz")} == {""}

    def test_the_openings_of_the_raw_landmarks(self, tmp_path: Path, face68: Array) -> None:
        """With the lids drawn together to half of what they were, half of the number."""
        closing = face68.copy()
        for lids in ((37, 41), (38, 40)):
            middle = face68[list(lids)].mean(0)
            closing[list(lids)] = middle + (face68[list(lids)] - middle) / 2
        raws = [Landmarks.from_points(points, IBUG68) for points in (face68, closing, np.zeros((68, 2)))]
        smooth = Landmarks.from_points(face68 + 5, IBUG68)
        with OpenFaceCsv(tmp_path / "out.csv", IBUG68) as sink:
            for index, raw in enumerate(raws):
                tracked = TrackedFace(1, "tracking", 1.0, smooth, raw)
                sink.write(frame(index), FrameResult(index, 0.0, (tracked,)))
        first, second, nowhere = (
            [row[name] for name in ("right_eye_opening", "left_eye_opening", "mouth_opening")]
            for row in rows_of(tmp_path / "out.csv")
        )
        assert float(second[0]) == pytest.approx(float(first[0]) / 2, abs=0.02)
        assert second[1:] == first[1:] and 0.1 < float(first[1]) < 0.5
        assert nowhere == ["", "", ""]

    def test_other_schemes_have_no_pose(self, tmp_path: Path) -> None:
        with OpenFaceCsv(tmp_path / "out.csv", WFLW98):
            header = (tmp_path / "out.csv").read_text()
        assert "pose" not in header and "opening" not in header

    def test_a_line_is_there_at_once(self, tmp_path: Path) -> None:
        with OpenFaceCsv(tmp_path / "out.csv", IBUG68) as sink:
            for index in range(3):
                sink.write(frame(index), result(index))
                assert (tmp_path / "out.csv").read_bytes().count(b"\n") == index + 2

    def test_full_disk_is_one_sentence_and_complete_lines(self, tmp_path: Path) -> None:
        error = run_on_full_disk(
            """
            with OpenFaceCsv(folder / "out.csv", IBUG68) as sink:
                for index in range(1000):
                    sink.write(frame(index), result(index, faces=3))
            """,
            tmp_path,
        )
        assert "out.csv cannot be written (File too large): choose a writable folder" in error.splitlines()[-1]
        content = (tmp_path / "out.csv").read_text()
        assert content.endswith("\n") and 10 < content.count("\n") < 1000
        assert {line.count(",") for line in content.splitlines()} == {4 + 6 + 7 * 68 + 3}
        assert content.count("\n") % 3 == 1  # the header, and frames with all of their faces

    @FULL
    def test_device_that_takes_nothing(self) -> None:
        """The header already; nothing is left open, or Python would warn."""
        with pytest.raises(TrackerError, match="/dev/full cannot be written"):
            OpenFaceCsv("/dev/full", IBUG68)

    def test_unwritable(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "missing" / "out.csv"):
            with pytest.raises(TrackerError, match=f"{path} cannot be written"):
                OpenFaceCsv(path, IBUG68)


class TestPts:
    def test_the_layout_of_300vw(self, tmp_path: Path) -> None:
        """One file for each frame whose face was measured, counted from 1, coordinates from 1."""
        faces = [(face(1),), (face(1, "coasting"),), (), (face(3),)]
        with PtsFiles(tmp_path / "clip") as sink:
            for index, there in enumerate(faces):
                sink.write(frame(index), FrameResult(index, index / 25, there))
                assert len(os.listdir(tmp_path / "clip/annot")) == (1 if index < 3 else 2)  # at once
        assert sorted(os.listdir(tmp_path / "clip/annot")) == ["000001.pts", "000004.pts"]
        for number, one in ((1, face(1)), (4, face(3))):
            path = tmp_path / f"clip/annot/{number:06d}.pts"
            assert_allclose(read_pts(path), one.landmarks.points_px, atol=0.51e-4)
            assert path.read_text().startswith("version: 1\nn_points: 68\n{\n")

    def test_reads_as_the_labels_of_300vw_do(self, tmp_path: Path, shared: Path) -> None:
        """Points of 300VW's own file, written again: the same text but for the digits."""
        original = next((shared / "data/samples/300vw").glob("*/annot/*.pts"))
        landmarks = Landmarks.from_points(read_pts(original), IBUG68)
        with PtsFiles(tmp_path) as sink:
            sink.write(frame(0), FrameResult(0, 0.0, (TrackedFace(1, "tracking", 1.0, landmarks, landmarks),)))
        ours = (tmp_path / "annot/000001.pts").read_text().split()
        theirs = original.read_text().split()
        assert [len(ours), ours[:5]] == [len(theirs), theirs[:5]]
        assert_allclose([float(x) for x in ours[5:-1]], [float(x) for x in theirs[5:-1]], atol=0.51e-4)

    def test_several_faces_are_told_apart_by_their_names(self, tmp_path: Path) -> None:
        with PtsFiles(tmp_path, max_faces=2) as sink:
            sink.write(frame(6), FrameResult(6, 0.0, (face(2), face(5))))
            sink.write(frame(7), FrameResult(7, 0.0, (face(5),)))
        assert sorted(os.listdir(tmp_path / "annot")) == ["000007_2.pts", "000007_5.pts", "000008_5.pts"]
        assert_allclose(read_pts(tmp_path / "annot/000007_5.pts"), face(5).landmarks.points_px, atol=0.51e-4)

    def test_labels_that_are_there_are_never_lost(self, tmp_path: Path) -> None:
        (tmp_path / "annot").mkdir()
        (tmp_path / "annot/000001.pts").write_text("by hand")
        with pytest.raises(TrackerError, match="annot contains labels already: empty it, or name another folder"):
            PtsFiles(tmp_path)
        assert (tmp_path / "annot/000001.pts").read_text() == "by hand"

    def test_full_disk_is_one_sentence_and_whole_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class FakeFull(io.FileIO):
            """A file on a disk that has room for half of what is written."""

            def write(self, content: bytes) -> int:  # type: ignore[override]
                super().write(content[: len(content) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with PtsFiles(tmp_path) as sink:
            sink.write(frame(0), result(0))
            monkeypatch.setattr("tracker.system.files.open", FakeFull, raising=False)
            with pytest.raises(
                TrackerError, match=r"000002\.pts cannot be written \(No space left on device\): choose"
            ):
                sink.write(frame(1), result(1))
        assert os.listdir(tmp_path / "annot") == ["000001.pts"]
        assert read_pts(tmp_path / "annot/000001.pts").shape == (68, 2)

    def test_unwritable_is_said_at_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(TrackerError, match=r"annot cannot be written \(Not a directory\)"):
            PtsFiles(tmp_path / "file")

        def refuse(**options: Any) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr("tempfile.TemporaryFile", refuse)
        with pytest.raises(TrackerError, match=r"annot cannot be written \(Read-only file system\)"):
            PtsFiles(tmp_path / "clip")

    @pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="nothing is forbidden to root")
    def test_a_folder_that_is_not_ours(self, tmp_path: Path) -> None:
        (tmp_path / "annot").mkdir(mode=0o500)
        with pytest.raises(TrackerError, match=r"annot cannot be written \(Permission denied\)"):
            PtsFiles(tmp_path)
