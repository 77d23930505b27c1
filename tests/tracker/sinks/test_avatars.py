"""What avatar programs get: read by decoders of their own, from the socket, and compared with what is documented."""

from __future__ import annotations

import pickle
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tests.tracker.sinks.avatar_decoders import (
    OPENSEEFACE_BYTES,
    matrix_of,
    read_openseeface,
    read_opentrack,
    read_osc,
    unity_head,
)
from tracker import Tracker, camera_matrix
from tracker.analysis.blendshapes import CHANNELS
from tracker.analysis.head_pose import HeadPose, mean_head_mm
from tracker.errors import TrackerError
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import AFLW19, IBUG68
from tracker.result import FrameResult, State, TrackedFace
from tracker.sinks import OpenSeeFacePackets, OpenTrackPose, Sink, VmcMessages
from tracker.sinks.avatar_faces import AvatarFaces
from tracker.sinks.opentrack import opentrack_values
from tracker.sources import Frame, Video

WIDTH, HEIGHT, FOCAL = 640, 480, 640
PICTURE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
# OpenSeeFace's point k is our point ORDER[k]: said here a second time, from what its model places.
ORDER = [*range(48), 49, 50, 51, 52, 53, 55, 56, 57, 58, 59, 48, 61, 62, 63, 54, 65, 66, 67]


