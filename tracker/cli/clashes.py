"""Whether an output would destroy an input or another output, asked before anything is opened."""

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
"""An option, and a file that it names or leads to."""


def refuse_clashes(outputs: Iterable[Named], inputs: Iterable[Named], below: Iterable[Named] = ()) -> None:
    """Raise TrackerError where an output is an input or another output, whatever name, link or hard link leads there.

    outputs: what will be written, hidden files in the making included; more than one may have the same option.
    below: inputs that exist for certain, such as a folder's pictures; looked at only where an output exists as well.
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
    """Its name without links, and, if it is there and a plain file, its place on the disk."""
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
    """The files that a video's name or URL can lead to: itself, file:// and what FFmpeg puts before it (cache:, |)."""
    yield Path(text)
    for piece in text.split("|"):
        yield from (Path(piece), Path(unquote(piece)))
        for match in re.finditer("[:,]", piece):
            rest = piece[match.end() :]
            for name in (rest, re.sub(r"^//(localhost)?(?=/)", "", rest)):
                yield from (Path(name), Path(unquote(name)))


def files_of_pipeline(pipeline: str) -> Iterator[Path]:
    """The files that a GStreamer pipeline reads, as far as its elements call them location, uri or device."""
    for match in re.finditer(r"(?:location|uri|device)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|(\S+))", pipeline):
        yield from files_of_url(next(filter(None, match.groups()), ""))


def files_of_model(path: Path) -> Iterator[Path]:
    """A model's file and those that it leads to: a plan's sidecar, the files of an .onnx file's weights."""
    yield from (path, path.with_name(f"{path.name}.json"))
    if path.suffix != ".plan":
        with suppress(TrackerError):  # what cannot be read is reported by who loads it
            yield from external_files(path, read_model(path))
