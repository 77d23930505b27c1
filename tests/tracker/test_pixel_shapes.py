"""Pixels that are not square: faces are found as they are shown, results count in the pixels of the file."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tracker.sinks.sinks_shared import play, result
from tests.tracker.sources.video_shared import SOURCE, make_clip
from tracker import Frame, Tracker
from tracker.face.schemes import IBUG68
from tracker.sinks import Drawn, OpenFaceCsv, OverlayVideo
from tracker.sources import Video


def squeezed(frame: Frame, aspect: float) -> Frame:
    """The frame as stored with pixels that are so many times as wide as high."""
    height, width = frame.image_rgb.shape[:2]
    size = (round(width / aspect), height) if aspect > 1 else (width, round(height * aspect))
    image = cv2.resize(frame.image_rgb, size, interpolation=cv2.INTER_AREA)
    return Frame(np.asarray(image, np.uint8), frame.timestamp_s, frame.index, pixel_aspect=aspect)


@pytest.mark.parametrize("aspect", [64 / 45, 4 / 3, 2.0, 10 / 11, 0.5])
def test_landmarks_are_those_of_square_pixels(
    aspect: float, frames: list[Frame], make_tracker: Callable[..., Tracker]
) -> None:
    plain, other = make_tracker(smoothing="none"), make_tracker(smoothing="none")
    for frame in frames[:10]:
        (face,), stored = plain.step(frame).faces, squeezed(frame, aspect)
        (found,) = other.step(stored).faces
        x, y = stored.square_scale
        points_px = (found.landmarks.points_px + 0.5) * (x, y) - 0.5
        width = face.box_px[2]
        assert np.linalg.norm(points_px - face.landmarks.points_px, axis=1).mean() < 0.02 * width
        ratio = found.landmarks.covariances_px2 * (x * x, x * y, y * y) / face.landmarks.covariances_px2
        assert 0.7 < np.median(ratio[:, 0]) < 1.4 and 0.7 < np.median(ratio[:, 2]) < 1.4


@given(st.floats(0.3, 3), st.floats(0.3, 3))
def test_scaling_back_gives_the_same(x: float, y: float) -> None:
    before = result(1).faces[0].landmarks
    after = before.scaled(x, y).scaled(1 / x, 1 / y)
    assert after.points_px == pytest.approx(before.points_px)
    assert after.covariances_px2 == pytest.approx(before.covariances_px2)


@pytest.mark.parametrize(
    ("options", "aspect"),
    [
        ("a.mp4 -vf setsar=64/45 -c:v libx264", 64 / 45),
        ("a.mkv -vf setsar=4/3 -c:v libx264", 4 / 3),
        ("a.mpg -vf scale=352:288,setsar=12/11 -c:v mpeg2video", 12 / 11),
        ("a.avi -vf setsar=16/11 -c:v mpeg4", 16 / 11),
        ("a.mp4 -vf setsar=1 -c:v libx264", 1),
        ("a.mp4 -vf setsar=100/1 -c:v libx264", 1),  # nonsense
    ],
)
def test_a_file_states_the_shape_of_its_pixels(options: str, aspect: float, tmp_path: Path) -> None:
    name, _, rest = options.partition(" ")
    with Video(make_clip(tmp_path / name, f"{SOURCE} -frames:v 3 {rest}")) as video:
        assert next(video).pixel_aspect == pytest.approx(aspect, rel=0.01)


def test_a_turned_file_has_turned_pixels(tmp_path: Path) -> None:
    plain = make_clip(tmp_path / "plain.mp4", f"{SOURCE} -vf setsar=2 -c:v libx264")
    for flip in ("", "-display_hflip"):
        turned = make_clip(tmp_path / "turned.mp4", f"-display_rotation 90 {flip} -i {plain} -c copy")
        with Video(turned) as video:
            frame = next(video)
        assert (frame.image_rgb.shape, frame.pixel_aspect) == ((64, 48, 3), 0.5)
        assert frame.squared().image_rgb.shape == (128, 48, 3)


def test_overlay_and_pose_are_as_shown(tmp_path: Path) -> None:
    wide = Frame(np.zeros((48, 32, 3), np.uint8), 0.0, 0, pixel_aspect=2.0)
    square = Frame(np.zeros((48, 64, 3), np.uint8), 0.0, 0)
    with Drawn(lambda image, _: image, [OverlayVideo(tmp_path / "out.mp4", 25)]) as drawn:
        drawn.write(wide, result(0))
    assert play(tmp_path / "out.mp4")[0].shape == (48, 64, 3)
    rows = []
    for frame, faces in ((square, result(0)), (wide, result(0).scaled(0.5, 1))):
        with OpenFaceCsv(tmp_path / "out.csv", IBUG68) as table:
            table.write(frame, faces)
        rows.append(next(csv.DictReader((tmp_path / "out.csv").read_text().splitlines())))
    shapes = [name for name in rows[0] if name.startswith("pose") or name.endswith("opening")]
    assert [rows[0][name] for name in shapes] == [rows[1][name] for name in shapes]
    assert float(rows[1]["x_0"]) == pytest.approx((float(rows[0]["x_0"]) + 0.5) / 2 - 0.5, abs=0.01)