class Receiver:
    """A socket on the loopback."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(5)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"

    def receive(self) -> bytes:
        return self.socket.recv(65535)

    def waiting(self) -> bool:
        self.socket.setblocking(False)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        finally:
            self.socket.settimeout(5)
        return True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    with receiver.socket:
        yield receiver


def head_px(degrees: Sequence[float] = (0, 0, 0), place_mm: Sequence[float] = (0, 0, 600)) -> np.ndarray[Any, Any]:
    """(68, 2) the mean head in the picture. degrees: pitch, yaw, roll as tracker.analysis.head_pose defines them."""
    pitch, yaw, roll = (cv2.Rodrigues(np.radians(angle) * axis)[0] for angle, axis in zip(degrees, np.eye(3)))
    seen = mean_head_mm() @ (roll @ yaw @ pitch).T + place_mm
    return np.asarray(seen[:, :2] / seen[:, 2:] * FOCAL + [(WIDTH - 1) / 2, (HEIGHT - 1) / 2])


def a_face(points_px: np.ndarray[Any, Any], number: int = 1, state: State = "tracking") -> TrackedFace:
    landmarks = Landmarks(points_px, np.linspace(0.2, 0.9, 68), np.ones((68, 3)) * [1, 0, 1], IBUG68)
    return TrackedFace(number, state, 0.75, landmarks, landmarks)


def write(sink: Sink, index: int, *faces: TrackedFace) -> None:
    sink.write(Frame(PICTURE, index / 30, index), FrameResult(index, index / 30, faces))


class TestOpenSeeFace:
    def test_bytes_of_a_packet(self, receiver: Receiver) -> None:
        """Every field, packed one by one as the documentation of the packet names them."""
        points = head_px((0, 0, 0), (40, -30, 600))
        with OpenSeeFacePackets(receiver.address, start_s=1e9) as sink:
            write(sink, 3, a_face(points))
        got = receiver.receive()
        scores = np.linspace(0.2, 0.9, 68)
        unit, head = 143.5, mean_head_mm()
        golden = struct.pack("<d", 1e9 + 0.1) + struct.pack("<i", 0) + struct.pack("<2f", WIDTH, HEIGHT)
        golden += struct.pack("<2f", 1, 1)  # eyes as usual
        golden += struct.pack("<B", 1)
        assert got[: len(golden)] == golden
        error, *pose = struct.unpack_from("<11f", got, 29)
        assert 0 <= error < 0.01
        assert_allclose(pose[:4], [np.sqrt(0.5), np.sqrt(0.5), 0, 0], atol=1e-4)
        assert_allclose(np.abs(pose[4:7]), [180, 0, 90], atol=0.01)
        tip = head[30] + [40, -30, 600]
        assert_allclose(pose[7:], np.array([-tip[1], -tip[0], -tip[2]]) / unit, atol=1e-3)
        middles = [points[36:42].mean(0), points[42:48].mean(0)]
        copied = struct.pack("<66f", *scores[ORDER]) + struct.pack("<2f", 0, 0)
        for x, y in [*points[ORDER], *middles]:
            copied += struct.pack("<f", x) + struct.pack("<f", y)
        assert got[73 : 73 + len(copied)] == copied
        points_3d = np.array(struct.unpack_from("<210f", got, 889)).reshape(70, 3)
        assert_allclose(points_3d[:66], ((head - head[30]) * [-1, 1, 1] / unit)[ORDER], atol=1e-3)
        assert_allclose(points_3d[66], (points_3d[36] + points_3d[39]) / 2, atol=1e-6)
        assert_allclose(
            points_3d[69] - points_3d[67], [0, 0, 0.385 * np.linalg.norm(points_3d[45] - points_3d[42])], atol=1e-6
        )
        assert struct.unpack_from("<14f", got, 1729) == (0,) * 14
        assert len(got) == 1785 == OPENSEEFACE_BYTES

    @pytest.mark.parametrize(
        ("degrees", "front"),
        [
            ((0, 0, 0), (0, 0, 1)),
            ((20, 0, 0), (0, -0.342, 0.94)),  # looks down
            ((0, 20, 0), (0.342, 0, 0.94)),  # turns to the picture's left
        ],
    )
    def test_the_receiver_turns_the_head_as_the_person(
        self, receiver: Receiver, degrees: tuple[float, ...], front: tuple[float, ...]
    ) -> None:
        with OpenSeeFacePackets(receiver.address) as sink:
            write(sink, 0, a_face(head_px(degrees, (100, 50, 700))))
        turn, place = unity_head(read_openseeface(receiver.receive())[0])
        assert_allclose(turn @ [0, 0, -1], front, atol=0.01)
        assert place[0] < -0.5 and place[1] < -0.3 and -5.5 < place[2] < -4  # right in the picture, low, in front

    def test_the_receiver_tilts_the_head_as_the_person(self, receiver: Receiver) -> None:
        with OpenSeeFacePackets(receiver.address) as sink:
            write(sink, 0, a_face(head_px((0, 0, 20))))
        turn, _ = unity_head(read_openseeface(receiver.receive())[0])
        assert_allclose(turn @ [0, 1, 0], [-0.342, 0.94, 0], atol=0.01)  # to the picture's right

    def test_angles_are_those_of_the_quaternion(self, receiver: Receiver) -> None:
        """And stay where receivers expect them: about 180, 0, 90."""
        with OpenSeeFacePackets(receiver.address) as sink:
            for index, degrees in enumerate(
                [(0, 0, 0), (25, 0, 0), (-25, 10, 5), (0, 40, 0), (3, -40, -20), (0, 0, 60)]
            ):
                write(sink, index, a_face(head_px(degrees)))
                (face,) = read_openseeface(receiver.receive())
                x, y, z = np.radians(face["raw_euler"])
                about_x, about_y, about_z = (
                    cv2.Rodrigues(axis * angle)[0] for axis, angle in zip(np.eye(3), (x, y, z))
                )
                inverse = matrix_of(face["raw_quaternion"])
                assert_allclose(about_z @ about_y @ about_x, inverse.T, atol=1e-4)
                assert abs(face["raw_euler"][1]) < 60 and 20 < face["raw_euler"][2] < 160

    def test_faces_of_a_frame_are_one_datagram_and_slots_are_given_again(self, receiver: Receiver) -> None:
        def ids() -> list[int]:
            return [face["id"] for face in read_openseeface(receiver.receive())]

        one, two, three = (
            a_face(head_px(place_mm=(x, 0, 900)), number) for x, number in ((-150, 7), (0, 9), (150, 12))
        )
        with OpenSeeFacePackets(receiver.address) as sink:
            write(sink, 0, one, two)
            assert ids() == [0, 1]
            write(sink, 1, two)
            assert ids() == [1]
            write(sink, 2, two, three)
            assert ids() == [0, 1]

    def test_times_grow_from_run_to_run(self, receiver: Receiver) -> None:
        """Receivers leave out what is not newer than what they have."""
        times = []
        for _ in range(2):
            with OpenSeeFacePackets(receiver.address) as sink:
                write(sink, 0, a_face(head_px()))
            times.append(read_openseeface(receiver.receive())[0]["time"])
        assert times[1] > times[0] > 1.7e9

    def test_a_face_without_a_pose(self, receiver: Receiver) -> None:
        """Points that no head has are sent as points, without 3D."""
        flat = np.tile([[200.0, 100]], (68, 1))
        with OpenSeeFacePackets(receiver.address) as sink:
            write(sink, 0, a_face(flat))
        (face,) = read_openseeface(receiver.receive())
        assert not face["got_3d_points"] and face["fit_3d_error"] > 100
        assert (face["points_3d"] == 0).all() and (face["points"] == [200, 100]).all()

    def test_a_crowd_is_sent_in_datagrams_that_udp_carries(self, receiver: Receiver) -> None:
        with OpenSeeFacePackets(receiver.address) as sink:
            write(sink, 0, *(a_face(head_px(), number) for number in range(50)))
        assert [len(read_openseeface(receiver.receive())) for _ in range(2)] == [36, 14]


@pytest.mark.parametrize("make", [OpenSeeFacePackets, OpenTrackPose])
def test_nothing_is_sent_of_faces_that_coast_or_are_not_there(receiver: Receiver, make: Any) -> None:
    with make(receiver.address) as sink:
        write(sink, 0)
        write(sink, 1, a_face(head_px(), state="coasting"))
        assert not receiver.waiting()
        write(sink, 2, a_face(head_px()))
        assert receiver.waiting()


class TestOpenTrack:
    def test_bytes_of_a_packet(self, receiver: Receiver) -> None:
        with OpenTrackPose(receiver.address) as sink:
            write(sink, 0, a_face(head_px((0, 0, 0), (40, -30, 600))))
        got = receiver.receive()
        golden = b"".join(struct.pack("<d", value) for value in (4.0, 3.0, 60.0, 0.0, 0.0, 0.0))
        assert len(got) == len(golden) == 48
        assert_allclose(np.frombuffer(got, "<f8"), np.frombuffer(golden, "<f8"), atol=0.01)

    @given(yaw=st.floats(-60, 60), pitch=st.floats(-40, 40), roll=st.floats(-90, 90))
    def test_angles_are_applied_yaw_first(self, yaw: float, pitch: float, roll: float) -> None:
        """opentrack's meaning, as its own camera tracker has it: a left turn in the picture, up, clockwise."""
        turns = (np.array([0, 1.0, 0]) * yaw, np.array([-1.0, 0, 0]) * pitch, np.array([0, 0, 1.0]) * roll)
        about_y, about_x, about_z = (cv2.Rodrigues(np.radians(turn))[0] for turn in turns)
        values = opentrack_values(HeadPose(about_y @ about_x @ about_z, np.array([0, 0, 500.0]), 1.0))
        assert_allclose(values[3:], [yaw, pitch, roll], atol=1e-6)

    def test_turns(self, receiver: Receiver) -> None:
        with OpenTrackPose(receiver.address) as sink:
            write(sink, 0, a_face(head_px((10, 20, 0))))
            pose = read_opentrack(receiver.receive())
            assert pose["Yaw"] == pytest.approx(20, abs=0.1) and pose["Pitch"] == pytest.approx(-10, abs=0.7)

    def test_the_main_face_stays_until_it_is_lost(self, receiver: Receiver) -> None:
        near, far = a_face(head_px(place_mm=(-60, 0, 500)), 1), a_face(head_px(place_mm=(80, 0, 900)), 2)
        with OpenTrackPose(receiver.address) as sink:
            places = []
            for index, faces in enumerate([(far,), (near, far), (near,), (near, far)]):
                write(sink, index, *faces)
                places.append(round(read_opentrack(receiver.receive())["TZ"]))
        assert places == [90, 90, 50, 50]


