"""The faces as the sinks for avatar programs need them: pose and motion of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracker.analysis.face_motion import FaceMotion
from tracker.analysis.head_pose import HeadPose, camera_matrix, head_pose
from tracker.errors import TrackerError
from tracker.face.convert import convert
from tracker.face.geometry import Array
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.result import FrameResult
from tracker.sources import Frame


@dataclass(frozen=True, eq=False)
class AvatarFace:
    """A face that was measured in this frame.

    Attributes:
        slot: 0, 1, ...: the lowest number that was free when the face appeared; reused after the face is lost.
        main: whether it is the face that is sent by protocols with one face. It stays the main face until it is lost;
            then the face with the lowest slot is.
        landmarks: 68 smoothed landmarks in square pixels.
        pose: the head pose, None if there is none.
        motion: as FaceMotion.step returns it; None without a head pose.
        camera: (3, 3) camera matrix, see camera_matrix.
        size: (width, height) of the picture in square pixels.
    """

    slot: int
    main: bool
    landmarks: Landmarks
    pose: HeadPose | None
    motion: dict[str, float] | None
    camera: Array
    size: tuple[int, int]


class AvatarFaces:
    """Computes pose and motion of each face once per frame; several sinks may share one object.

    Coasting faces are left out, because they were not measured.
    """

    def __init__(self) -> None:
        self._motions: dict[int, FaceMotion] = {}
        self._slots: dict[int, int] = {}
        self._main: int | None = None
        self._of: FrameResult | None = None
        self._seen: list[AvatarFace] = []

    def step(self, frame: Frame, result: FrameResult) -> list[AvatarFace]:
        """Compute the faces of a frame; called again with the same result, return the same faces.

        Args:
            frame: the frame.
            result: its result.

        Returns:
            The faces that were measured in this frame, sorted by slot.

        Raises:
            TrackerError: the landmarks cannot be converted to 68 points.
        """
        if result is not self._of:
            self._seen, self._of = self._measure(frame, result), result
        return self._seen

    def _measure(self, frame: Frame, result: FrameResult) -> list[AvatarFace]:
        if result.picture is not None:  # unrelated pictures show different people
            self._motions, self._slots, self._main = {}, {}, None
        self._assign([face.id for face in result.faces])
        x, y = frame.square_scale
        height, width = frame.image_rgb.shape[:2]
        size = round(width * x), round(height * y)
        camera = camera_matrix(*size)
        seen = []
        for face in result.scaled(x, y).faces if (x, y) != (1, 1) else result.faces:
            if face.state != "tracking":
                continue
            landmarks, raw = _as_68(face.landmarks), _as_68(face.raw)
            pose = head_pose(landmarks, camera)
            motion = None
            if pose is not None:
                motion = self._motions[face.id].step(landmarks, raw, pose, camera, result.timestamp_s)
            seen.append(AvatarFace(self._slots[face.id], face.id == self._main, landmarks, pose, motion, camera, size))
        return sorted(seen, key=lambda face: face.slot)

    def _assign(self, ids: Sequence[int]) -> None:
        """Forget lost faces, and give each new face a slot."""
        self._slots = {number: slot for number, slot in self._slots.items() if number in ids}
        self._motions = {number: motion for number, motion in self._motions.items() if number in ids}
        for number in ids:
            if number not in self._slots:
                taken = set(self._slots.values())
                self._slots[number] = next(slot for slot in range(len(taken) + 1) if slot not in taken)
                self._motions[number] = FaceMotion()
        if self._main not in self._slots:
            self._main = min(self._slots, key=self._slots.__getitem__, default=None)


def _as_68(landmarks: Landmarks) -> Landmarks:
    if landmarks.scheme is IBUG68:
        return landmarks
    try:
        return convert(landmarks, IBUG68)
    except ValueError as error:
        raise TrackerError(
            f"--openseeface, --vmc and --opentrack: expected a model of 68 landmarks, got {landmarks.scheme.name}; "
            "leave the option out"
        ) from error
