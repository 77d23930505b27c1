"""A file that cannot be written is said before the first frame is read. Root's privileges are dropped for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="drops privileges as Linux has them")

WITHOUT_PRIVILEGES = """
import ctypes, os, sys
if os.getuid() == 0:  # root writes everywhere by this capability, which a new program then no longer gets
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""
RUNS = """
import contextlib, io, json, sys
import tracker.run, tracker.sources.demo

def picture(*asked):
    raise RuntimeError("a frame was read")

tracker.sources.demo.DemoClip.picture = picture
names, said = sys.argv[1:], []
for option in ("stats", "profile", "output", "csv", "coco", "overlay", "pts"):
    for name in names:
        sys.argv[1:] = ["--demo", f"--{option}", name]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = tracker.run.main()
        said.append((option, name, status, out.getvalue(), err.getvalue()))
print(json.dumps(said))
"""


def test_is_said_before_the_first_frame(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    for path in (closed / "old.mp4", tmp_path / "old.mp4"):
        path.write_text("old")
        path.chmod(0o444)
    closed.chmod(0o555)
    names = [str(tmp_path / name) for name in ("closed/x.mp4", "closed/new/x.mp4", "closed/old.mp4", "old.mp4/x.mp4")]
    try:
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_PRIVILEGES, RUNS, *names],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        closed.chmod(0o755)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert len(said) == 7 * len(names)
    for option, name, status, out, error in said:
        assert (status, out) == (2, ""), (option, name, error)
        assert error.startswith("tracker.run: ") and error.count("\n") == 1
        assert str(Path(name).relative_to(tmp_path).parts[0]) in error
        assert any(reason in error for reason in ("ermission denied", "Not a directory", "File exists")), error
    assert (closed / "old.mp4").read_text() == (tmp_path / "old.mp4").read_text() == "old"
    assert sorted(os.listdir(closed)) == ["old.mp4"] and sorted(os.listdir(tmp_path)) == ["closed", "old.mp4"]
