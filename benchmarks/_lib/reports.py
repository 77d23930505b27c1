"""Reports of benchmarks: checked before anything is measured, written whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tracker.system.files import expect_replaceable, expect_writable, make_folder, unwritable, write_file


def check_report(report: Path) -> None:
    """Make the folder of a report and see that the report can be written.

    Args:
        report: the file.

    Raises:
        TrackerError: if it cannot, or is no regular file.
    """
    make_folder(report.parent)
    try:
        expect_replaceable(report)
        expect_writable(report)
    except OSError as error:
        raise unwritable(report, error) from None


def write_report(report: Path, record: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write a report as JSON, completely or not at all.

    Args:
        report: the file.
        record: what was measured.

    Raises:
        TrackerError: if it cannot be written.
    """
    write_file(report, json.dumps(record, indent=1).encode())
