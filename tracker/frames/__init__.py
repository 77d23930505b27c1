"""Where frames come from: cameras, streams, video files, folders of pictures, arrays.

The only clock of the tracker is read here; everything after takes time as an argument.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from tracker.errors import TrackerError
from tracker.frames.arrays import Arrays
from tracker.frames.camera import Camera
from tracker.frames.capture import open_url, stated_count
from tracker.frames.devices import camera_lines
from tracker.frames.frame import Frame, as_rgb
from tracker.frames.live import Live, Patience, Stream
from tracker.frames.names import STDIN, is_pipe
from tracker.frames.pictures import Folder, read_picture
from tracker.frames.source import FALLBACK_FPS, Losses, Source
from tracker.frames.video import Video

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
    "Source",
    "Stream",
    "Video",
    "as_rgb",
    "camera_lines",
    "open_source",
    "open_url_source",
    "read_picture",
]


_STREAMING = ("http", "https", "rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp")
_FILES = (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")


def open_source(source: Path | str | int, patience: Patience | None = None) -> Source:
    """What is named: a camera by number, device, csi://N or GStreamer pipeline; a stream's URL; a folder; a video, a
    pipe that gives one, or "-" for standard input.

    patience: of cameras and streams. Raises TrackerError when it cannot be opened.
    """
    text = os.fspath(source) if not isinstance(source, int) else ""
    if text and is_pipe(text):
        return Video(text)
    if isinstance(source, int) or text.startswith(("csi://", "/dev/")) or (" ! " in text and not os.path.exists(text)):
        return Camera(source if isinstance(source, int) else text, patience=patience)
    if "://" in text:
        return open_url_source(text, patience)
    return Folder(text) if os.path.isdir(text) else Video(text)


def open_url_source(url: str, patience: Patience | None = None) -> Source:
    """A URL's frames: as a Video, none of them dropped, where its container announces a length, else as a Stream.

    RTSP is a Stream always: its server sends in real time. A stream that is down is waited for, see Stream; raises
    TrackerError for a file by its name, or another protocol, that cannot be opened.
    """
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
