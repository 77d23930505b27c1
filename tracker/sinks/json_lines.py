"""Results as lines of text: JSON, one frame a line."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import stat
from pathlib import Path

from tracker.result import FrameResult
from tracker.sinks.base import Closing
from tracker.sources import Frame
from tracker.system.files import STDOUT, hold, unwritable
from tracker.system.process import has_standard_output

_STDOUT_NUMBER = 1  # sys.stdout may have been put aside for what people read


class WholeLines(Closing):
    """A file that only ever holds whole lines: what was appended is in it when append returns.

    path: a file, emptied at the start; "-" is standard output. Raises TrackerError when it cannot be opened or
    written or another run is writing it, and BrokenPipeError when nobody reads the pipe any more.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        try:
            if self._path == STDOUT:
                if not has_standard_output():
                    raise OSError(errno.EBADF, "it is closed")
                self._file = io.FileIO(os.dup(_STDOUT_NUMBER), "wb")
            else:
                self._file = io.FileIO(self._path, "wb", opener=_open_emptied)
        except OSError as error:
            raise unwritable(self._path, error) from error

    def append(self, lines: bytes) -> None:
        """Write whole lines, or none of them."""
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._cut(len(lines) - len(rest))
            if isinstance(error, BrokenPipeError):
                raise
            raise unwritable(self._path, error) from error

    def _cut(self, count: int) -> None:
        """Take the last bytes back."""
        with contextlib.suppress(OSError):  # a pipe or device cannot be cut back
            self._file.truncate(os.fstat(self._file.fileno()).st_size - count)
            self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:  # a server's disk says so as late as this
            raise unwritable(self._path, error) from error


def _open_emptied(path: str, flags: int) -> int:
    """The descriptor of the file, held and only then emptied; a device or a pipe is opened as it is."""
    descriptor = os.open(path, flags & ~os.O_TRUNC, 0o666)
    try:
        hold(descriptor, path)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class JsonLines(Closing):
    """One JSON object a frame, one frame a line; a line is in the file as soon as write returns.

    However the run ends, the file holds complete lines only. A file of that name is replaced at the start; "-" is
    standard output. Raises TrackerError when the file cannot be opened, and when a line cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self._lines = WholeLines(path)

    def write(self, frame: Frame, result: FrameResult) -> None:
        record = json.dumps(result.to_json(), separators=(",", ":"), allow_nan=False)
        self._lines.append(record.encode() + b"\n")

    def close(self) -> None:
        self._lines.close()
