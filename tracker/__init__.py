"""Facial landmarks in pictures, videos and streams.

from tracker import Tracker
for result in Tracker().run("clip.mp4"):
    ...
"""

from tracker.errors import TrackerError
from tracker.face.convert import convert
from tracker.face.crop import Roi
from tracker.face.landmarks import Landmarks
from tracker.frames import Frame
from tracker.pipeline import Tracker
from tracker.pose import HeadPose, camera_matrix, head_pose
from tracker.result import FrameResult, TrackedFace

__all__ = [
    "Frame",
    "FrameResult",
    "HeadPose",
    "Landmarks",
    "Roi",
    "TrackedFace",
    "Tracker",
    "TrackerError",
    "camera_matrix",
    "convert",
    "head_pose",
]
