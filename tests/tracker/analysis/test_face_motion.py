"""Brows, eyes, mouth and jaw of a head whose shape is known, and of a real clip; the channels of ARKit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker import Tracker, camera_matrix, head_pose
from tracker.analysis.blendshapes import CHANNELS, blendshapes
from tracker.analysis.face_motion import RANGES, FaceMotion
from tracker.analysis.face_shape import head_points_mm
from tracker.analysis.head_pose import HeadPose, mean_head_mm
from tracker.face.geometry import Array
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.sources import Video

CAMERA = camera_matrix(640, 480)
LOWER_LIP, EYES = [*range(55, 60), *range(65, 68)], {"right": (37, 38, 40, 41), "left": (43, 44, 46, 47)}


def moved(*moves: tuple[Sequence[int], tuple[float, float]]) -> Array:
    """(68, 3) the mean head with points shifted by x, y in millimetres: x to the picture's right, y down."""
    head = mean_head_mm().copy()
    for points, shift in moves:
        head[list(points), :2] += shift
    return head


def closed(side: str, share: float) -> Array:
    """The mean head with an eye that is open by that share of its usual opening."""
    head = mean_head_mm().copy()
    points = list(EYES[side])
    head[points, 1] = head[points, 1].mean() + (head[points, 1] - head[points, 1].mean()) * share
    return head


def seen(head: Array, pose: HeadPose) -> Landmarks:
    points = head @ pose.rotation.T + pose.translation_mm
    pixels = (points @ CAMERA.T)[:, :2] / points[:, 2:]
    return Landmarks.from_points(pixels, IBUG68)


def pose_of(pitch: float = 0, yaw: float = 0, roll: float = 0) -> HeadPose:
    turns = [cv2.Rodrigues(np.radians(a) * axis)[0] for a, axis in zip((pitch, yaw, roll), np.eye(3))]
    return HeadPose(turns[2] @ turns[1] @ turns[0], np.array([20.0, -10, 600]), 0.0)


def change(head: Array, pose: HeadPose | None = None) -> dict[str, float]:
    """What is said of a head after two seconds of its usual face."""
    pose = pose or pose_of()
    motion, usual = FaceMotion(), seen(mean_head_mm(), pose)
    for index in range(60):
        motion.step(usual, usual, pose, CAMERA, index / 30)
    face = seen(head, pose)
    return motion.step(face, face, pose, CAMERA, 2.0)


@pytest.mark.parametrize("pose", [pose_of(), pose_of(20, -30, 15)])
def test_points_of_the_mean_head_are_found_again(pose: HeadPose) -> None:
    found = head_points_mm(seen(mean_head_mm(), pose).points_px, pose, CAMERA)
    assert np.abs(found - mean_head_mm()).max() < 1e-6


def test_the_usual_face_is_zero() -> None:
    assert max(map(abs, change(mean_head_mm()).values())) < 1e-6


@pytest.mark.parametrize("angles", [(0, 0, 0), (10, 15, 0), (0, 0, 40)])
@pytest.mark.parametrize(
    ("head", "name", "sign"),
    [
        (moved((range(17, 22), (0, -5))), "brow_height_right", 1),
        (moved((range(22, 27), (0, 5))), "brow_height_left", -1),
        (moved(((21,), (0, -4))), "brow_inner_right", 1),
        (moved(((26, 25), (0, -4))), "brow_outer_left", 1),
        (moved(((22,), (0, -4))), "brow_steepness_left", 1),
        (moved(((18, 19, 20), (0, -3))), "brow_bend_right", 1),
        (moved(((48,), (0, -6))), "corner_up_right", 1),
        (moved(((54,), (0, 6))), "corner_up_left", -1),
        (moved(((54,), (5, 0))), "corner_out_left", 1),
        (moved(((48,), (5, 0))), "corner_out_right", -1),
        (moved((LOWER_LIP, (0, 15))), "mouth_open", 1),
        (moved(((48,), (5, 0)), ((54,), (-5, 0))), "mouth_width", -1),
        (moved((range(48, 68), (5, 0))), "mouth_side", 1),
        (moved((range(17), (-8, 0))), "jaw_side", -1),
        (moved(((50,), (0, -3))), "upper_lip_up_right", 1),
        (moved(((56,), (0, 3))), "lower_lip_down_left", 1),
        (moved(((51,), (0, 1.5))), "upper_lip_height", -1),
        (moved(((57,), (0, 2))), "lower_lip_height", 1),
        (closed("right", 0.3), "eye_right", -1),
        (closed("left", 1.6), "eye_left", 1),
    ],
)
def test_signs(head: Array, name: str, sign: int, angles: tuple[float, ...]) -> None:
    """However the head is turned."""
    assert change(head, pose_of(*angles))[name] * sign > 0.4


