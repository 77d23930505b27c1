"""The Python of README and docs runs as it stands there.

Blocks of a page run one after the other, in a folder with clip.mp4, clip.csv and photos/. A block marked ```py needs
something that not every machine has, such as a GPU: it is compiled only.
"""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import cv2
import pytest

from tests.docs.pages import PAGES, ROOT, blocks, name_of
from tracker.run import run
from tracker.sources.demo import DemoClip

SIZE = (320, 240)
RUN = [path for path in PAGES if blocks(path, "python")]
COMPILED = [path for path in PAGES if blocks(path, "py")]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clip.mp4 with a dozen frames of the demo clip, clip.csv with its results, and photos/ with three frames."""
    pytest.importorskip("skimage.data", reason="needs scikit-image's astronaut picture")
    folder = tmp_path_factory.mktemp("material")
    (folder / "photos").mkdir()
    writer = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30, SIZE)
    with DemoClip(SIZE, seconds=1) as clip:
        for frame in islice(clip, 12):
            picture = cv2.cvtColor(frame.image_rgb, cv2.COLOR_RGB2BGR)
            writer.write(picture)
            if frame.index < 3:
                cv2.imwrite(str(folder / "photos" / f"{frame.index}.jpg"), picture)
    writer.release()
    run(video=str(folder / "clip.mp4"), csv=folder / "clip.csv")
    return folder


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
