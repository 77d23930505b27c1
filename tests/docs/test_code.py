"""The Python of README and docs runs as it stands there.

Blocks of a page run one after the other, in a folder with clip.mp4, short.mp4, clip.csv and photos/. The clips have
different lengths, and begin and end with frames without a face: an example has to work with both. A block marked ```py
needs something that not every machine has, such as a GPU: it is compiled only.
"""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.docs.pages import PAGES, ROOT, blocks, name_of
from tracker.run import run
from tracker.sources.demo import DemoClip

SIZE = (320, 240)
RUN = [path for path in PAGES if blocks(path, "python")]
COMPILED = [path for path in PAGES if blocks(path, "py")]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clip.mp4 with frames of the demo clip, short.mp4 with some of them, clip.csv, and photos/ with three frames."""
    pytest.importorskip("skimage.data", reason="needs scikit-image's astronaut picture")
    folder = tmp_path_factory.mktemp("material")
    (folder / "photos").mkdir()
    with DemoClip(SIZE, seconds=1) as clip:
        pictures = [cv2.cvtColor(frame.image_rgb, cv2.COLOR_RGB2BGR) for frame in islice(clip, 12)]
    for index, picture in enumerate(pictures[:3]):
        cv2.imwrite(str(folder / "photos" / f"{index}.jpg"), picture)
    empty = np.zeros_like(pictures[0])
    _write_video(folder / "clip.mp4", [empty, *pictures, *[empty] * 20])  # longer than a lost face is kept
    _write_video(folder / "short.mp4", [empty, *pictures[:5]])
    run(video=str(folder / "clip.mp4"), csv=folder / "clip.csv")
    return folder


def _write_video(path: Path, pictures: list[np.ndarray[Any, Any]]) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, SIZE)
    for picture in pictures:
        writer.write(picture)
    writer.release()


def test_readme_shows_the_api() -> None:
    first, *_ = blocks(ROOT / "README.md", "python")
    assert first.startswith("from tracker import")
    assert "Tracker(" in first
    assert first.count("\n") <= 12


@pytest.mark.parametrize("path", RUN, ids=name_of)
def test_blocks_run(
    path: Path,
    material: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(material, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for code in blocks(path, "python"):
        exec(compile(code, name_of(path), "exec"), names)
        assert capsys.readouterr().out or "print" not in code


@pytest.mark.parametrize("path", COMPILED, ids=name_of)
def test_other_blocks_are_python(path: Path) -> None:
    for code in blocks(path, "py"):
        compile(code, name_of(path), "exec")
        assert code.startswith("# Needs "), f"{name_of(path)}: say first what this block needs, such as # Needs a GPU"
