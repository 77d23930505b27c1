from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks._lib.reports import check_report, write_report
from benchmarks.faces import faces
from tracker.errors import TrackerError


def test_a_report_is_written_into_a_new_folder_in_the_place_of_an_older_one(tmp_path: Path) -> None:
    report = tmp_path / "new/folder/report.json"
    for record in ({"ms": [1.5]}, {"ms": [2.5]}):
        check_report(report)
        write_report(report, record)
        assert json.loads(report.read_text()) == record
    assert [*report.parent.iterdir()] == [report]


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.faces.timed", lambda _: pytest.fail("measured"))
    (tmp_path / "file").touch()
    for report, words in (
        (tmp_path, "is a folder, so it is not replaced"),
        (tmp_path / "file/report.json", "cannot make this folder"),
        (tmp_path / ("long" * 100), "cannot be written"),
    ):
        with pytest.raises(TrackerError, match=words):
            faces(report)


def test_a_failure_leaves_the_older_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    report = tmp_path / "report.json"
    write_report(report, {"old": 1})
    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(TrackerError, match="No space left on device"):
        write_report(report, {"new": 2})
    assert json.loads(report.read_text()) == {"old": 1}
    assert [*tmp_path.iterdir()] == [report]
