"""Checks, before anything is opened, that no output overwrites an input or another output."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from tracker.engines.onnx_file import external_files, read_model
from tracker.errors import TrackerError
from tracker.system.files import STDOUT

Named = tuple[str, Path]
"""An option, and a file that it names or refers to."""


def refuse_clashes(outputs: Iterable[Named], inputs: Iterable[Named], below: Iterable[Named] = ()) -> None:
    """Refuse an output that is also an input or another output, by whatever name, link or hard link.

    Args:
        outputs: files that will be written, temporary files included; several may belong to one option.
        inputs: files that will be read.
        below: inputs that are known to exist, such as a folder's pictures; checked only if an output exists already.

    Raises:
        TrackerError: naming both options and the file.
    """
    owners: dict[object, Named] = {}
    for option, path in outputs:
        for identity in _identities(path):
            owner, first = owners.setdefault(identity, (option, path))
            if owner != option:
                raise TrackerError(f"{owner} and {option} name the same file, {first}; give them different ones")
    for option, path in _with_those_below(inputs, below, any(isinstance(i, tuple) for i in owners)):
        for identity in _identities(path):
            if identity in owners:
                raise TrackerError(
                    f"{option} and {owners[identity][0]} name the same file, {path}, which is read and would be "
                    "overwritten; give another output"
                )


def _with_those_below(inputs: Iterable[Named], below: Iterable[Named], any_output_exists: bool) -> Iterator[Named]:
    yield from inputs
    if any_output_exists:
        yield from below


def _identities(path: Path) -> Iterator[object]:
    """Yield the path with links resolved and, for an existing regular file, its device and inode."""
    try:
        if path == STDOUT:
            yield STDOUT
            status = os.fstat(1)
        else:
            name = os.path.normcase(os.path.realpath(path))
            yield name.casefold() if sys.platform == "darwin" else name
            status = os.stat(path)
    except (OSError, ValueError):
        return
    if stat.S_ISREG(status.st_mode):
        yield status.st_dev, status.st_ino


def files_of_url(text: str) -> Iterator[Path]:
    """Yield the files that a video's name or URL may refer to, with FFmpeg's prefixes (file://, cache:, |) removed."""
    yield Path(text)
    for piece in text.split("|"):
        yield from (Path(piece), Path(unquote(piece)))
        for match in re.finditer("[:,]", piece):
            rest = piece[match.end() :]
            for name in (rest, re.sub(r"^//(localhost)?(?=/)", "", rest)):
                yield from (Path(name), Path(unquote(name)))


def files_of_pipeline(pipeline: str) -> Iterator[Path]:
    """Yield the files that a GStreamer pipeline names in a property location, uri or device."""
    for match in re.finditer(r"(?:location|uri|device)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|(\S+))", pipeline):
        yield from files_of_url(next(filter(None, match.groups()), ""))


def files_of_model(path: Path) -> Iterator[Path]:
    """Yield a model's file and those that belong to it: a plan's .json, the external weights of an .onnx file."""
    yield from (path, path.with_name(f"{path.name}.json"))
    if path.suffix != ".plan":
        with suppress(TrackerError):  # loading the model reports what cannot be read
            yield from external_files(path, read_model(path))
