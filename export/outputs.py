"""Outputs that are refused before any work is done, and that are whole or not there."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tracker.errors import TrackerError


def check_output(output: Path, suffix: str, inputs: Iterable[Path] = ()) -> None:
    """Raise TrackerError unless output can be written as a new file, or in the place of a file of its kind.

    Args:
        output: the file.
        suffix: how its name must end, such as ".onnx".
        inputs: files that are read; none of them may be the output, by whatever name or link.
    """
    for each in inputs:
        if _same(output, each):
            raise TrackerError(f"--output {output} is {each}, which is read; give another --output")
    if output.suffix.lower() != suffix:
        raise TrackerError(f"--output expected the name of a file that ends in {suffix}, got {output}")
    refuse_special(output)
    try:
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except FileNotFoundError:
        raise TrackerError(f"{output}: cannot write there: the folder {output.parent} does not exist") from None
    except OSError as error:
        raise _cannot(output, error) from None


def refuse_special(output: Path) -> None:
    """Raise TrackerError unless there is nothing at output, or a regular file: links and devices are not replaced."""
    try:
        mode = output.lstat().st_mode
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise _cannot(output, error) from None
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFLNK: "link", stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe"}
        kind = kinds.get(stat.S_IFMT(mode), "device")
        raise TrackerError(f"{output}: cannot write there: it is a {kind}; remove it, or choose another name")


@contextmanager
def whole_file(output: Path) -> Iterator[Path]:
    """A new file in output's folder, which takes output's place in the end unless something went wrong.

    Raises TrackerError for every OSError: a full disk, a folder that cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=".", suffix=output.suffix, dir=output.parent)
        os.close(handle)
        partial = Path(name)
        try:
            yield partial
            partial.chmod(0o644)
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(partial, output)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot(output, error) from None


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


def _cannot(output: Path, error: OSError | ValueError) -> TrackerError:
    return TrackerError(f"{output}: cannot write there: {getattr(error, 'strerror', None) or error}")
