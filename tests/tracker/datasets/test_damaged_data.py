"""Damaged files of every format end in a DatasetError or are read; nothing else gets out of the readers."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.datasets.collect import OnInvalid
from tracker.datasets.folder import read_custom
from tracker.datasets.pts_files import write_pts
from tracker.datasets.sample import MOST_PIXELS, DatasetError, Sample
from tracker.datasets.star_tsv import read_star_tsv
from tracker.datasets.wflw import LIST, read_wflw
from train.loaders import Crops

Array = np.ndarray[Any, np.dtype[np.float64]]
Read = Callable[[OnInvalid], list[Sample]]
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1), st.sampled_from(["replace", "insert", "delete", "cut"]), st.binary(min_size=1, max_size=6)
    ),
    min_size=1,
    max_size=4,
)
TEXT_PIECES = [
    b'"',
    b",",
    b"\t",
    b"\n",
    b"\r",
    b"\0",
    b"-",
    b"1e9",
    b"1e400",
    b"nan",
    b"{",
    b":",
    b"\xff\xfe",
    b"9" * 5000,
]


def damaged(content: bytes, edits: list[tuple[float, str, bytes]]) -> bytes:
    for place, kind, piece in edits:
        at = int(place * len(content))
        if kind == "cut":
            content = content[:at]
        else:
            taken = 0 if kind == "insert" else len(piece)
            content = content[:at] + (b"" if kind == "delete" else piece) + content[at + taken :]
    return content


def faces_of(read: Read, on_invalid: OnInvalid) -> int | str:
    """How many faces are read and cropped, or the sentence that refuses them."""
    try:
        crops = Crops(read(on_invalid), 16, on_invalid=on_invalid)
    except DatasetError as error:
        return str(error)
    for i in range(len(crops)):
        assert crops[i].points_px.isfinite().all()
    return len(crops)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, face68: Array) -> Path:
    """Three faces in each of the formats that are text."""
    root, rng = tmp_path_factory.mktemp("damaged"), np.random.default_rng(0)
    rows: dict[str, list[str]] = {"ibug68": [], "wflw98": [], "star": []}
    (root / "own").mkdir()
    (root / "WFLW_images").mkdir()
    for i in range(3):
        picture = rng.integers(0, 256, (90, 80, 3), np.uint8)
        for folder in ("own", "WFLW_images"):
            cv2.imwrite(str(root / folder / f"{i}.png"), picture)
        points = face68 * 0.6 + 5
        write_pts(root / f"own/{i}.pts", points)
        values = [f"{value:.3f}" for value in points.ravel()]
        rows["ibug68"].append(",".join([f"{i}.png", *values]))
        rows["star"].append("\t".join([f"{i}.png", "1", ",".join(values), "0.3", "40", "45"]))
        numbers = [f"{value:.3f}" for value in rng.uniform(1, 79, 196)]
        rows["wflw98"].append(" ".join([*numbers, "1", "1", "70", "70", *"000000", f"{i}.png"]))
    header = ",".join(["picture", *(f"{axis}{i}" for i in range(68) for axis in "xy")])
    (root / "own/faces.csv").write_text("\n".join([header, *rows["ibug68"], ""]))
    (root / "own/faces.tsv").write_text("\n".join([*rows["star"], ""]))
    path = root / LIST.format(split="train")
    path.parent.mkdir(parents=True)
    path.write_text("\n".join([*rows["wflw98"], ""]))
    return root


def reader_of(root: Path, name: str) -> tuple[Path, Read]:
    """A file to damage, and what reads the three faces of its set."""
    own = root / "own"
    return {
        "pts": (own / "1.pts", lambda on_invalid: read_custom(own, "ibug68", on_invalid)),
        "csv": (own / "faces.csv", lambda on_invalid: read_custom(own / "faces.csv", "ibug68", on_invalid)),
        "star": (own / "faces.tsv", lambda on_invalid: read_star_tsv(own / "faces.tsv", own, "ibug68", on_invalid)),
        "wflw": (root / LIST.format(split="train"), lambda on_invalid: read_wflw(root, "train", on_invalid)),
        "png": (own / "1.png", lambda on_invalid: read_custom(own, "ibug68", on_invalid)),
    }[name]


@pytest.mark.parametrize("name", ["pts", "csv", "star", "wflw", "png"])
class TestEveryFormat:
    def test_is_read_where_it_is_whole(self, root: Path, name: str) -> None:
        assert faces_of(reader_of(root, name)[1], "refuse") == 3

    @given(
        edits=EDITS,
        pieces=st.lists(st.sampled_from(TEXT_PIECES), max_size=2),
        on_invalid=st.sampled_from(["refuse", "skip"]),
    )
    @settings(max_examples=40)
    def test_is_refused_or_read_where_it_is_damaged(
        self, root: Path, name: str, edits: list[tuple[float, str, bytes]], pieces: list[bytes], on_invalid: OnInvalid
    ) -> None:
        path, read = reader_of(root, name)
        whole = path.read_bytes()
        edits += [(edits[0][0], "insert", piece) for piece in pieces]
        try:
            path.write_bytes(damaged(whole, edits))
            assert "\n" not in str(faces_of(read, on_invalid))
        finally:
            path.write_bytes(whole)


class TestOneBadLine:
    """Costs its own face and no other."""

    @pytest.mark.parametrize("name", ["csv", "star", "wflw"])
    @pytest.mark.parametrize("piece", [b'"', b"\0", b"x" * 200_000, b"\xe9", b"1e9", b"\x85"], ids=repr)
    def test_in_a_table(self, root: Path, name: str, piece: bytes) -> None:
        path, read = reader_of(root, name)
        whole = path.read_bytes()
        lines = whole.split(b"\n")
        bad = 2 if name == "csv" else 1
        lines[bad] = piece + lines[bad] if name != "wflw" else lines[bad] + piece
        try:
            path.write_bytes(b"\n".join(lines))
            assert faces_of(read, "skip") == 2
            sentence = faces_of(read, "refuse")
        finally:
            path.write_bytes(whole)
        assert f"{path}:{bad + 1}: " in str(sentence)
        assert len(str(sentence)) < 2000


def own_with(folder: Path, face68: Array, points: Array) -> Read:
    """Two good faces and one with these points, in pictures of 80 x 90 pixels."""
    for name, labels in (("a", face68 * 0.6 + 5), ("b", points), ("c", face68 * 0.5 + 9)):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((90, 80, 3), 99, np.uint8))
        numbers = "\n".join(f"{x + 1!r} {y + 1!r}" for x, y in labels.tolist())
        (folder / f"{name}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{numbers}\n}}\n")
    return lambda on_invalid: read_custom(folder, "ibug68", on_invalid)


def one_at(value: float) -> Callable[[Array], Array]:
    def change(points: Array) -> Array:
        points[0, 0] = value
        return points

    return change


class TestLabelsThatCannotBe:
    @pytest.mark.parametrize("value", [1e200, -1e200, 1e18, 1e9, 1e6, -1e6, 1000, 80 + 91, -92])
    def test_a_point_far_outside(self, tmp_path: Path, face68: Array, value: float) -> None:
        read = own_with(tmp_path, face68, one_at(value)(face68 * 0.6 + 5))
        assert faces_of(read, "skip") == 2
        assert "b.p" in str(faces_of(read, "refuse"))

    @pytest.mark.parametrize(
        "change",
        [
            lambda p: p * 0 + 40,
            lambda p: 40 + p * 1e-200,
            lambda p: 40 + p * 1e-6,
            lambda p: 40 + p * 0.01,
            lambda p: -p,
            lambda p: p * [1, 1e-9] + [0, 200],
        ],
        ids=["one place", "1e-200", "1e-6", "1 px", "all negative", "below"],
    )
    def test_a_face_of_no_size_or_no_place(self, tmp_path: Path, face68: Array, change: Any) -> None:
        read = own_with(tmp_path, face68, change(face68 * 0.6 + 5))
        assert faces_of(read, "skip") == 2

    def test_eye_corners_in_one_place(self, tmp_path: Path, face68: Array) -> None:
        points = face68 * 0.6 + 5
        points[45] = points[36]
        read = own_with(tmp_path, face68, points)
        assert "outer eye corners are in one place" in str(faces_of(read, "refuse"))

    @pytest.mark.parametrize(
        "change",
        [
            lambda p: p,
            lambda p: p + [45, 0],  # half outside
            lambda p: p + [0, -40],
            one_at(80 + 60.0),
            one_at(-60.0),
            lambda p: [80, 0] + p * [-1, 1],  # mirrored: the label of another picture, or a mirrored one
            lambda p: [0, 90] + p * [1, -1],
            lambda p: p * 0.05 + 20,
            lambda p: p * [0.5, 1],
        ],
        ids=["whole", "cut right", "cut above", "far right", "far left", "mirrored", "upside down", "small", "narrow"],
    )
    def test_a_face_that_the_border_cuts_is_good(self, tmp_path: Path, face68: Array, change: Any) -> None:
        assert faces_of(own_with(tmp_path, face68, change(face68 * 0.6 + 5)), "refuse") == 3


def png(width: int, height: int) -> bytes:
    """A picture of that size by its header, and hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


