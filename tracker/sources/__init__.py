"""Where frames come from: cameras, streams, video files, pictures, arrays.

The only clock of the tracker is read here; everything after takes time as an argument.
"""

from __future__ import annotations

import os
from typing import Literal
from urllib.parse import urlsplit

import numpy as np

from tracker.errors import TrackerError
from tracker.sources.arrays import Arrays
from tracker.sources.as_picture import as_picture
from tracker.sources.base import FALLBACK_FPS, Losses, Source
from tracker.sources.camera import Camera
from tracker.sources.capture import open_url, stated_count
from tracker.sources.devices import camera_lines
from tracker.sources.file_names import STDIN, is_pipe, path_of_url
from tracker.sources.frame import Frame, as_rgb
from tracker.sources.given import open_given, still_of
from tracker.sources.live import Live, Patience, Stream
from tracker.sources.picture_files import is_picture
from tracker.sources.pictures import Pictures, read_picture
from tracker.sources.video import Video

__all__ = [
    "FALLBACK_FPS",
    "STDIN",
    "Arrays",
    "Camera",
    "Folder",
    "Frame",
    "Live",
    "Losses",
    "Patience",
    "Pictures",
    "Source",
    "Stream",
    "Video",
    "as_picture",
    "as_rgb",
    "camera_lines",
    "kind_of_source",
    "open_source",
    "open_url_source",
    "read_picture",
    "still_of",
]


Folder = Pictures  # its name while it took a folder only
_STREAMING = ("http", "https", "rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp")
_FILES = (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")


def open_source(source: object, patience: Patience | None = None) -> Source:
    """What is named: a camera by number, device, csi://N or GStreamer pipeline; a stream's URL; a picture, a folder of
    pictures, or a list of them; a video, an animated GIF, a pipe that gives one, or "-" for standard input. Or
    pictures themselves, see open_given.

    patience: of cameras and streams. Raises TrackerError when it cannot be opened, and for what is none of these.
    """
    if isinstance(source, (int, np.integer)) and not isinstance(source, bool):
        return Camera(int(source), patience=patience)
    if not isinstance(source, (str, os.PathLike)):
        return open_given(source)
    text = path_of_url(os.fspath(source))
    kind = kind_of_source(text)
    if kind == "camera":
        return Camera(text, patience=patience)
    if kind == "images":
        return Pictures(text)
    return open_url_source(text, patience) if "://" in text and not is_pipe(text) else Video(text)


def kind_of_source(text: str) -> Literal["camera", "video", "images"]:
    """What a text names: a camera by its device, csi://N or a GStreamer pipeline, pictures, or a video.

    A stream's URL, a pipe, "-", an animated GIF and a file that is not there are videos, unless its name is a
    picture's. Nothing is opened but to see whether a file is a picture.
    """
    if is_pipe(text):
        return "video"
    if text.startswith(("csi://", "/dev/")) or (" ! " in text and not os.path.exists(text)):
        return "camera"
    if "://" in text:
        return "video"
    is_still = is_picture(text) and not text.lower().endswith(".gif")
    return "images" if is_still or os.path.isdir(text) else "video"


def open_url_source(url: str, patience: Patience | None = None) -> Source:
    """A URL's frames: as a Video, none of them dropped, where its container announces a length, else as a Stream.

    RTSP is a Stream always: its server sends in real time. A stream that is down is waited for, see Stream; raises
    TrackerError for a file by its name, or another protocol, that cannot be opened. Of file:// the file is a Video.
    """
    if (path := path_of_url(url)) != url:
        return Video(path)
    try:
        capture = open_url(url)
    except TrackerError:
        if not _may_come(url):
            raise
        return Stream(url, patience)
    if stated_count(capture) is not None and not url.lower().startswith("rtsp"):
        return Video(url, capture)
    return Stream(url, patience, capture)


def _may_come(url: str) -> bool:
    """Whether a URL that cannot be opened may be a stream that is down, and not a file that is not there."""
    parts = urlsplit(url)
    return parts.scheme.lower() in _STREAMING and not parts.path.lower().endswith(_FILES)
