"""Reads regular files only, replaces files atomically, and locks files against other runs."""

from __future__ import annotations

import codecs
import errno
import hashlib
import os
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tracker.errors import TrackerError

LONGEST_NAME = 255  # bytes of a file's name on most disks

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

STDOUT = Path("-")
"""The name that means standard output for an output file."""
_LOCK_WAIT_S = 0.2  # another process may only be checking a lock, or be about to release it
_locked_folders: set[int] = set()  # their descriptors
_LOCKED_BYTE = (1 << 31) - 2  # on Windows a lock blocks reading, so a byte beyond the content is locked


def open_plain(path: str | Path, most_bytes: int | None = None) -> BinaryIO:
    """Open a regular file for reading; a pipe is refused without waiting for a writer.

    Args:
        path: the file.
        most_bytes: the largest size; None for any size.

    Raises:
        OSError: if it cannot be read, is a folder, a device or a pipe, or is larger. Its strerror continues the
            sentence "cannot be read: ".
    """
    try:
        _expect_plain(os.stat(path), most_bytes)  # before it is opened: Windows cannot open a folder
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError:
        raise OSError(errno.EINVAL, "its name holds a zero byte") from None
    try:
        _expect_plain(os.fstat(descriptor), most_bytes)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_plain(path: str | Path, most_bytes: int | None = None) -> bytes:
    """Read a regular file.

    Args:
        path: the file.
        most_bytes: the largest size; None for any size.

    Raises:
        OSError: as open_plain, and if there is not enough memory.
    """
    with open_plain(path, most_bytes) as file:
        try:
            return file.read()
        except MemoryError:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from None


def read_text(path: str | Path, most_bytes: int) -> str:
    r"""Read a regular text file in UTF-8.

    Args:
        path: the file.
        most_bytes: the largest size.

    Returns:
        The text, with "\n" as line ends; bytes that are not UTF-8 are replaced by U+FFFD.

    Raises:
        OSError: as open_plain, and for a text in UTF-16.
    """
    content = read_plain(path, most_bytes)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise OSError(errno.EILSEQ, "it is in UTF-16; save it as UTF-8")
    return content.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")


def _expect_plain(status: os.stat_result, most_bytes: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, f"it is {_kind_of(status.st_mode)}")
    if most_bytes is not None and status.st_size > most_bytes:
        raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, at most {most_bytes:,} are read")


