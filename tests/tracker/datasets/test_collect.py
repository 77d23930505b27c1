"""Bad data of every kind: named, counted, and refused or skipped as the option says."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tracker.datasets.collect import OnInvalid, face_numbers
from tracker.datasets.folder import read_custom
from tracker.datasets.pictures import Pictures
from tracker.datasets.pts_files import write_pts
from tracker.datasets.sample import DatasetError, Sample
from tracker.face.schemes import IBUG68

Array = np.ndarray[Any, np.dtype[np.float64]]
GOOD = ("a", "b", "d", "e")
WIDTH, HEIGHT = 40, 30


def add_picture(folder: Path, name: str) -> None:
    cv2.imwrite(str(folder / f"{name}.png"), np.full((HEIGHT, WIDTH, 3), 7, np.uint8))


def good_faces(samples: list[Sample], on_invalid: OnInvalid = "refuse") -> list[Sample]:
    return Pictures(samples, keep_gb=0).good(samples, on_invalid)


@pytest.fixture
def points() -> Array:
    return np.random.default_rng(0).uniform(0, HEIGHT - 1, (68, 2)).round(3)


@pytest.fixture
def folder(tmp_path: Path, points: Array) -> Path:
    """Four good faces; "c" is free for a bad one."""
    for name in GOOD:
        add_picture(tmp_path, name)
        write_pts(tmp_path / f"{name}.pts", points)
    return tmp_path


def number_of_points(count: int) -> Callable[[Path, Array], None]:
    def spoil(folder: Path, points: Array) -> None:
        add_picture(folder, "c")
        write_pts(folder / "c.pts", np.resize(points, (count, 2)))

    return spoil


def one_is(value: float) -> Callable[[Path, Array], None]:
    def spoil(folder: Path, points: Array) -> None:
        add_picture(folder, "c")
        write_pts(folder / "c.pts", np.where(np.arange(68)[:, None] == 3, value, points))

    return spoil


def collapsed(folder: Path, points: Array) -> None:
    add_picture(folder, "c")
    write_pts(folder / "c.pts", np.full((68, 2), 5.0))


def without_picture(folder: Path, points: Array) -> None:
    write_pts(folder / "c.pts", points)


def without_label(folder: Path, points: Array) -> None:
    add_picture(folder, "c")


def with_two_pictures(folder: Path, points: Array) -> None:
    without_picture(folder, points)
    add_picture(folder, "c")
    (folder / "c.jpg").touch()


def is_a_folder(folder: Path, points: Array) -> None:
    add_picture(folder, "c")
    (folder / "c.pts").mkdir()


BAD = {
    "67 points": (number_of_points(67), "expected 68 points, got 67"),
    "no points": (number_of_points(0), "expected pairs of numbers, got 0"),
    "nan": (one_is(np.nan), "not finite"),
    "infinite": (one_is(np.inf), "not finite"),
    "collapsed": (collapsed, "its points are all in one place"),
    "no picture": (without_picture, "expected one picture and one .pts file of that name, got c.pts"),
    "no label": (without_label, "expected one picture and one .pts file of that name, got c.png"),
    "two pictures": (with_two_pictures, "of that name, got c.jpg, c.png, c.pts"),
    "not a file": (is_a_folder, "it is a folder"),
}


@pytest.mark.parametrize(("spoil", "reason"), BAD.values(), ids=BAD.keys())
class TestBadFace:
    def test_is_refused_named_and_counted(
        self, folder: Path, points: Array, spoil: Callable[[Path, Array], None], reason: str
    ) -> None:
        spoil(folder, points)
        with pytest.raises(DatasetError) as error:
            read_custom(folder, "ibug68")
        message = str(error.value)
        assert message.startswith(f"{folder / 'c.pts'}: ")
        assert reason in message
        assert f"in {folder} 1 of 5 labelled faces are invalid" in message
        assert "\n" not in message

    def test_is_skipped_named_and_counted(
        self,
        folder: Path,
        points: Array,
        spoil: Callable[[Path, Array], None],
        reason: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        spoil(folder, points)
        samples = read_custom(folder, "ibug68", "skip")
        assert [sample.picture.stem for sample in samples] == [*GOOD]
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert f"{folder}: skipped 1 of 5 faces:\n{folder / 'c.pts'}: " in record.getMessage()
        assert reason in record.getMessage()


class TestWholeSet:
    def test_all_bad_faces_are_counted_and_named(
        self, folder: Path, points: Array, caplog: pytest.LogCaptureFixture
    ) -> None:
        number_of_points(67)(folder, points)
        (folder / "e.png").unlink()
        with pytest.raises(DatasetError, match="2 of 5 labelled faces are invalid: correct them, or leave them out"):
            read_custom(folder, "ibug68")
        assert len(read_custom(folder, "ibug68", "skip")) == 3
        assert all(str(folder / f"{name}.pts") in caplog.text for name in "ce")
        assert str(folder / "a.pts") not in caplog.text

    def test_good_faces_pass_in_silence(self, folder: Path, points: Array, caplog: pytest.LogCaptureFixture) -> None:
        samples = read_custom(folder, "ibug68")
        assert [sample.picture.name for sample in samples] == [f"{name}.png" for name in GOOD]
        assert all(np.allclose(sample.points_px, points, atol=1e-9) for sample in samples)
        assert caplog.records == []

    @pytest.mark.parametrize("on_invalid", ["refuse", "skip"])
    def test_an_empty_one_is_refused(self, tmp_path: Path, on_invalid: Any) -> None:
        with pytest.raises(DatasetError, match=r"expected labelled faces, found none$") as error:
            read_custom(tmp_path, "ibug68", on_invalid)
        assert str(tmp_path) in str(error.value)

    def test_one_of_bad_faces_only_is_refused_even_if_they_are_skipped(self, tmp_path: Path) -> None:
        add_picture(tmp_path, "a")
        with pytest.raises(DatasetError, match="found only invalid ones"):
            read_custom(tmp_path, "ibug68", "skip")

    @pytest.mark.parametrize("on_invalid", ["refuse", "skip"])
    def test_an_unknown_scheme_is_refused_and_the_known_are_named(self, folder: Path, on_invalid: Any) -> None:
        with pytest.raises(DatasetError, match=r"unknown landmark scheme 'ibug86'; known: ibug68, wflw98"):
            read_custom(folder, "ibug86", on_invalid)


class TestPictures:
    def samples(self, folder: Path) -> list[Sample]:
        return read_custom(folder, "ibug68")

    @pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n"])
    def test_what_does_not_decode_is_refused_or_skipped(
        self, folder: Path, content: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        (folder / "b.png").write_bytes(content)
        samples = self.samples(folder)  # found only when it is read
        with pytest.raises(DatasetError, match=r"b\.png cannot be decoded as a picture \(in .* 1 of 4"):
            good_faces(samples)
        assert [sample.picture.stem for sample in good_faces(samples, "skip")] == ["a", "d", "e"]
        assert str(folder / "b.png") in caplog.text

    def test_points_outside_are_counted_and_kept(
        self, folder: Path, points: Array, caplog: pytest.LogCaptureFixture
    ) -> None:
        for name, point in {"a": (WIDTH - 0.5, HEIGHT - 0.5), "b": (-0.51, 3), "d": (3, HEIGHT - 0.49)}.items():
            moved = points.copy()
            moved[5] = point
            write_pts(folder / f"{name}.pts", moved)
        with caplog.at_level(logging.INFO):
            assert len(good_faces(self.samples(folder))) == 4
        assert "2 of 4 faces have points outside their picture" in caplog.text

    @pytest.mark.parametrize("shift", [(-100.0, 0.0), (0.0, 100.0)])
    def test_a_face_outside_its_picture_is_bad(self, folder: Path, points: Array, shift: tuple[float, float]) -> None:
        write_pts(folder / "b.pts", points + shift)
        with pytest.raises(DatasetError, match=r"b\.png: none of its points lies in its picture of 40 x 30 pixels"):
            good_faces(self.samples(folder))
        assert len(good_faces(self.samples(folder), "skip")) == 3

    def test_of_shared_faces_decode(self, shared: Path) -> None:
        samples = read_custom(shared / "data/300w/lfpw/testset", "ibug68")[:8]
        assert good_faces(samples) == samples


def test_faces_of_a_picture_are_numbered() -> None:
    assert list(face_numbers(["a", "b", "a", "a", "b"])) == [0, 0, 1, 2, 1]
    names = [Sample(Path("a.png"), np.zeros((68, 2)), IBUG68, face=face).name for face in (0, 1, 2)]
    assert len(set(names)) == 3
    assert names[0] == "a.png"


def test_a_png_that_states_more_than_it_holds_is_not_decoded(tmp_path: Path) -> None:
    """OpenCV 5 takes as much memory as a part of the file is said to have."""
    content = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    place = content.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(content[:place] + b"\x7f\xff\xff\xf0" + content[place + 4 :])
    with pytest.raises(
        DatasetError, match=r"a\.png cannot be decoded as a picture: its header states more bytes than the file has"
    ):
        Sample(tmp_path / "a.png", np.zeros((68, 2)), IBUG68).read_image()
