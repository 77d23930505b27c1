"""Parts that all reports share, and the writing of their files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tracker.engines.base import Engine
from tracker.errors import TrackerError
from tracker.system.files import write_whole
from tracker.tracking.tracker import Tracker
from tracker.weights.packaged import identify_engine

REPORT_SUFFIXES = (".json", ".png", ".html", ".csv")


def expect_report(path: Path) -> None:
    """Raise TrackerError unless the path is a .json file in an existing folder."""
    if path.suffix != ".json" or not os.path.isdir(path.parent):
        raise TrackerError(f"--report must name a .json file in a folder that exists, got {path}")


def inputs_below(root: Path) -> Iterator[Path]:
    """Yield the files below a data set's folder, without earlier reports, which are recognised by having no label."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if path.suffix.lower() not in REPORT_SUFFIXES or path.with_suffix(".pts").name in names:
                yield path


def model_record(engine: Engine) -> dict[str, str | None]:
    """Return the identity of the measured model for a report; sha256 is None for a model on a server.

    Args:
        engine: that runs it.
    """
    identity, path = identify_engine(engine), getattr(engine, "path", None)
    return {
        "name": identity.name if path is None else Path(path).name,
        "sha256": identity.sha256,
        "commit": engine.spec.commit,
        "licence": engine.spec.licence,
    }


def detector_names(tracker: Tracker) -> str:
    """Return the names of the tracker's detectors, such as "yunet and blazeface"."""
    return " and ".join(detector.name for detector in tracker.detectors)


def write_report(path: Path, content: bytes) -> None:
    """Write a file of a report atomically; raise TrackerError if that fails."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise TrackerError(f"cannot write {path}: {error.strerror}; give another --report") from None
