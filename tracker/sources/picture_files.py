"""Finds the pictures in files and folders, names each, and counts the files that are left out."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tracker.errors import TrackerError
from tracker.sources.picture_size import has_picture_signature
from tracker.system.files import open_plain

SUFFIXES = (
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".hdr", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg"),
    *(".jpg", ".pam", ".pbm", ".pgm", ".pic", ".png", ".pnm", ".ppm", ".ras", ".sr", ".tif", ".tiff", ".webp"),
)
"""Endings of picture files. HEIC is included although OpenCV has no decoder for it, so that a warning names each such
file; other files are only counted."""

_VIDEOS = (".avi", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
_HEAD_BYTES = 32
_MOST_KINDS = 5  # how many suffixes of other files a message names


@dataclass(frozen=True)
class PictureFile:
    """A picture's file.

    Attributes:
        path: to open it.
        name: relative to FoundPictures.folder, with "/" between its parts.
    """

    path: Path
    name: str


@dataclass
class FoundPictures:
    """The pictures found by find_pictures.

    Attributes:
        folder: the common parent folder.
        pictures: in order; names are unique.
        others: how many files of each suffix were left out because they are not pictures.
        unread: folders that could not be listed, each with the reason.
    """

    folder: Path
    pictures: list[PictureFile] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)

    def left_out(self) -> str:
        """Describe what was left out, for a message; empty if nothing was."""
        kinds = [f"{count} {suffix or 'without a suffix'}" for suffix, count in self.others.most_common(_MOST_KINDS)]
        more = self.others.total() - sum(count for _, count in self.others.most_common(_MOST_KINDS))
        kinds += [f"{more} others"] if more else []
        parts = [f"files that are not pictures ({', '.join(kinds)})"] if kinds else []
        return ", ".join([*parts, *self.unread])


def find_pictures(given: Sequence[str | Path], recursive: bool = False) -> FoundPictures:
    """Find the pictures in files and folders, in the order given; in a folder 2.jpg comes before 10.jpg.

    A file that is named is taken whatever its suffix. In a folder, files with a picture's suffix (SUFFIXES, in any
    case) are taken, and other files whose first bytes are those of a PNG, JPEG, GIF, WebP, AVIF or JPEG 2000 picture.
    Hidden files, whose names begin with a dot, are skipped. A file that is given twice is taken once.

    Args:
        given: at least one file or folder.
        recursive: search the subfolders as well, after the folder's own files. Links are followed, but no folder is
            searched twice, so circular links end.

    Raises:
        TrackerError: if nothing is given, if a path does not exist, cannot be listed or is a video, and if there is
            no picture at all.
    """
    if not given:
        raise TrackerError("expected a picture or a folder of pictures, got none")
    tops = [_Top.of(Path(path)) for path in given]
    try:
        folder = os.path.commonpath([top.real if top.is_folder else os.path.dirname(top.real) for top in tops])
    except ValueError:
        raise TrackerError("expected pictures on one drive, got several drives; start one run for each") from None
    found = FoundPictures(Path(folder))
    seen: set[str] = set()
    for top in tops:
        for inner in _files_in(top, recursive, found) if top.is_folder else [""]:
            real = os.path.join(top.real, inner) if inner else top.real
            if real not in seen:
                seen.add(real)
                name = os.path.relpath(real, folder).replace(os.sep, "/")
                found.pictures.append(PictureFile(top.given / inner, name))
    if not found.pictures:
        raise TrackerError(_nothing(tops, recursive, found))
    return found


def is_picture(path: str | Path) -> bool:
    """Tell whether a file is a picture: by its suffix or, if that is not known, by its first bytes."""
    suffix = os.path.splitext(path)[1].lower()
    return suffix in SUFFIXES or (suffix not in _VIDEOS and _begins_as_a_picture(path))


def output_names(names: Iterable[str], short: Callable[[str], str], longer: Callable[[str], str]) -> dict[str, str]:
    """Choose a unique name for the output file of each picture.

    Args:
        names: of the pictures, all different.
        short: gives the preferred output name of a picture.
        longer: lengthens a name. Applied, repeatedly if necessary, where the preferred name is that of another picture
            or of its output.

    Returns:
        The output names by picture name.
    """
    chosen = {name: short(name) for name in names}
    lengthened = {name: name for name in chosen}
    while True:
        owners = Counter(chosen.values())
        shared = [name for name, each in chosen.items() if owners[each] > 1 and each != name]
        if not shared:
            return chosen
        for name in shared:
            chosen[name] = lengthened[name] = longer(lengthened[name])


@dataclass(frozen=True)
class _Top:
    """A file or folder as it was given.

    Attributes:
        given: the path as it was given.
        real: the path with links resolved, except for the file's own name.
        is_folder: whether it is a folder.
    """

    given: Path
    real: str
    is_folder: bool

    @classmethod
    def of(cls, path: Path) -> _Top:
        try:
            is_folder = stat.S_ISDIR(os.stat(path).st_mode)
        except (OSError, ValueError) as error:
            reason = f"{path}: {error.strerror if isinstance(error, OSError) else error}"
            if isinstance(error, FileNotFoundError):
                reason = f"{path} does not exist"
            raise TrackerError(f"expected a picture or a folder of pictures, but {reason}") from None
        if is_folder:
            return cls(path, os.path.realpath(path), True)
        if path.suffix.lower() in _VIDEOS:
            raise TrackerError(f"expected a picture or a folder of pictures, but {path} is a video: use --video")
        return cls(path, os.path.join(os.path.realpath(path.parent), path.name), False)


def _files_in(top: _Top, recursive: bool, found: FoundPictures) -> Iterable[str]:
    """Yield the pictures of a folder, relative to it; files left out are noted in found."""
    inner_folders, looked_into = [""], set()
    while inner_folders:
        inner = inner_folders.pop()
        folder = top.given / inner
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in looked_into:
                continue
            looked_into.add((status.st_dev, status.st_ino))
            names = sorted((name for name in os.listdir(folder) if name[0] != "."), key=_natural)
        except OSError as error:
            if not inner:
                raise TrackerError(f"expected a folder of pictures, but {folder}: {error.strerror}") from None
            found.unread.append(f"the folder {folder} ({error.strerror})")
            continue
        subfolders = []
        for name in names:
            if os.path.isdir(folder / name) and (recursive or Path(name).suffix.lower() not in SUFFIXES):
                subfolders.append(os.path.join(inner, name))
            elif is_picture(folder / name):
                yield os.path.join(inner, name)
            else:
                found.others[os.path.splitext(name)[1].lower()] += 1
        inner_folders += reversed(subfolders) if recursive else ()


def _nothing(tops: Sequence[_Top], recursive: bool, found: FoundPictures) -> str:
    """Return the error message for folders without pictures."""
    where = ", ".join(str(top.given) for top in tops)
    left_out = f"; left out: {found.left_out()}" if found.left_out() else ""
    deeper = not recursive and any(each.is_dir() for top in tops for each in top.given.iterdir())
    hint = "; --recursive looks into its subfolders" if deeper else ""
    return f"{where} holds no pictures: expected files such as .jpg, .png, .bmp or .tif{left_out}{hint}"


def _begins_as_a_picture(path: str | Path) -> bool:
    try:
        with open_plain(path) as file:
            return has_picture_signature(file.read(_HEAD_BYTES))
    except OSError:
        return False


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key: runs of digits by value, everything else as text, ignoring case."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(int(part), part) if i % 2 else (0, part) for i, part in enumerate(parts)]
