"""File names in a form that OpenCV opens: colons, bytes that are not UTF-8, pipes and standard input."""

from __future__ import annotations

import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from tracker.errors import TrackerError

STDIN = "-"


@contextmanager
def openable(path: str) -> Iterator[str]:
    """Give a name under which cv2.VideoCapture and cv2.VideoWriter can open a file.

    FFmpeg takes the text before a colon for a protocol, so the name is absolute. OpenCV's binding crashes on a name
    that is not UTF-8: then the name is a link in a temporary folder, which is removed on leaving.

    Args:
        path: of the file.

    Yields:
        The name to open.

    Raises:
        TrackerError: if that link cannot be made.
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
    """Return the path that a file:// URL names, with %20 and the like decoded; any other text unchanged."""
    begin = re.match(r"file://(localhost)?(?=/)", text, re.IGNORECASE)
    if begin is None:
        return text
    from urllib.request import url2pathname  # loads http and ssl, which few runs need

    path = text[begin.end() :]
    return path if os.path.exists(path) else url2pathname(path)


def is_pipe(path: str) -> bool:
    """Tell whether a path is a pipe or a socket, which can be read only once."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def stdin_path() -> str:
    """Return the path of standard input: of the file that it was redirected from, else of its pipe.

    Raises:
        TrackerError: if it is closed or a terminal, and on Windows, whose pipes have no path.
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
