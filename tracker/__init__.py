"""Facial landmarks in pictures, videos and streams.

from tracker import Tracker
for result in Tracker().run("clip.mp4"):
    ...
faces = Tracker(max_faces=4).detect("group.jpg").faces
"""

from tracker.system.extras import describe_missing

try:
    import cv2  # noqa: F401
except ModuleNotFoundError as error:
    # With this name of the package, `python -m tracker.run` says the sentence in one line, without a traceback
    sentence = f"tracker {describe_missing(str(error.name), 'cpu')}, on a Jetson apt install python3-opencv"
    raise ImportError(sentence, name=__name__) from None

from tracker.analysis.blinks import Blink, Blinks
from tracker.analysis.expression import Opening, eye_opening, mouth_opening
from tracker.analysis.eye_monitor import EyeMonitor, EyeReport
from tracker.analysis.head_pose import HeadPose, camera_matrix, head_pose
from tracker.archive import track_rows, track_to_parquet, unfinished_videos
from tracker.detectors.base import BoxCalibration, Detection, Detector
from tracker.engines.heatmaps import decode_heatmaps
from tracker.errors import TrackerError
from tracker.face.convert import convert
from tracker.face.crop import Roi
from tracker.face.landmarks import Landmarks
from tracker.gpu_frame import GpuFrame
from tracker.result import FrameResult, LostFace, TrackedFace
from tracker.sinks.annotate import draw_faces, draw_landmarks
from tracker.sources import Frame, as_rgb
from tracker.table import to_pandas
from tracker.tracking.batch import BatchTracker
from tracker.tracking.config import TrackerConfig
from tracker.tracking.tracker import Tracker
from tracker.version import read_version

__version__ = read_version()

__all__ = [
    "BatchTracker",
    "Blink",
    "Blinks",
    "BoxCalibration",
    "Detection",
    "Detector",
    "EyeMonitor",
    "EyeReport",
    "Frame",
    "FrameResult",
    "GpuFrame",
    "HeadPose",
    "Landmarks",
    "LostFace",
    "Opening",
    "Roi",
    "TrackedFace",
    "Tracker",
    "TrackerConfig",
    "TrackerError",
    "__version__",
    "as_rgb",
    "camera_matrix",
    "convert",
    "decode_heatmaps",
    "draw_faces",
    "draw_landmarks",
    "eye_opening",
    "head_pose",
    "mouth_opening",
    "to_pandas",
    "track_rows",
    "track_to_parquet",
    "unfinished_videos",
]
