"""Label files as they are found in the wild."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from tracker.datasets.pts_files import labelled_pictures, read_pts, write_pts

Array = np.ndarray[Any, np.dtype[np.float64]]
HEADED = "version: 1\nn_points:  3\n{\n1 1\n30.5 40.25\n-2 1e2\n}\n"
EXPECTED = [(0, 0), (29.5, 39.25), (-3, 99)]


def written(folder: Path, text: str | bytes, name: str = "face.pts") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


class TestRead:
    @pytest.mark.parametrize(
        "text",
        [
            HEADED,
            "1 1\n30.5 40.25\n-2 1e2\n",
            "{\n1 1\n30.5 40.25\n-2 1e2\n}",
            HEADED.replace("\n", "\r\n"),
            HEADED.replace("\n", "\r"),
            HEADED.replace(" ", "\t"),
            HEADED.replace("n_points:  3", "n_points:3 "),
            HEADED.replace("version: 1\n", ""),
            "# made by: hand, 2013\n" + HEADED,
            "\n\n" + HEADED + "\n  \n",
            b"\xef\xbb\xbf" + HEADED.encode(),
            b"\xef\xbb\xbf1 1\n30.5 40.25\n-2 1e2\n",
        ],
        ids=[
            "headed",
            "bare",
            "braces",
            "crlf",
            "cr",
            "tabs",
            "tight",
            "no version",
            "comment",
            "blank",
            "bom",
            "bare bom",
        ],
    )
    def test_subtracts_one_whatever_surrounds_the_numbers(self, tmp_path: Path, text: str | bytes) -> None:
        assert_allclose(read_pts(written(tmp_path, text)), EXPECTED)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "expected pairs of numbers, got 0"),
            ("version: 1\nn_points: 0\n{\n}\n", "expected pairs of numbers, got 0"),
            ("1 2\n3", "got 3 numbers"),
            ("1 2\n3 four", "expected lines of two numbers.*four"),
            ("1,2\n3,4", "expected lines of two numbers"),
            ("1 2\nnan 4", "not finite"),
            ("1 2\n3 inf", "not finite"),
            ("1 2\n3 1e999", "not finite"),
            ("n_points: 68\n{\n1 2\n3 4\n}", "header states '68' points, it holds 2"),
            (bytes(range(256)), "expected"),
            ("\x00" * 40, "expected"),
        ],
    )
    def test_refuses_by_name(self, tmp_path: Path, text: str | bytes, reason: str) -> None:
        path = written(tmp_path, text)
        with pytest.raises(ValueError, match=reason) as error:
            read_pts(path)
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)

    @given(st.binary(max_size=80))
    def test_any_bytes_are_points_or_a_sentence(self, tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
        path = written(tmp_path_factory.getbasetemp(), data, "any.pts")
        try:
            points = read_pts(path)
        except ValueError as error:
            sentence = str(error)
        else:
            sentence = str(path)
            assert points.shape == (points.size // 2, 2)
            assert np.isfinite(points).all()
        assert str(path) in sentence


class TestWrite:
    @given(points=arrays(np.float64, st.tuples(st.integers(1, 98), st.just(2)), elements=st.floats(-9e4, 9e4)))
    def test_round_trip(self, tmp_path_factory: pytest.TempPathFactory, points: Array) -> None:
        path = tmp_path_factory.getbasetemp() / "Gesichter 顔 é.pts"
        write_pts(path, points)
        assert_allclose(read_pts(path), points, atol=0.5001e-4)

    def test_is_what_others_read(self, tmp_path: Path) -> None:
        write_pts(tmp_path / "face.pts", np.array([[0, 0], [9.5, 19.25]]))
        assert (tmp_path / "face.pts").read_text() == (
            "version: 1\nn_points: 2\n{\n1.0000 1.0000\n10.5000 20.2500\n}\n"
        )


class TestPairs:
    def test_are_by_name_and_skip_other_files(self, tmp_path: Path) -> None:
        for name in (
            "b.png",
            "b.pts",
            "a é.JPG",
            "a é.pts",
            "C.JPG",
            "C.PTS",
            "notes.txt",
            "image_092 _01.jpeg",
            "image_092 _01.pts",
        ):
            (tmp_path / name).touch()
        (tmp_path / "deeper").mkdir()
        (tmp_path / "deeper/c.pts").touch()
        pairs = [(picture.name, label.name) for picture, label in labelled_pictures(tmp_path)]
        assert pairs == [
            ("C.JPG", "C.PTS"),
            ("a é.JPG", "a é.pts"),
            ("b.png", "b.pts"),
            ("image_092 _01.jpeg", "image_092 _01.pts"),
        ]

    @pytest.mark.parametrize(
        "further", [["b.pts"], ["b.jpg"], ["b.jpg", "b.png", "b.pts"], ["b.jpg", "b.pts", "b.PTS"]]
    )
    def test_what_is_no_pair_is_named(self, tmp_path: Path, further: list[str]) -> None:
        for name in ("a.png", "a.pts", "c.pts", *further):
            (tmp_path / name).touch()
        found = ", ".join(sorted(further))
        with pytest.raises(ValueError, match=rf"2 names are not a picture with its labels; .* got {found}$") as error:
            labelled_pictures(tmp_path)
        assert str(tmp_path) in str(error.value)

    @pytest.mark.parametrize("name", ["nothing", "missing"])
    def test_a_folder_without_any(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "nothing").mkdir()
        with pytest.raises(ValueError, match=r"expected pictures with \.pts files beside them, found none"):
            labelled_pictures(tmp_path / name)


def test_a_real_label(shared: Path) -> None:
    """Of the common test; its numbers as in the official list, image_0001 of lfpw/testset."""
    for folder in ("300w/lfpw/testset", "300w/afw"):
        picture, label = labelled_pictures(shared / "data" / folder)[0]
        points = read_pts(label)
        numbers = label.read_text().split("{")[1].split()
        assert points.shape == (68, 2)
        assert picture.stem == label.stem
        assert_allclose(points[0], [float(numbers[0]) - 1, float(numbers[1]) - 1])