class TestVmc:
    @pytest.fixture(autouse=True)
    def _needs_python_osc(self) -> None:
        pytest.importorskip("pythonosc", reason="needs python-osc, of the extra osc")

    def test_messages_of_a_frame(self, receiver: Receiver) -> None:
        with VmcMessages(receiver.address) as sink:
            write(sink, 6, a_face(head_px((20, 0, 0))))
            got = receive_vmc(receiver)
        addresses = [address for address, _ in got]
        assert addresses[:3] == ["/VMC/Ext/OK", "/VMC/Ext/T", "/VMC/Ext/Bone/Pos"]
        assert addresses[-1] == "/VMC/Ext/Blend/Apply" and set(addresses[3:-1]) == {"/VMC/Ext/Blend/Val"}
        values = dict(got[:3])
        assert values["/VMC/Ext/OK"] == [1, 3, 0, 1] and values["/VMC/Ext/T"] == [pytest.approx(0.2)]
        name, *numbers = values["/VMC/Ext/Bone/Pos"]
        half = np.radians(20) / 2
        assert name == "Head" and numbers[:3] == [0, 0, 0]
        assert_allclose(numbers[3:], [np.sin(half), 0, 0, np.cos(half)], atol=0.01)

    @pytest.mark.parametrize(
        ("degrees", "front", "top"),
        [
            ((0, 0, 0), (0, 0, 1), (0, 1, 0)),
            ((20, 0, 0), (0, -0.342, 0.94), (0, 0.94, 0.342)),  # looks down
            ((0, 20, 0), (0.342, 0, 0.94), (0, 1, 0)),  # to the subject's right
            ((0, 0, 20), (0, 0, 1), (-0.342, 0.94, 0)),  # tilts to the subject's left
        ],
    )
    def test_the_avatar_turns_as_the_person(
        self, receiver: Receiver, degrees: tuple[float, ...], front: tuple[float, ...], top: tuple[float, ...]
    ) -> None:
        """Unity's axes: x to the avatar's right, y up, z forward."""
        with VmcMessages(receiver.address) as sink:
            write(sink, 0, a_face(head_px(degrees)))
            numbers = dict(receive_vmc(receiver))["/VMC/Ext/Bone/Pos"]
        turn = matrix_of(np.array(numbers[4:]))
        assert_allclose(turn @ [0, 0, 1], front, atol=0.01)
        assert_allclose(turn @ [0, 1, 0], top, atol=0.01)

    def test_channels_that_are_not_seen_are_not_there(self, receiver: Receiver) -> None:
        with VmcMessages(receiver.address) as sink:
            write(sink, 0, a_face(head_px()))
            sent = [values[0] for address, values in receive_vmc(receiver) if address == "/VMC/Ext/Blend/Val"]
        assert len(sent) == len(set(sent))
        assert set(sent) == {name[0].upper() + name[1:] for name, flag in CHANNELS.items() if flag != "none"}
        assert not [name for name in sent if name.startswith(("Tongue", "CheekPuff", "EyeLook"))]

    def test_presets_of_vrm(self, receiver: Receiver) -> None:
        with VmcMessages(receiver.address, "vrm") as sink:
            write(sink, 0, a_face(head_px()))
            sent = [values[0] for address, values in receive_vmc(receiver) if address == "/VMC/Ext/Blend/Val"]
        assert sent == ["Blink_L", "Blink_R", "A", "O", "U"]

    def test_without_python_osc(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pythonosc.osc_message_builder", None)
        with pytest.raises(TrackerError, match=r"^VMC needs python-osc, which .*landmark-tracker\[osc\]"):
            VmcMessages("127.0.0.1:9000")

    def test_no_face(self, receiver: Receiver) -> None:
        with VmcMessages(receiver.address) as sink:
            write(sink, 0)
            assert read_osc(receiver.receive()) == [("/VMC/Ext/OK", [1, 3, 0, 0]), ("/VMC/Ext/T", [0.0])]

    def test_datagrams_are_as_small_as_the_protocol_asks_for(self, receiver: Receiver) -> None:
        with VmcMessages(receiver.address) as sink:
            write(sink, 0, a_face(head_px()))
        sizes = [len(receiver.receive())]
        while receiver.waiting():
            sizes.append(len(receiver.receive()))
        assert max(sizes) <= 1472


def receive_vmc(receiver: Receiver) -> list[tuple[str, list[Any]]]:
    """The messages up to Apply."""
    messages: list[tuple[str, list[Any]]] = []
    while not messages or messages[-1][0] != "/VMC/Ext/Blend/Apply":
        messages += read_osc(receiver.receive())
    return messages


def test_nothing_is_kept_of_faces_that_are_gone() -> None:
    faces = AvatarFaces()
    sizes = []
    for index in range(200):
        result = FrameResult(index, index / 30, (a_face(head_px(), number=index),))
        assert [face.slot for face in faces.step(Frame(PICTURE, index / 30, index), result)] == [0]
        sizes.append(len(pickle.dumps(faces)))
    assert sizes[-1] < sizes[1] + 100


def test_each_face_is_measured_once_for_all_sinks() -> None:
    faces = AvatarFaces()
    frame, result = Frame(PICTURE, 0, 0), FrameResult(0, 0.0, (a_face(head_px()),))
    assert faces.step(frame, result) is faces.step(frame, result)
    assert faces.step(frame, FrameResult(1, 0.1, ())) == []


def test_pixels_that_are_not_square(receiver: Receiver) -> None:
    """The same head in a picture whose pixels are twice as wide has the same pose."""
    points = (head_px((0, 20, 0)) + 0.5) * [0.5, 1] - 0.5
    narrow = Frame(np.zeros((HEIGHT, WIDTH // 2, 3), np.uint8), 0, 0, pixel_aspect=2.0)
    with OpenTrackPose(receiver.address) as sink:
        sink.write(narrow, FrameResult(0, 0.0, (a_face(points),)))
    pose = read_opentrack(receiver.receive())
    assert pose["Yaw"] == pytest.approx(20, abs=0.1) and pose["TZ"] == pytest.approx(60, abs=0.1)


def test_other_schemes_are_refused(receiver: Receiver) -> None:
    landmarks = Landmarks.from_points(np.zeros((19, 2)), AFLW19)
    face = TrackedFace(1, "tracking", 0.5, landmarks, landmarks)
    with OpenTrackPose(receiver.address) as sink, pytest.raises(TrackerError, match="expected a model of 68 landmarks"):
        write(sink, 0, face)


def test_a_real_clip_arrives(video: Path, receiver: Receiver) -> None:
    """Tracked, sent and read again: the points are the tracker's, in OpenSeeFace's order."""
    tracker = Tracker()
    with Video(str(video)) as frames, OpenSeeFacePackets(receiver.address, start_s=0) as sink:
        sent = 0
        for frame in frames:
            result = tracker.step(frame)
            sink.write(frame, result)
            if not result.faces or result.faces[0].state != "tracking":
                continue
            (face,) = read_openseeface(receiver.receive())
            sent += 1
            height, width = frame.image_rgb.shape[:2]
            landmarks = result.faces[0].landmarks
            assert face["resolution"] == (width, height) and face["time"] == pytest.approx(result.timestamp_s)
            assert_allclose(face["points"][:66], landmarks.points_px[ORDER], rtol=1e-6)
            assert_allclose(face["confidence"][:66], landmarks.scores[ORDER], atol=1e-6)
            assert face["got_3d_points"] and face["fit_3d_error"] < 10
            turned = again_px(face, camera_matrix(width, height))
            assert np.abs(turned - face["points"][:66]).max() < 0.05
            if sent == 20:
                break
    assert sent == 20


def again_px(face: dict[str, Any], camera: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(66, 2) the packet's 3D points, turned and placed by its pose, as the camera sees them."""
    turn, place = unity_head(face)
    points = face["points_3d"][:66] * [-1, -1, 1]  # readVector3 turns y round, OpenSeeShowPoints x
    seen = -(points @ turn.T + place)  # Unity's axes are the camera's the other way round
    return np.asarray((seen @ camera.T)[:, :2] / (seen @ camera.T)[:, 2:])
