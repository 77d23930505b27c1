"""Reads files with native code only if nobody except the user and root could have written them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from tracker.errors import TrackerError

_MOST_LINKS = 40  # the limit of Linux


class OpenFile(TrackerError):
    """The file may have been written by others, but not its folders, so that it can be replaced safely."""


def trusted_content(path: Path) -> bytes:
    """Read a file if only its user and root can write it and all folders and links on its path.

    Permissions are checked on POSIX systems only.

    Args:
        path: of the file.

    Returns:
        The content of the file.

    Raises:
        OpenFile: the file belongs to another user, others can write it, or it is not a regular file.
        TrackerError: the same is true for a folder or a link on its path.
        OSError: the file does not exist or cannot be read.
    """
    if os.name != "posix":
        return path.read_bytes()
    # Others cannot change the folders on the path, so the file that was checked is the one that is opened.
    descriptor = os.open(_trusted_path(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OpenFile(f"{path} is not a regular file")
        if complaint := _complaint(status):
            raise OpenFile(f"{path}: {complaint}, and it is native code")
        return file.read()


def _trusted_path(path: Path) -> Path:
    """Resolve all links of a path and check its folders. Raises TrackerError and OSError as trusted_content."""
    here = Path("/")
    _expect_own(here, here.lstat())
    parts, links = list((Path.cwd() / path).parts[:0:-1]), 0  # in reverse order: the next part is the last element
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
    if folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):  # a sticky folder is not enough for the file itself
        raise _open(here.parent, "others may write there")
    return here


def _expect_own(folder: Path, status: os.stat_result) -> None:
    """Raise TrackerError for a folder in which others can replace the next part of the path."""
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
        return _expect_owner(folder, status)  # such as /tmp: others may add files, but not remove those of the user
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
