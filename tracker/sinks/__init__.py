"""Where results go: JSON lines, CSV and Parquet tables, COCO key points, .pts files, OSC, avatar programs.

The drawn picture goes into a video, a file, a window and a page in the browser.

A Sink takes a frame and its result. Drawn is the sink that draws a frame once and hands the picture to every
PictureSink it holds. All are context managers; leaving one, or close(), completes what it wrote. None keeps more
than the last frame in memory. What cannot be written raises TrackerError; what was complete before it stays.
"""

from tracker.sinks.base import PictureSink, Sink
from tracker.sinks.coco import CocoKeypoints
from tracker.sinks.drawn import Drawn
from tracker.sinks.json_lines import JsonLines
from tracker.sinks.live.view import LiveView
from tracker.sinks.openface_csv import OpenFaceCsv
from tracker.sinks.openseeface import OpenSeeFacePackets
from tracker.sinks.opentrack import OpenTrackPose
from tracker.sinks.osc import OscMessages
from tracker.sinks.parquet import ParquetTable, arrow_schema
from tracker.sinks.picture_files import PictureFiles
from tracker.sinks.pts import LABELS, PtsFiles
from tracker.sinks.video import OverlayVideo
from tracker.sinks.vmc import VmcMessages
from tracker.sinks.window import Window, has_display

__all__ = [
    "LABELS",
    "CocoKeypoints",
    "Drawn",
    "JsonLines",
    "LiveView",
    "OpenFaceCsv",
    "OpenSeeFacePackets",
    "OpenTrackPose",
    "OscMessages",
    "OverlayVideo",
    "ParquetTable",
    "PictureFiles",
    "PictureSink",
    "PtsFiles",
    "Sink",
    "VmcMessages",
    "Window",
    "arrow_schema",
    "has_display",
]
