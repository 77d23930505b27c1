import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.search import BANDS, draw, read_flags, rolled_face, search
from tracker.datasets.pts_files import labelled_pictures, read_pts
from tracker.sources import read_picture


def test_a_rolled_face_keeps_its_shape_and_takes_its_labels_along(shared: Path) -> None:
    picture, label = labelled_pictures(shared / "data/300w/lfpw/testset")[0]
    read, points = read_picture(picture), read_pts(label)
    assert read is not None
    image, upright = rolled_face(read, points, 0)
    turned_image, turned = rolled_face(read, points, 90)
    assert image.shape == turned_image.shape == (480, 480, 3)
    middle = 239.5
    quarter = np.stack([-(upright[:, 1] - middle), upright[:, 0] - middle], 1) + middle
    np.testing.assert_allclose(turned, quarter, atol=1e-6)
    inner = slice(120, 360)  # of the turned picture, away from what its border repeats
    difference = np.rot90(image, -1)[inner, inner].astype(float) - turned_image[inner, inner]
    assert np.abs(difference).mean() < 6


@pytest.mark.slow
def test_counts_real_faces_drawn_pictures_and_flags(shared: Path, tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    faces.mkdir()
    pairs = labelled_pictures(shared / "data/300w/lfpw/testset")[:2]
    for pair in pairs:
        for path in pair:
            (faces / path.name).symlink_to(path)
    names = [picture.stem for picture, _ in pairs]
    (faces / "flags.csv").write_text(f"name,first,none\n{names[0]},1,0\n{names[1]},0,0\n")
    assert read_flags(faces / "flags.csv") == {"first": {names[0]}, "none": set()}
    report = tmp_path / "new/report.json"
    search(rolled=faces, stills=faces, drawn=2, report=report)
    found = json.loads(report.read_text())
    rolled = found["rolled"]
    assert [int(band) for band in rolled["bands"]] == list(BANDS)
    assert rolled["all"]["faces"] == 2 * len(BANDS)
    assert rolled["all"]["right"] == sum(row["right"] for row in rolled["bands"].values()) >= 2 * len(BANDS) - 2
    assert rolled["all"]["in_time"] >= rolled["all"]["right"]
    for groups in found["stills"].values():
        assert {name: group["faces"] for name, group in groups.items()} == {"all": 2, "first": 1, "none": 0}
        assert groups["all"]["right"] == groups["all"]["found"] == 2
    assert found["faceless"]["drawn"] == {"pictures": 2, "with_a_face": 0, "faces_of_four": 0, "names": []}


def test_drawn_pictures_follow_from_the_seed() -> None:
    first, again, other = (draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (480, 640, 3)
    assert (first == again).all()
    assert (first != other).any()
