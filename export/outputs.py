"""Checks an output file before any work is done for it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from tracker.errors import TrackerError
from tracker.system.files import expect_replaceable, is_same, unwritable


def check_output(output: Path, suffix: str, inputs: Iterable[Path] = ()) -> None:
    """Check that an output can be written, as a new file or in place of a regular file.

    Args:
        output: the file; a link is refused.
        suffix: which its name must have, such as ".onnx".
        inputs: files that are read; none of them may be the output, by whatever name or link.

    Raises:
        TrackerError: if it cannot be written.
    """
    for each in inputs:
        if is_same(output, each):
            raise TrackerError(f"--output {output} is {each}, which is read; give another --output")
    if output.suffix.lower() != suffix:
        raise TrackerError(f"--output expected the name of a file that ends in {suffix}, got {output}")
    try:
        expect_replaceable(output, follow_links=False)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except FileNotFoundError:
        raise TrackerError(f"{output} cannot be written: the folder {output.parent} does not exist") from None
    except (OSError, ValueError) as error:
        raise unwritable(output, error) from None