class TestPictures:
    @pytest.fixture
    def read(self, tmp_path: Path, face68: Array) -> Read:
        return own_with(tmp_path, face68, face68 * 0.6 + 5)

    @pytest.mark.parametrize("size", [(30_000, 30_000), (2**31 - 1, 2**31 - 1), (9500, 9370), (1, 2**31 - 1)])
    def test_a_bomb_is_not_decoded(self, tmp_path: Path, read: Read, size: tuple[int, int]) -> None:
        (tmp_path / "b.png").write_bytes(png(*size))
        assert size[0] * size[1] > MOST_PIXELS
        assert faces_of(read, "skip") == 2
        stated = f"its header states {size[0]} x {size[1]} pixels, at most 89,000,000"
        assert f"b.png cannot be decoded as a picture: {stated}" in str(faces_of(read, "refuse"))

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
    @pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9])
    def test_a_truncated_one(self, tmp_path: Path, read: Read, suffix: str, part: float) -> None:
        content = cv2.imencode(suffix, cv2.imread(str(tmp_path / "a.png")))[1].tobytes()
        (tmp_path / "b.png").unlink()
        (tmp_path / f"b{suffix}").write_bytes(content[: int(part * len(content))])
        assert faces_of(read, "skip") == 2
        assert f"b{suffix} cannot be decoded as a picture" in str(faces_of(read, "refuse"))

    @pytest.mark.parametrize("kind", ["folder", "dangling", "loop", "pipe"])
    @pytest.mark.parametrize("suffix", [".png", ".pts"])
    def test_what_is_no_file(self, tmp_path: Path, read: Read, kind: str, suffix: str) -> None:
        path = tmp_path / f"b{suffix}"
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("nowhere" if kind == "dangling" else path.name)
        assert faces_of(read, "skip") == 2
        assert str(path) in str(faces_of(read, "refuse"))
