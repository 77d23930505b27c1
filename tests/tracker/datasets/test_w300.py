"""The 300W reader: which faces there are, and on which side of the split they fall."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.datasets.collect import OnInvalid
from tracker.datasets.pts_files import write_pts
from tracker.datasets.sample import DatasetError, Sample
from tracker.datasets.w300 import TRAINING, Split, read_folder, read_split
from tracker.face.schemes import IBUG68
from train.datasets import W300


def empty_300w(root: Path) -> Path:
    for name in TRAINING:
        (root / name).mkdir(parents=True)
    return root


def add_face(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jpg").touch()
    write_pts(folder / f"{name}.pts", np.arange(136.0).reshape(68, 2))


class TestSplit:
    def test_of_the_drawn_faces(self, w300: Path) -> None:
        training, validation = W300(w300).faces()
        assert [(s.picture.parent.relative_to(w300).as_posix(), s.picture.stem) for s in validation] == [
            ("afw", "face21"),
            ("helen/trainset", "face5"),
            ("lfpw/trainset", "face59"),
        ]
        assert [s.picture.stem for s in training] == ["face0", "face1", "face2"] * 3

    def test_does_not_depend_on_where_the_folders_lie_or_what_else_is_there(self, w300: Path, tmp_path: Path) -> None:
        copy = tmp_path / "elsewhere é"
        shutil.copytree(w300, copy)
        add_face(copy / "afw", "another")
        names = [{s.picture.name for s in side} for side in W300(w300).faces()]
        moved = [{s.picture.name for s in side} - {"another.jpg"} for side in W300(copy).faces()]
        assert names == moved

    @given(st.integers(0, 10**9), st.lists(st.integers(1, 99), min_size=2, max_size=4, unique=True))
    @settings(max_examples=15)
    def test_all_faces_of_one_picture_fall_on_one_side(
        self, tmp_path_factory: pytest.TempPathFactory, source: int, faces: list[int]
    ) -> None:
        root = empty_300w(tmp_path_factory.mktemp("300w"))
        for folder in TRAINING:
            for face in faces:
                add_face(root / folder, f"{source}_{face}")
        for folder in TRAINING:
            sides = [
                {s.picture.stem for s in side if (root / folder) in s.picture.parents} for side in W300(root).faces()
            ]
            assert set() in sides

    def test_of_the_shared_faces(self, shared: Path) -> None:
        root = shared / "data/300w"
        training, validation = W300(root).faces()
        assert (len(training), len(validation)) == (1864, 145)
        sources = defaultdict(set)
        for side, samples in enumerate((training, validation)):
            for sample in samples:
                folder, stem = sample.picture.parent, sample.picture.stem
                source = stem.rsplit("_", 1)[0] if folder.name == "afw" else stem
                sources[folder, source].add(side)
        assert len(sources) < len(training) + len(validation)  # AFW has pictures with several faces
        assert all(len(sides) == 1 for sides in sources.values())
        assert not any("testset" in s.picture.parts for s in training + validation)
        assert {s.picture.parent.relative_to(root).as_posix() for s in validation} == set(TRAINING)

    def test_missing_folders_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "afw").mkdir()
        with pytest.raises(ValueError, match="missing: helen/trainset, lfpw/trainset") as error:
            read_split(tmp_path, "train")
        assert str(tmp_path) in str(error.value)


class TestTestSets:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for folder in ("helen/testset", "lfpw/testset", "ibug", "01_Indoor", "02_Outdoor", *TRAINING):
            add_face(tmp_path / folder, folder.replace("/", "_"))
        add_face(tmp_path / "ibug", "image_092 _01")  # as 300W spells it
        return tmp_path

    @pytest.mark.parametrize(
        ("split", "faces"),
        [
            ("common", [("helen_testset", "common"), ("lfpw_testset", "common")]),
            ("challenging", [("ibug", "challenging"), ("image_092 _01", "challenging")]),
            (
                "full",
                [
                    *[("helen_testset", "common"), ("lfpw_testset", "common")],
                    *[("ibug", "challenging"), ("image_092 _01", "challenging")],
                ],
            ),
            ("private", [("01_Indoor", "indoor"), ("02_Outdoor", "outdoor")]),
        ],
    )
    def test_are_the_papers(self, root: Path, split: Split, faces: list[tuple[str, str]]) -> None:
        samples = read_split(root, split)
        assert [(s.picture.stem, *s.subsets) for s in samples] == faces
        assert all(s.scheme is IBUG68 for s in samples)

    def test_missing_folders_are_named(self, root: Path) -> None:
        shutil.rmtree(root / "ibug")
        assert len(read_split(root, "common")) == 2
        with pytest.raises(DatasetError, match=r"missing: ibug$"):
            read_split(root, "full")

    @pytest.mark.parametrize(
        "read",
        [
            lambda root, on_invalid: read_split(root, "train", on_invalid),
            lambda root, on_invalid: read_split(root, "full", on_invalid),
        ],
        ids=["training", "test"],
    )
    def test_bad_faces_are_refused_or_skipped(
        self, root: Path, read: Callable[[Path, OnInvalid], list[Sample]]
    ) -> None:
        whole = len(read(root, "refuse"))
        for folder in ("afw", "ibug"):
            (root / folder / "blank.jpg").touch()
        with pytest.raises(DatasetError, match=r"one \.pts file of that name, got blank\.jpg"):
            read(root, "refuse")
        assert len(read(root, "skip")) == whole

    def test_of_the_shared_faces(self, shared: Path) -> None:
        assert len(read_folder(shared / "data/300w/lfpw/testset")) == 224
        with pytest.raises(DatasetError, match="missing: helen/testset"):
            read_split(shared / "data/300w", "common")


class TestFolder:
    def test_points_are_read_in_our_pixels(self, tmp_path: Path) -> None:
        points = np.random.default_rng(0).uniform(0, 99, (68, 2)).round(4)
        (tmp_path / "a.png").touch()
        write_pts(tmp_path / "a.pts", points)
        (sample,) = read_folder(tmp_path)
        assert sample.scheme is IBUG68
        assert sample.picture == tmp_path / "a.png"
        np.testing.assert_allclose(sample.points_px, points, atol=1e-9)

    @pytest.mark.parametrize("count", [67, 69, 29])
    def test_another_number_of_points_is_refused_by_name(self, tmp_path: Path, count: int) -> None:
        add_face(tmp_path, "a")
        (tmp_path / "b.jpg").touch()
        write_pts(tmp_path / "b.pts", np.zeros((count, 2)))
        with pytest.raises(ValueError, match=f"expected 68 points, got {count} ") as error:
            read_folder(tmp_path)
        assert str(error.value).startswith(str(tmp_path / "b.pts"))

    def test_a_broken_label_is_refused_by_name(self, tmp_path: Path) -> None:
        add_face(tmp_path, "a")
        (tmp_path / "a.pts").write_text("version: 1\nn_points: 68\n{\n1 2\n}\n")
        with pytest.raises(ValueError, match="states '68' points, it holds 1") as error:
            read_folder(tmp_path)
        assert str(tmp_path / "a.pts") in str(error.value)


class TestPicture:
    @pytest.mark.parametrize("name", ["plain.png", "Gesicht 顔 é.png"])
    def test_is_rgb(self, tmp_path: Path, name: str) -> None:
        bgr = np.zeros((4, 5, 3), np.uint8)
        bgr[..., 0], bgr[1, 2] = 10, (1, 2, 3)
        (tmp_path / name).write_bytes(cv2.imencode(".png", bgr)[1].tobytes())
        image = Sample(tmp_path / name, np.zeros((68, 2)), IBUG68).read_image()
        assert np.array_equal(image, bgr[..., ::-1])

    @pytest.mark.parametrize("channels", [1, 4])
    def test_grey_and_alpha_become_rgb(self, tmp_path: Path, channels: int) -> None:
        (tmp_path / "a.png").write_bytes(cv2.imencode(".png", np.full((4, 5, channels), 200, np.uint8))[1].tobytes())
        image = Sample(tmp_path / "a.png", np.zeros((68, 2)), IBUG68).read_image()
        assert image.shape == (4, 5, 3)
        assert (image == 200).all()

    @pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n"])
    def test_what_does_not_decode_is_named(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.png cannot be decoded as a picture"):
            Sample(tmp_path / "a.png", np.zeros((68, 2)), IBUG68).read_image()
