"""The process of a command: signals that end it after cleaning up, standard streams whose errors are handled."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

INTERRUPTED = 130
EXIT_SIGPIPE = 141  # 128 + SIGPIPE: the reader of standard output has closed it
UNWRITTEN = 2
_ENDING = ("SIGTERM", "SIGHUP", "SIGBREAK")  # Windows has SIGBREAK instead of SIGHUP
_filled: set[int] = set()  # standard descriptors that were closed when the command began


def command_name(module: str) -> str:
    """Return the name of the command for its messages: `landmarks track`, or the module's as in `python -m`."""
    started = "".join(sys.argv[:1])
    return started if started.startswith("landmarks ") else module


class Ended(KeyboardInterrupt):
    """A signal asked the process to end. It is raised in the main thread, as Ctrl-C is.

    Args:
        number: of the signal.

    Attributes:
        status: the exit status, 128 + the signal's number: 143 for SIGTERM, 129 for SIGHUP.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


@contextmanager
def ending_signals() -> Iterator[list[Ended]]:
    """Raise Ended for the first SIGTERM or SIGHUP inside a with block; later ones are ignored.

    Signals that are ignored (nohup) or that the application handles stay as they are; nothing is done outside the main
    thread.

    Yields:
        A list that holds the Ended after it was raised, for callers whose libraries catch it.
    """
    raised: list[Ended] = []

    def end(number: int, frame: object) -> None:
        if not raised:
            raised.append(Ended(number))
            raise raised[0]

    numbers = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    ours: list[int] = []
    if threading.current_thread() is threading.main_thread():
        ours = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield raised
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def put_off_signals() -> Iterator[None]:
    """Delay the first Ctrl-C, SIGTERM or SIGHUP to the end of a with block; a second one takes effect at once.

    Signals without a Python handler stay as they are; nothing is done outside the main thread.
    """
    waiting: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if waiting:
            handlers[number](number, frame)
        waiting.append(number)

    numbers = [getattr(signal, name) for name in ("SIGINT", *_ENDING) if hasattr(signal, name)]
    handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            if callable(handler := signal.getsignal(number)):
                handlers[number] = handler
    for number in handlers:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if waiting:
        handlers[waiting[0]](waiting[0], None)


class StandardStream:
    r"""Standard output or error whose write errors are recorded instead of raised.

    A character that the encoding does not have is written as its escape (\xfc). Nothing is written if there is no
    stream, as in a program without a console. Other attributes are those of the stream.

    Args:
        stream: sys.stdout or sys.stderr; None if there is none.
        pipe_ends: raise BrokenPipeError after the reader of the stream has closed it.

    Attributes:
        failure: the first error of a write; None if there was none.
    """

    def __init__(self, stream: Any, pipe_ends: bool) -> None:
        self._absent = stream is None or getattr(stream, "closed", False)
        self._stream = io.TextIOWrapper(io.FileIO(os.devnull, "w"), "utf-8") if self._absent else stream
        self._pipe_ends = pipe_ends
        self.failure: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text; return its length."""
        if self.failure is None:
            try:
                self._write(text)
            except OSError as error:
                self._fail(error)
        return len(text)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding or "ascii"
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except ValueError:
            raise OSError(errno.EBADF, "it is closed") from None

    def writelines(self, lines: list[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is buffered."""
        if self.failure is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._fail(error)
            except ValueError:  # closed meanwhile
                self._fail(OSError(errno.EBADF, "it is closed"))

    def _fail(self, error: OSError) -> None:
        self.failure = error
        # Python flushes again at exit, and would report the error then
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())
        if self._pipe_ends and isinstance(error, BrokenPipeError):
            raise error

    def end(self) -> None:
        """Write what is buffered and release the stream; raises BrokenPipeError as write does."""
        self.flush()
        if self._absent:
            self._stream.close()


@contextmanager
def standard_streams() -> Iterator[StandardStream]:
    """Replace sys.stdout and sys.stderr by StandardStreams inside a with block, even if they are closed or None.

    Yields:
        The standard output.
    """
    _fill_descriptors()
    before = sys.stdout, sys.stderr
    out, err = StandardStream(sys.stdout, pipe_ends=True), StandardStream(sys.stderr, pipe_ends=False)
    sys.stdout, sys.stderr = out, err
    try:
        yield out
    finally:
        sys.stdout, sys.stderr = before
        with suppress(BrokenPipeError):
            out.end()
        err.end()


def module_command(module: str) -> tuple[list[str], dict[str, str]]:
    """Return how to run a module of this package in a new process, with the import path of this one.

    Args:
        module: its dotted name.

    Returns:
        The command and its environment.
    """
    places = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])  # the current folder may have changed
    return [sys.executable, "-m", module], {**os.environ, "PYTHONPATH": places, "PYTHONSAFEPATH": "1"}


def has_standard_output() -> bool:
    """Tell whether the process was started with an open standard output."""
    return 1 not in _filled and _is_open(1)


def _fill_descriptors() -> None:
    """Open the null device for each closed standard descriptor, so that no file opened later gets its number.

    Libraries write messages to descriptor 2, even if it is a user's file.
    """
    for descriptor in (0, 1, 2):
        if not _is_open(descriptor):
            with suppress(OSError):
                opened = os.open(os.devnull, os.O_RDWR)
                if opened != descriptor:
                    os.dup2(opened, descriptor)
                    os.close(opened)
                _filled.add(descriptor)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError as error:
        return error.errno != errno.EBADF
    return True
