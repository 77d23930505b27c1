"""Facial landmarks in pictures, videos and streams.

from tracker import Tracker
for result in Tracker().run("clip.mp4"):
    ...
"""

from tracker.errors import TrackerError
from tracker.face.crop import Roi
from tracker.face.landmarks import Landmarks
from tracker.frames import Frame
from tracker.pipeline import Tracker
from tracker.result import FrameResult, TrackedFace

__all__ = ["Frame", "FrameResult", "Landmarks", "Roi", "TrackedFace", "Tracker", "TrackerError"]
