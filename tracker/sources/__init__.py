"""Where frames come from: cameras, streams, video files, pictures, arrays.

The only clock of the tracker is read here; everything after takes time as an argument.
"""

from __future__ import annotations

import os
from typing import Literal
from urllib.parse import urlsplit

import numpy as np

from tracker.errors import TrackerError
from tracker.sources.arrays import ArraySource
from tracker.sources.as_picture import as_picture
from tracker.sources.base import FALLBACK_FPS, Losses, Source
from tracker.sources.camera import Camera
from tracker.sources.capture import open_url, stated_count
from tracker.sources.devices import camera_lines
from tracker.sources.file_names import STDIN, is_pipe, path_of_url
from tracker.sources.frame import Frame, as_rgb
from tracker.sources.given import open_given, still_of
from tracker.sources.live import Live, ReconnectPolicy, Stream
from tracker.sources.picture_files import is_picture
from tracker.sources.pictures import Pictures, read_picture
from tracker.sources.video import Video

__all__ = [
    "FALLBACK_FPS",
    "STDIN",
    "VIDEO_SUFFIXES",
    "ArraySource",
    "Camera",
    "Folder",
    "Frame",
    "Live",
    "Losses",
    "Pictures",
    "ReconnectPolicy",
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


Folder = Pictures  # the former name
_STREAMING = ("http", "https", "rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp")
VIDEO_SUFFIXES = (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")


def open_source(source: object, reconnect: ReconnectPolicy | None = None) -> Source:
    """Open a source of frames by its name, or wrap pictures that the application holds.

    Args:
        source: a camera's number, device, csi://N or GStreamer pipeline; a stream's URL; a picture, a folder of
            pictures, or a list of them; a video, an animated GIF, a pipe that gives one, or "-" for standard input;
            or the pictures themselves, see open_given.
        reconnect: how long a lost camera or stream is waited for; other sources ignore it.

    Returns:
        The opened source; close it, or use it as a context manager.

    Raises:
        TrackerError: if it cannot be opened, or is none of these.
    """
    if isinstance(source, (int, np.integer)) and not isinstance(source, bool):
        return Camera(int(source), reconnect=reconnect)
    if not isinstance(source, (str, os.PathLike)):
        return open_given(source)
    text = path_of_url(os.fspath(source))
    kind = kind_of_source(text)
    if kind == "camera":
        return Camera(text, reconnect=reconnect)
    if kind == "images":
        return Pictures(text)
    return open_url_source(text, reconnect) if "://" in text and not is_pipe(text) else Video(text)


def kind_of_source(text: str) -> Literal["camera", "video", "images"]:
    """Tell what kind of source a text names.

    A file is opened only to see whether it is a picture.

    Args:
        text: the name, as given on the command line.

    Returns:
        "camera" for a device, csi://N or a GStreamer pipeline; "images" for a picture or a folder; else "video", which
        includes a stream's URL, a pipe, "-", an animated GIF and a file that does not exist,
        unless its name is a picture's.
    """
    if is_pipe(text):
        return "video"
    if text.startswith(("csi://", "/dev/")) or (" ! " in text and not os.path.exists(text)):
        return "camera"
    if "://" in text:
        return "video"
    is_still = is_picture(text) and not text.lower().endswith(".gif")
    return "images" if is_still or os.path.isdir(text) else "video"


def open_url_source(url: str, reconnect: ReconnectPolicy | None = None) -> Source:
    """Open a URL as a Video, whose frames are never dropped, or as a live Stream.

    It is a Video if its container states a length, and for file://. RTSP is always a Stream, because its server sends
    in real time.

    Args:
        url: with its protocol, such as rtsp://camera/1.
        reconnect: how long a lost stream is waited for.

    Returns:
        The source. A stream that is down at the start is waited for, see Stream.

    Raises:
        TrackerError: if a URL that names a file, or has a protocol that does not stream, cannot be opened.
    """
    if (path := path_of_url(url)) != url:
        return Video(path)
    try:
        capture = open_url(url)
    except TrackerError:
        if not _may_come(url):
            raise
        return Stream(url, reconnect)
    if stated_count(capture) is not None and not url.lower().startswith("rtsp"):
        return Video(url, capture)
    return Stream(url, reconnect, capture)


def _may_come(url: str) -> bool:
    """Tell whether a URL that cannot be opened may be a stream that is down rather than a missing file."""
    parts = urlsplit(url)
    return parts.scheme.lower() in _STREAMING and not parts.path.lower().endswith(VIDEO_SUFFIXES)
