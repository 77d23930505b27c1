"""Outputs for results: JSON lines, CSV and Parquet tables, COCO key points, .pts files, OSC, avatar programs.

Annotated pictures can go to a video, to picture files, to a window and to a page in the browser.

A Sink takes each frame with its result. Drawn is a sink that draws each frame once and passes the picture to its
PictureSinks. All sinks are context managers; close(), or leaving the with block, completes the output. No sink keeps
more than the last frame in memory. If something cannot be written, TrackerError is raised, and what was already
complete is kept.
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