def test_names_are_complete() -> None:
    assert change(mean_head_mm()).keys() == {*RANGES, "eye_right", "eye_left"}


def test_eyes_are_told_apart() -> None:
    values = blendshapes(change(closed("left", 0.4)))
    assert values["eyeBlinkLeft"] > 0.9 and values["eyeBlinkRight"] == 0


def test_a_held_expression_becomes_the_usual_one_slowly() -> None:
    motion, pose = FaceMotion(), pose_of()
    usual, open_mouth = seen(mean_head_mm(), pose), seen(moved((LOWER_LIP, (0, 15))), pose)
    for index in range(60):
        motion.step(usual, usual, pose, CAMERA, index / 30)
    values = [motion.step(open_mouth, open_mouth, pose, CAMERA, 2 + i / 10)["mouth_open"] for i in range(200)]
    assert values[0] > 0.6 and values[10] > 0.9 * values[0] and values[-1] < 0.05


@pytest.mark.parametrize(
    "times", [(0.0, 0.0, 0.0), (5.0, 1.0, 0.0), (math.nan, math.inf, -math.inf), (0.0, 1e300, 0.0)]
)
def test_times_that_make_no_sense(times: tuple[float, ...]) -> None:
    motion, pose = FaceMotion(), pose_of()
    face = seen(mean_head_mm(), pose)
    for time_s in times:
        values = motion.step(face, face, pose, CAMERA, time_s)
        assert max(map(abs, values.values())) < 1e-6


def test_channels_are_those_of_arkit() -> None:
    """52 names, each with a flag; what has no value is said to be not observable."""
    assert len(CHANNELS) == 52
    assert {"tongueOut", "cheekPuff", "eyeLookInLeft"} <= {name for name, flag in CHANNELS.items() if flag == "none"}
    values = blendshapes(change(mean_head_mm()))
    assert set(values) == {name for name, flag in CHANNELS.items() if flag != "none"}
    assert set(values.values()) == {0.0} or max(values.values()) < 1e-6


@pytest.mark.parametrize(
    ("head", "channel"),
    [
        (moved((LOWER_LIP, (0, 20))), "jawOpen"),
        (moved(((48, 54), (0, -7))), "mouthSmileLeft"),
        (moved(((48, 54), (0, 7))), "mouthFrownRight"),
        (moved(((21, 22), (0, -5))), "browInnerUp"),
        (moved((range(17, 27), (0, 5))), "browDownLeft"),
        (moved(((17, 18), (0, -5))), "browOuterUpRight"),
        (moved(((48,), (7, 0)), ((54,), (-7, 0))), "mouthPucker"),
        (moved(((48,), (7, 0)), ((54,), (-7, 0)), (LOWER_LIP, (0, 20))), "mouthFunnel"),
        (moved((range(48, 68), (5, 0))), "mouthLeft"),
        (moved((range(17), (-9, 0))), "jawRight"),
    ],
)
def test_channels(head: Array, channel: str) -> None:
    values = blendshapes(change(head))
    assert values[channel] > 0.5
    assert all(0 <= value <= 1 for value in values.values())


def motions(path: Path, frames: int) -> list[Mapping[str, float]]:
    tracker, motion, found = Tracker(), FaceMotion(), []
    with Video(str(path)) as video:
        for frame in video:
            if frame.index == frames:
                break
            for face in tracker.step(frame).faces:
                camera = camera_matrix(frame.image_rgb.shape[1], frame.image_rgb.shape[0])
                if (pose := head_pose(face.landmarks, camera)) is not None:
                    found.append(motion.step(face.landmarks, face.raw, pose, camera, frame.timestamp_s))
    return found


@pytest.mark.slow
def test_blinks_and_speech_of_a_real_face(shared: Path) -> None:
    """Talking face: eyes are open most of the time and close several times; the mouth moves."""
    values = [blendshapes(found) for found in motions(shared / "data/video/talking_face/vid.avi", 500)]
    blink = np.array([[each["eyeBlinkLeft"], each["eyeBlinkRight"]] for each in values])
    assert len(values) == 500
    assert np.median(blink) < 0.15 and blink.max(0).min() > 0.8
    assert np.corrcoef(blink.T)[0, 1] > 0.8
    assert max(each["jawOpen"] for each in values) > 0.4
