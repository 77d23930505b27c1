"""Results as JSON lines: one line for each frame."""

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

_STDOUT_NUMBER = 1  # the descriptor, because sys.stdout may have been redirected to keep the output clean


class WholeLines(Closing):
    """A text file that holds complete lines at any time; lines are in the file when append returns.

    Args:
        path: of the file, which is emptied at the start; "-" is standard output.

    Raises:
        TrackerError: the file cannot be opened, or another run is writing it.
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
        """Write complete lines, all of them or none.

        Args:
            lines: with a line feed at the end of each.

        Raises:
            TrackerError: they cannot be written.
            BrokenPipeError: the reader of the pipe has ended.
        """
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
        """Remove the last bytes from the file."""
        with contextlib.suppress(OSError):  # a pipe or device cannot be truncated
            self._file.truncate(os.fstat(self._file.fileno()).st_size - count)
            self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Close the file, see Sink.close."""
        try:
            self._file.close()
        except OSError as error:  # network file systems may report a full disk only now
            raise unwritable(self._path, error) from error


def _open_emptied(path: str, flags: int) -> int:
    """Open the file, lock it, and only then empty it; a device or a pipe is opened as it is."""
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
    """Writes a line with a JSON object for each frame; docs/guides/outputs.md has its keys.

    A line is in the file as soon as write returns, and the file holds complete lines only, however the run ends.

    Args:
        path: of the file, see WholeLines.

    Raises:
        TrackerError: see WholeLines.
    """

    def __init__(self, path: str | Path) -> None:
        self._lines = WholeLines(path)

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Write the line of a frame, see Sink.write."""
        record = json.dumps(result.to_json(), separators=(",", ":"), allow_nan=False)
        self._lines.append(record.encode() + b"\n")

    def close(self) -> None:
        """Close the file, see Sink.close."""
        self._lines.close()
