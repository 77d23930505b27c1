"""What the README shows runs as it stands there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.M | re.S) if README.exists() else []


def test_shows_the_api() -> None:
    assert BLOCKS, "README.md has no ```python block"
    assert BLOCKS[0].startswith("from tracker import")
    assert "Tracker(" in BLOCKS[0]


@pytest.mark.parametrize("code", BLOCKS)
def test_example_runs(
    code: str,
    video: Path,
    tmp_path: Path,
    fake_detector: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In a folder that holds a clip.mp4; a FakeDetector stands for the real one."""
    shutil.copy(video, tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tracker.pipeline.load_detector", lambda *_: fake_detector)
    exec(compile(code, str(README), "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out or "print" not in code
