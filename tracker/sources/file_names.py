"""File names as OpenCV takes them: colons, bytes that are not UTF-8, pipes and standard input."""

from __future__ import annotations

import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import url2pathname

from tracker.errors import TrackerError

STDIN = "-"


@contextmanager
def openable(path: str) -> Iterator[str]:
    """A name of the file that cv2.VideoCapture and cv2.VideoWriter open as a file.

    FFmpeg takes what stands before a colon for a protocol, so the name is absolute. OpenCV's binding ends the process
    with a segmentation fault for a name that is not UTF-8: then a link in a temporary folder stands for it, which is
    gone on leaving. Raises TrackerError where that link cannot be made.
    """
    full = os.path.abspath(path)
    if _is_utf8(full):
        yield full
        return
    suffix = os.path.splitext(full)[1]
    with tempfile.TemporaryDirectory(prefix="tracker-") as folder:
        link = os.path.join(folder, "video" + (suffix if _is_utf8(suffix) else ""))
        try:
            os.symlink(full, link)
        except OSError as error:
            raise TrackerError(
                f"{path!r} is not UTF-8, and no link to it could be made in {folder} ({error.strerror}): rename it"
            ) from None
        yield link


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def path_of_url(text: str) -> str:
    """The path that a file:// URL names, in which %20 may stand for a space; any other text as it is."""
    begin = re.match(r"file://(localhost)?(?=/)", text, re.IGNORECASE)
    if begin is None:
        return text
    path = text[begin.end() :]
    return path if os.path.exists(path) else url2pathname(path)


def is_pipe(path: str) -> bool:
    """Whether it can be read once only, from its begin to its end."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def stdin_path() -> str:
    """The path of standard input: of the file that it was redirected from, else of its pipe.

    Raises TrackerError where it is closed or a terminal, and on Windows, whose pipes have no path.
    """
    if sys.platform == "win32":
        raise TrackerError("a video cannot be read from standard input on Windows; give the name of a file")
    try:
        status = os.fstat(0)
    except OSError:
        raise TrackerError("expected a video on standard input, but it is closed; give the name of a file") from None
    if stat.S_ISREG(status.st_mode):
        real = os.path.realpath("/dev/stdin")
        return real if os.path.exists(real) and os.path.samestat(os.stat(real), status) else "/dev/stdin"
    if stat.S_ISFIFO(status.st_mode):
        return "/dev/stdin"
    raise TrackerError("expected a video on standard input from a file or a pipe, such as `cat clip.mkv |`")
