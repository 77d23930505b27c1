"""Files that hold native code: read only where nobody but their user and root could have written them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from tracker.errors import TrackerError

_MOST_LINKS = 40  # as Linux has it


class OpenFile(TrackerError):
    """The file itself may have been written by others; its folders are right, so that it can be replaced safely."""


def trusted_content(path: Path) -> bytes:
    """The content of a file that only its user and root can write, as can all folders and links that lead to it.

    Permissions are looked at on POSIX systems only. Raises OpenFile for a file of another user, that others can write
    or that is no plain file, TrackerError for such a folder or link, OSError for what is missing or cannot be read.
    """
    if os.name != "posix":
        return path.read_bytes()
    # No folder on the way can be changed by others, so what was looked at is what is opened.
    descriptor = os.open(_trusted_path(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OpenFile(f"{path} is no plain file")
        if complaint := _complaint(status):
            raise OpenFile(f"{path}: {complaint}, and it is native code")
        return file.read()


def _trusted_path(path: Path) -> Path:
    """The path without links in it. Raises TrackerError and OSError as trusted_content."""
    here = Path("/")
    _expect_own(here, here.lstat())
    parts, links = list((Path.cwd() / path).parts[:0:-1]), 0  # the next is the last
    while parts:
        part = parts.pop()
        if part == "..":
            here = here.parent
            continue
        status = (here / part).lstat()
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            _expect_owner(here / part, status)
            target = Path(os.readlink(here / part))
            parts += target.parts[:0:-1] if target.is_absolute() else target.parts[::-1]
            here = Path("/") if target.is_absolute() else here
        else:
            here = here / part
            if parts:
                _expect_own(here, status)
    folder = here.parent.lstat()
    if folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):  # a sticky one will not do where the file itself lies
        raise _open(here.parent, "others may write there")
    return here


def _expect_own(folder: Path, status: os.stat_result) -> None:
    """Raise TrackerError for a folder in which others can exchange what leads on."""
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
        return _expect_owner(folder, status)  # as /tmp: others may add there, but not remove what is not theirs
    if complaint := _complaint(status):
        raise _open(folder, complaint)


def _expect_owner(path: Path, status: os.stat_result) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise _open(path, "it belongs to another user")


def _complaint(status: os.stat_result) -> str:
    if status.st_uid not in (0, os.geteuid()):
        return "it belongs to another user"
    return "others may write there" if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""


def _open(path: Path, complaint: str) -> TrackerError:
    return TrackerError(
        f"{path}: {complaint}, and engines are native code; keep them in a folder of your own with mode 700, "
        "below folders that only you and root can write"
    )
