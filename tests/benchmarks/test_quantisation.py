"""The benchmark of codecs without a net: that it reads and crops as it says, and the published figure it repeats."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quantisation import CODECS, FILES, FULL, SIZE, errors, hih_view, our_view, read_labels, subpixel_view
from tracker.errors import TrackerError
from tracker.face.geometry import Array, extent


def test_reads_labels_in_our_pixels(tmp_path: Path, face68: Array) -> None:
    path = tmp_path / "some.csv.gz"
    columns = ",".join(f"original_{i}_{axis}" for i in range(68) for axis in "xy")
    row = ",".join(map(str, (face68 + 1).ravel().tolist()))
    path.write_bytes(
        gzip.compress(f"image_name,scale,center_w,center_h,{columns}\nimage_092 _01.jpg,1,2,3,{row}\n".encode())
    )
    np.testing.assert_allclose(read_labels(path), face68[None])


@pytest.mark.parametrize("content", [None, b"a,b\n1,2\n"])
def test_a_file_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "labels.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrackerError, match=r"labels\.csv: expected a table of 300W with 68 labels"):
        read_labels(path)


def test_the_crops(face68: Array) -> None:
    face = face68 * 3.7 + 40.3
    *_, width, height = extent(our_view(face))
    assert max(width, height) == pytest.approx(SIZE / 1.25)
    *_, width, height = extent(subpixel_view(face))
    assert max(width, height) == pytest.approx(220)
    x, y, width, height = extent(hih_view(face))
    assert (width, height) == pytest.approx((SIZE / 1.1, SIZE / 1.1), rel=0.01)
    assert (x + 0.5, y + 0.5) == pytest.approx((SIZE * 0.05 / 1.1,) * 2, abs=1)


def test_every_codec_keeps_within_its_cell(face68: Array) -> None:
    """By the eyes' distance a cell of this face is 3.5 percent; printed decimals and shared cells are the worst."""
    crop = our_view(face68 * 3.7)
    found = {name: errors(codec, crop[None]).item() for name, codec in CODECS.items()}
    assert found["offset vector"] < 1e-5
    assert found["continuous Gaussian, local_softmax"] < 1e-4
    assert found["HIH 8x8, middles"] < found["HIH 8x8, its code"] < found["HIH 8x8, as printed"]
    assert max(found, key=found.__getitem__).startswith("rounded")
    assert max(found.values()) < 0.02


def test_hihs_quantisation_error_of_300w(shared: Path) -> None:
    """Fig. 4 of Lan et al. has 1.111 percent for plain argmax."""
    if not (shared / "data/300w/labels").is_dir():
        pytest.skip("needs the labels of 300W in ../shared/data/300w/labels")
    faces = np.concatenate([read_labels(shared / f"data/300w/labels/{FILES[name]}.csv.gz") for name in FULL])
    assert len(faces) == 689
    some = np.stack([hih_view(face) for face in faces[::4]])
    assert 100 * errors(CODECS["rounded as in HIH's code, argmax"], some).mean() == pytest.approx(1.111, abs=0.02)
