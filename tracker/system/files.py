"""Reads plain files only, writes files whole or not at all, and keeps two runs from writing one file."""

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
"""The name that stands for standard output where a file is written."""
_MOMENT_S = 0.2  # others look whether a file is held, or let go of it just now
_folders: set[int] = set()  # descriptors of those that are held
_PAST_ALL = (1 << 31) - 2  # where Windows locks a byte: nobody's reading is disturbed there


def open_plain(path: str | Path, most_bytes: int | None = None) -> BinaryIO:
    """Open a plain file to read, without waiting for anybody to write into a pipe.

    Args:
        path: the file.
        most_bytes: how large it may be; None for any size.

    Raises:
        OSError: it cannot be read, is a folder, a device or a pipe, or is larger. Its strerror goes into a sentence
            after "cannot be read: ".
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
    """The content of a plain file. Raises OSError as open_plain does, also where the memory does not suffice."""
    with open_plain(path, most_bytes) as file:
        try:
            return file.read()
        except MemoryError:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from None


def read_text(path: str | Path, most_bytes: int) -> str:
    """The text of a plain file in UTF-8, its lines ended by "\\n"; bytes that are no UTF-8 are replaced.

    Raises OSError as open_plain does, and for a text in UTF-16.
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
    """Write the file whole or not at all. Raises OSError.

    mode: its permissions, less the umask; None for those of the file that it replaces, if there is one.
    A link stays, and the file it leads to is replaced; a device or a pipe is written to as it is. Raises TrackerError
    where another run holds the file (hold).

    Who writes a file a frame names it by text: Python 3.12 never forgets a name that pathlib has parsed.
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
    """An empty file to write, which is flushed to the disk and takes the place of path at the end of a with block.

    After an error in the block nothing has changed. What may be replaced, and what is raised, is as for Replacement.

    Yields:
        The path of the new file, beside that of the old one and with the same suffix.
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
    """Put a complete file in the place of target; keep_mode: with the permissions of the one that is there.

    Raises OSError, and TrackerError where another run holds target.
    """
    before = _status(target)
    if before is not None:
        expect_free(target)
    if before is not None and keep_mode:
        os.chmod(part, stat.S_IMODE(before.st_mode) & 0o777)
    os.replace(part, target)


def expect_free(path: str | Path) -> None:
    """Raise TrackerError where another run holds the file. Where this cannot be asked nothing is raised."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            hold(descriptor, path, together=True)
        finally:
            os.close(descriptor)


def expect_replaceable(path: str | Path, follow_links: bool = True) -> None:
    """Raise TrackerError unless there is nothing at path, or a plain file.

    Args:
        path: what is to be written.
        follow_links: whether a link stands for the file that it leads to; if not, a link is refused.

    Raises:
        OSError: the folder cannot be searched, or the name is too long.
        TrackerError: there is a folder, a device or a pipe, or a link that is not followed.
    """
    try:
        mode = os.stat(path, follow_symlinks=follow_links).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise TrackerError(f"{path} is {_kind_of(mode)}, so it is not replaced; give another name")


def _kind_of(mode: int) -> str:
    """What is there that is no plain file, by its st_mode."""
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def make_folder(folder: Path) -> None:
    """Make a folder to write into, and those above it. Raises TrackerError where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrackerError(f"{folder}: cannot make this folder to write into: {error.strerror}") from None


def unwritable(path: str | Path, error: OSError | ValueError) -> TrackerError:
    """The sentence for a file or folder that cannot be written."""
    name = "standard output" if path == STDOUT else path
    reason = getattr(error, "strerror", None) or error
    return TrackerError(f"{name} cannot be written ({reason}): choose a writable folder with free space")