def write_whole(path: str | Path, content: bytes, mode: int | None = None) -> None:
    """Write a file atomically: completely or not at all.

    A link stays, and its target is replaced; a device or a pipe is written directly.

    Args:
        path: the file. Pass text when writing a file per frame: Python 3.12 caches every name that pathlib parses.
        content: what to write.
        mode: its permissions, less the umask; None for those of the file that it replaces.

    Raises:
        OSError: if it cannot be written.
        TrackerError: if another run has locked the file, see hold.
    """
    if is_written_through(path):
        return _write_through(path, content)
    target = os.path.realpath(path)
    part = os.path.join(os.path.dirname(target), f".{secrets.token_hex(8)}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode or 0o666)
        with open(descriptor, "wb") as file:
            file.write(content)
        replace(part, target, keep_mode=mode is None)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give an empty file to write, which is flushed to disk and replaces path at the end of the with block.

    After an error in the block nothing has changed.

    Args:
        path: the file to replace or make.

    Yields:
        The path of the temporary file, in the same folder and with the same suffix.

    Raises:
        TrackerError: as Replacement.
        OSError: as Replacement.
    """
    file = Replacement(path)
    try:
        yield file.part
        with file.part.open("rb+") as part:
            os.fsync(part.fileno())
        file.complete()
    finally:
        file.discard()


def replace(part: str | Path, target: str | Path, keep_mode: bool = True) -> None:
    """Move a complete file to target.

    Args:
        part: the complete file.
        target: the file to replace or make.
        keep_mode: keep the permissions of an existing target.

    Raises:
        OSError: if it cannot be moved.
        TrackerError: if another run has locked target.
    """
    before = _status(target)
    if before is not None:
        expect_free(target)
    if before is not None and keep_mode:
        os.chmod(part, stat.S_IMODE(before.st_mode) & 0o777)
    os.replace(part, target)


def expect_free(path: str | Path) -> None:
    """Raise TrackerError if another run has locked the file. If that cannot be checked, nothing is raised."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            hold(descriptor, path, together=True)
        finally:
            os.close(descriptor)


def expect_replaceable(path: str | Path, follow_links: bool = True) -> None:
    """Check that path does not exist or is a regular file.

    Args:
        path: the file to be written.
        follow_links: whether to check a link's target; if not, a link is refused.

    Raises:
        OSError: if the folder cannot be searched, or the name is too long.
        TrackerError: if it is a folder, a device or a pipe, or a link that is not followed.
    """
    try:
        mode = os.stat(path, follow_symlinks=follow_links).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise TrackerError(f"{path} is {_kind_of(mode)}, so it is not replaced; give another name")


def _kind_of(mode: int) -> str:
    """Return the kind of a file that is not a regular one, by its st_mode."""
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def is_same(one: str | Path, other: str | Path) -> bool:
    """Tell whether two names lead to one file; names that lead to none, or cannot be looked at, do not."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):  # a ValueError for a zero byte
        return False


def kind_of(path: str | Path) -> str:
    """Return what is at a path: "a file", "a folder", ..., "no file", or why that cannot be told."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return "no file"
    except OSError as error:
        return f"one that cannot be looked at ({error.strerror})"
    return "a file" if stat.S_ISREG(mode) else _kind_of(mode)


def make_folder(folder: Path) -> None:
    """Make a folder to write into, and those above it. Raises TrackerError where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrackerError(f"{folder}: cannot make this folder to write into: {error.strerror}") from None


def unwritable(path: str | Path, error: OSError | ValueError) -> TrackerError:
    """Make the error for a file or folder that cannot be written.

    Args:
        path: the file or folder; Path("-") is standard output.
        error: the reason.
    """
    name = "standard output" if path == STDOUT else path
    reason = getattr(error, "strerror", None) or error
    return TrackerError(f"{name} cannot be written ({reason}): choose a writable folder with free space")


def write_file(path: str | Path, content: bytes) -> None:
    """Write a file as write_whole does, for a user who named it.

    Args:
        path: the file.
        content: what to write.

    Raises:
        TrackerError: if it cannot be written, or another run has locked it.
    """
    try:
        write_whole(path, content)
    except OSError as error:
        raise unwritable(path, error) from None


def expect_writable(path: str | Path) -> None:
    """Raise OSError if an existing file, device or pipe may not be written or replaced."""
    status = _status(path)
    if status is None:
        return
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if os.name == "posix" and stat.S_ISREG(status.st_mode):
        folder = os.stat(os.path.dirname(os.path.realpath(path)))
        if folder.st_mode & stat.S_ISVTX and os.geteuid() not in (0, status.st_uid, folder.st_uid):
            raise PermissionError(
                errno.EPERM, "it belongs to another user, and only its owner may replace it in this folder"
            )


def hold(descriptor: int, path: str | Path, together: bool = False) -> None:
    """Lock an open file or folder against other runs, until its descriptor is closed.

    Devices and pipes are not locked, nor files on a file system without locks.

    Args:
        descriptor: of the open file or folder.
        path: its name, for the message.
        together: a shared lock instead of an exclusive one.

    Raises:
        TrackerError: if another run has locked it and does not release it at once.
    """
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        return
    until_s = time.monotonic() + _LOCK_WAIT_S
    while not _try_to_hold(descriptor, together):
        if time.monotonic() > until_s:
            raise TrackerError(f"{path} is being written by another run; wait until it ends, or give another name")
        time.sleep(_LOCK_WAIT_S / 20)


@contextmanager
def held_folder(folder: str | Path) -> Iterator[None]:
    """Lock an output folder against other runs inside a with block; Windows cannot lock folders.

    Args:
        folder: an existing folder.

    Raises:
        TrackerError: if another run has locked it.
        OSError: if it cannot be opened.
    """
    if os.name != "posix":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    _locked_folders.add(descriptor)
    try:
        hold(descriptor, folder)
        yield
    finally:
        if descriptor in _locked_folders:  # not in a process that was forked meanwhile
            _locked_folders.remove(descriptor)
            os.close(descriptor)


def _unlock_folders() -> None:
    """Release the locks that a forked process inherits: it may outlive the run."""
    for descriptor in _locked_folders:
        with suppress(OSError):
            os.close(descriptor)
    _locked_folders.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_folders)


def _try_to_hold(descriptor: int, together: bool) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if together else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return not isinstance(error, (BlockingIOError, PermissionError))
    return True


class Replacement:
    """A temporary file that complete() moves to its target.

    Another run that is to write the same target is refused meanwhile.

    Args:
        path: the file to replace or make.

    Attributes:
        part: the hidden temporary file, in the same folder; it exists and is empty.
        target: path with links resolved.

    Raises:
        TrackerError: if the target is not a regular file, or another run writes it.
        OSError: if the temporary file cannot be made.
    """

    def __init__(self, path: str | Path) -> None:
        expect_replaceable(path)
        self.target = Path(os.path.realpath(path))
        self.part = part_of(self.target)
        if self.target.exists():
            expect_free(self.target)
        self._descriptor: int | None = _held(self.part, path)
        self._completed = False

    def complete(self) -> None:
        """Move the temporary file to the target.

        Raises:
            OSError: if it cannot be moved.
            TrackerError: if another run has locked the target.
        """
        if os.name == "nt":  # which cannot move an open file
            self._unlock()
        replace(self.part, self.target)
        self._completed = True
        self._unlock()

    def discard(self) -> None:
        """Delete the temporary file, unless it was completed."""
        if not self._completed:
            self._completed = True
            with suppress(OSError):
                os.unlink(self.part)
        self._unlock()

    def _unlock(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


def part_of(target: Path) -> Path:
    """Return the temporary file of a Replacement of target."""
    name = f".{target.stem}.part{target.suffix}"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()}.part{target.suffix}"
    return target.with_name(name)


def _held(part: Path, path: str | Path) -> int:
    """Make the temporary file, or take one that a killed run left, and lock it; return its descriptor."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    while True:
        descriptor = os.open(part, flags, 0o666)
        try:
            hold(descriptor, path)
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or (os.name == "posix" and status.st_uid != os.geteuid()):
                raise TrackerError(f"{part} must not exist: delete it, or use another name than {path}")
            with suppress(FileNotFoundError):  # another run may have completed it meanwhile
                if os.path.samestat(os.lstat(part), status):
                    os.ftruncate(descriptor, 0)
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _status(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def is_written_through(path: str | Path) -> bool:
    """Tell whether a path is a device, a pipe, or the file of standard output or error, which are not replaced."""
    status = _status(path)
    if status is None or stat.S_ISDIR(status.st_mode):
        return False
    return not stat.S_ISREG(status.st_mode) or _standard(status) is not None


def _standard(status: os.stat_result) -> int | None:
    """Return the descriptor of standard output or error that has this file open; None if neither has."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), status):
                return descriptor
    return None


def _write_through(path: str | Path, content: bytes) -> None:
    descriptor = _standard(os.stat(path))
    with open(os.open(path, os.O_WRONLY) if descriptor is None else os.dup(descriptor), "wb") as file:
        file.write(content)
