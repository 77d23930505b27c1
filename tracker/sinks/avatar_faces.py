"""What the sinks for avatar programs send of a face: its pose and its motion."""

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

    slot: 0, 1, ...: the lowest number that was free when the face came; it is given again when the face has gone.
    main: the one that is sent where only one can be: it stays that until it is lost, then the lowest slot follows.
    landmarks: 68 smoothed ones in square pixels. pose, motion: None where the landmarks allow no head pose; motion as
    FaceMotion.step returns it. camera: (3, 3), see camera_matrix. size: width and height in square pixels.
    """

    slot: int
    main: bool
    landmarks: Landmarks
    pose: HeadPose | None
    motion: dict[str, float] | None
    camera: Array
    size: tuple[int, int]


class AvatarFaces:
    """Keeps what is known of each face from frame to frame; several sinks may share one.

    Faces that coast are left out: nothing new is known of them.
    """

    def __init__(self) -> None:
        self._motions: dict[int, FaceMotion] = {}
        self._slots: dict[int, int] = {}
        self._main: int | None = None
        self._of: FrameResult | None = None
        self._seen: list[AvatarFace] = []

    def step(self, frame: Frame, result: FrameResult) -> list[AvatarFace]:
        """The faces measured in this frame, by slot; measured once, however many sinks ask for the same result.

        Raises TrackerError for landmarks that cannot be converted to 68.
        """
        if result is not self._of:
            self._seen, self._of = self._measure(frame, result), result
        return self._seen

    def _measure(self, frame: Frame, result: FrameResult) -> list[AvatarFace]:
        if result.picture is not None:  # each shows others
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
        """Forget who has gone, and give who is new a slot."""
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
