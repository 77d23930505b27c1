"""What every report holds, and how its files are written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tracker.engines.base import Engine
from tracker.errors import TrackerError
from tracker.system.files import write_whole
from tracker.tracking.tracker import Tracker
from tracker.weights.packaged import identify_model, url_of_model

REPORT_SUFFIXES = (".json", ".png", ".html", ".csv")


def expect_report(path: Path) -> None:
    """Raise TrackerError unless a report can be named so."""
    if path.suffix != ".json" or not os.path.isdir(path.parent):
        raise TrackerError(f"--report must name a .json file in a folder that exists, got {path}")


def inputs_below(root: Path) -> Iterator[Path]:
    """The files of a data set: all below its folder but earlier reports, which are no labels and have none."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if path.suffix.lower() not in REPORT_SUFFIXES or path.with_suffix(".pts").name in names:
                yield path


def model_record(model: Path | str, engine: Engine) -> dict[str, str | None]:
    """Return which model was measured; sha256 is None for one that a server runs."""
    identity = identify_model(model, engine.spec.licence)
    return {
        "name": identity.name if url_of_model(model) else Path(model).name,
        "sha256": identity.sha256,
        "commit": engine.spec.commit,
        "licence": engine.spec.licence,
    }


def detector_names(tracker: Tracker) -> str:
    """Which detectors look for faces, as "yunet and blazeface"."""
    return " and ".join(detector.name for detector in tracker.detectors)


def write_report(path: Path, content: bytes) -> None:
    """Write a file of a report whole. Raises TrackerError where that is impossible."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise TrackerError(f"cannot write {path}: {error.strerror}; give another --report") from None