def expect_writable(path: str | Path) -> None:
    """Raise OSError for a file, device or pipe that is there and may not be written or replaced."""
    status = _status(path)
    if status is None:
        return
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if os.name == "posix" and stat.S_ISREG(status.st_mode):
        folder = os.stat(os.path.dirname(os.path.realpath(path)))
        if folder.st_mode & stat.S_ISVTX and os.geteuid() not in (0, status.st_uid, folder.st_uid):
            raise PermissionError(errno.EPERM, "it is another user's, in a folder where only its owner may replace it")


def hold(descriptor: int, path: str | Path, together: bool = False) -> None:
    """Hold an open file or folder until its descriptor is closed, so that no other run writes it meanwhile.

    path: its name for people. together: others may hold it so, too. Devices and pipes are not held, nor files where the
    file system has no locks. Raises TrackerError where another run holds it, and does so for more than a moment.
    """
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        return
    until_s = time.monotonic() + _MOMENT_S
    while not _try_to_hold(descriptor, together):
        if time.monotonic() > until_s:
            raise TrackerError(f"{path} is being written by another run; wait for its end, or give another")
        time.sleep(_MOMENT_S / 20)


@contextmanager
def held_folder(folder: str | Path) -> Iterator[None]:
    """Keep other runs out of a folder that is written into, where the system can lock one; Windows cannot.

    Raises TrackerError where another run has it, and OSError for one that cannot be opened.
    """
    if os.name != "posix":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    _folders.add(descriptor)
    try:
        hold(descriptor, folder)
        yield
    finally:
        if descriptor in _folders:  # else this is a process that was forked meanwhile
            _folders.remove(descriptor)
            os.close(descriptor)


def _let_go_of_folders() -> None:
    """In a process that was forked, which holds them, too: it may live a while after the run was killed."""
    for descriptor in _folders:
        with suppress(OSError):
            os.close(descriptor)
    _folders.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_of_folders)


def _try_to_hold(descriptor: int, together: bool) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _PAST_ALL, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if together else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return not isinstance(error, (BlockingIOError, PermissionError))
    return True


class Replacement:
    """A file in the making: hidden beside its target until complete() puts it in the target's place.

    part: the hidden file's path, made and empty, for who writes by name. Another run that is to write the same target
    is refused meanwhile. target: path with links resolved; what is there must be a plain file.
    Raises TrackerError for a target that is none, or that another run writes, and OSError.
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
        """Put it in the place of the target. Raises OSError, and TrackerError where another run holds the target."""
        if os.name == "nt":  # an open file cannot be moved there
            self._let_go()
        replace(self.part, self.target)
        self._completed = True
        self._let_go()

    def discard(self) -> None:
        """Delete it, unless it was completed."""
        if not self._completed:
            self._completed = True
            with suppress(OSError):
                os.unlink(self.part)
        self._let_go()

    def _let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


def part_of(target: Path) -> Path:
    """The hidden file in which a Replacement of target grows."""
    name = f".{target.stem}.part{target.suffix}"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()}.part{target.suffix}"
    return target.with_name(name)


def _held(part: Path, path: str | Path) -> int:
    """The descriptor of the part, made or left over by a run that was killed, and held."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    while True:
        descriptor = os.open(part, flags, 0o666)
        try:
            hold(descriptor, path)
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or (os.name == "posix" and status.st_uid != os.geteuid()):
                raise TrackerError(f"{part} is in the way: delete it, or give another name than {path}")
            with suppress(FileNotFoundError):  # the run that had it may have completed it just now
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
    """Whether it is a device or a pipe, or what is open as standard output or error: such a thing is not replaced."""
    status = _status(path)
    if status is None or stat.S_ISDIR(status.st_mode):
        return False
    return not stat.S_ISREG(status.st_mode) or _standard(status) is not None


def _standard(status: os.stat_result) -> int | None:
    """The descriptor, of standard output or error, that has this file open."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), status):
                return descriptor
    return None


def _write_through(path: str | Path, content: bytes) -> None:
    descriptor = _standard(os.stat(path))
    with open(os.open(path, os.O_WRONLY) if descriptor is None else os.dup(descriptor), "wb") as file:
        file.write(content)
