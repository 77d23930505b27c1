"""The drawing shows what the result says, at any size, and never leaves the picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.face.landmarks import Landmarks
from tracker.face.schemes import COFW29, IBUG68, WFLW98, Scheme
from tracker.result import FrameResult, State, TrackedFace
from tracker.sinks.annotate import draw_faces

GREY = 90


def face(
    centre: tuple[float, float],
    size: float,
    scheme: Scheme = IBUG68,
    score: float = 1.0,
    state: State = "tracking",
) -> TrackedFace:
    """Points on a golden spiral, so none hides another, filling a disc of that diameter."""
    turn = np.arange(scheme.count) * 2.39996
    radius = size / 2 * np.sqrt((np.arange(scheme.count) + 0.5) / scheme.count)
    points = np.array(centre) + radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)
    scores = np.full(scheme.count, score)
    landmarks = Landmarks(points, scores, np.zeros((scheme.count, 3)), scheme)
    return TrackedFace(7, state, score, landmarks, landmarks)


def drawn(height: int, width: int, *faces: TrackedFace) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The picture drawn on plain grey, and where it changed, (height, width) bool."""
    picture = np.full((height, width, 3), GREY, np.uint8)
    image = draw_faces(picture, FrameResult(0, 0.0, faces))
    assert (picture == GREY).all() and image.shape == picture.shape and image.dtype == np.uint8
    return image, (image != GREY).any(2)


def test_without_faces_a_copy() -> None:
    _, changed = drawn(48, 64)
    assert not changed.any()


@pytest.mark.parametrize("scheme", [IBUG68, WFLW98, COFW29])
@pytest.mark.parametrize("size", [60, 200, 1400])
def test_a_dot_in_the_score_s_colour_at_every_point(scheme: Scheme, size: float) -> None:
    shape = (round(1.6 * size), round(1.6 * size))
    for score, colour in ((1.0, (45, 225, 200)), (0.0, (255, 176, 32))):
        one = face((0.8 * size + 0.3, 0.8 * size - 0.2), size, scheme, score)
        image, _ = drawn(*shape, one)
        x, y = one.landmarks.points_px.round().astype(int).T
        assert np.abs(image[y, x].astype(int) - colour).max(1).mean() < (45 if size < 100 else 12)


def test_a_hidden_point_is_amber_whatever_its_score() -> None:
    one = face((160, 160), 200, score=1.0)
    visibility = np.where(np.arange(68) < 30, 0.0, 1.0)
    one = replace(one, landmarks=replace(one.landmarks, visibility=visibility))
    image, _ = drawn(320, 320, one)
    x, y = one.landmarks.points_px.round().astype(int).T
    colours = np.where(visibility[:, None] < 0.5, (255, 176, 32), (45, 225, 200))
    assert np.abs(image[y, x].astype(int) - colours).max(1).mean() < 12


def test_size_follows_the_face() -> None:
    """Three times the picture, three times the drawing: the shares of changed pixels agree."""
    (_, small), (_, large) = drawn(480, 640, face((320, 240), 200)), drawn(1440, 1920, face((960, 720), 600))
    assert large.mean() == pytest.approx(small.mean(), rel=0.35)


def test_coasting_is_dimmed() -> None:
    bright, _ = drawn(480, 640, face((320, 240), 200))
    dim, _ = drawn(480, 640, face((320, 240), 200, state="coasting"))
    strength = [np.abs(image.astype(int) - GREY).max(2) for image in (bright, dim)]
    assert 0.3 < strength[1].sum() / strength[0].sum() < 0.7


def test_label_is_above_the_box_and_below_it_at_the_top_edge() -> None:
    for centre_y, band in ((240, slice(80, 120)), (105, slice(222, 260))):
        _, changed = drawn(480, 640, face((320, centre_y), 200))
        assert changed[band].any(1).sum() > 10
    _, changed = drawn(480, 640, face((320, 240), 200))
    assert not changed[360:].any()


def test_label_stays_inside_at_the_right_edge() -> None:
    """Cut off or not, the plate has both of its dark round ends."""
    image, _ = drawn(480, 640, face((600, 240), 150))
    dark = (image < 60).all(2)
    columns = np.flatnonzero(dark.any(0))
    assert columns[-1] <= 639 and columns[-1] - columns[0] > 80


def width_of_plate(one: TrackedFace) -> int:
    _, changed = drawn(480, 640, one)
    columns = np.flatnonzero(changed[: int(one.box_px[1] - 0.1 * one.box_px[3])].any(0))
    return int(np.ptp(columns)) + 1


def test_the_label_of_a_still_picture_has_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    put = cv2.putText
    monkeypatch.setattr(cv2, "putText", lambda layer, text, *rest: (written.append(text), put(layer, text, *rest)))
    image = np.full((480, 640, 3), 128, np.uint8)
    for still in ({}, {"picture": "a.jpg"}, {"image_rgb": image}):
        draw_faces(image, FrameResult(0, 0.0, (face((320, 240), 200),), **still))
    assert [text.split()[1:-1] for text in written] == [["tracking"], [], []]


def test_the_plate_of_a_small_face_leaves_room_for_its_neighbours() -> None:
    """Its word is left out while it is tracked, which most faces are; a large one says both."""
    small, coasting = (width_of_plate(face((320, 240), 50, state=state)) for state in ("tracking", "coasting"))
    assert small < 85 and coasting > 1.4 * small
    assert width_of_plate(face((320, 240), 200)) > 100


def test_the_dots_leave_a_small_face_visible(face68: np.ndarray[Any, Any]) -> None:
    """More than two fifths of the mouth's own light are still there, on a face 45 px high."""
    landmarks = Landmarks.from_points(face68 * 0.45 + (300, 200), IBUG68)
    image, _ = drawn(480, 640, TrackedFace(7, "tracking", 1.0, landmarks, landmarks))
    (left, top), (right, bottom) = landmarks.points_px[48:].min(0).astype(int), landmarks.points_px[48:].max(0) + 1
    mouth = image[top : int(bottom), left : int(right)].astype(int)
    covered = (np.abs(mouth - GREY).max(2) / (225 - GREY)).clip(0, 1)
    assert 0.2 < covered.mean() < 0.57  # .62 with dots of a pixel


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.tuples(st.floats(-500, 800), st.floats(-500, 800)),
    st.floats(0, 3000),
    st.sampled_from(["tracking", "coasting"]),
)
def test_any_face_on_any_picture(
    height: int, width: int, centre: tuple[float, float], size: float, state: State
) -> None:
    drawn(height, width, face(centre, size, state=state))


def test_faces_far_outside_and_absurdly_large_do_no_harm() -> None:
    _, changed = drawn(48, 64, face((1e9, -1e9), 100))
    assert not changed.any()
    drawn(48, 64, face((32, 24), 1e7))
