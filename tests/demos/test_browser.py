"""The page of demos/browser: its modules against Python's functions, and the page itself in Chromium."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks._lib.browser import (
    PAGE,
    Host,
    build_page,
    compressed_bytes,
    distances_px,
    drive,
    find_missing,
    serve,
    track_in_python,
    write_y4m,
)
from tools.browser_vectors import VECTORS, vectors
from tracker import FrameResult, Tracker
from tracker.engines.spec import KEY
from tracker.sources.demo import DemoClip
from tracker.system.ffmpeg import find_ffmpeg, run_ffmpeg
from tracker.weights.packaged import landmark_model

RATE = 30
GREY_LEVELS = 4  # between two versions of OpenCV


@pytest.fixture(scope="module")
def clip() -> DemoClip:
    """Four seconds of the demo clip, with a face that is covered for a while, and a cut."""
    pytest.importorskip("skimage", reason="needs scikit-image")
    return DemoClip(seconds=4.0, fps=RATE)


@pytest.fixture(scope="module")
def expected(clip: DemoClip) -> list[FrameResult]:
    """What Python gives for the clip, whose frames can be read once."""
    return track_in_python(clip)


@pytest.fixture(scope="module")
def node() -> str:
    if (program := shutil.which("node")) is None:
        pytest.skip("needs Node.js 20.19 or newer")
    return program


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the page, built from these sources."""
    if missing := find_missing():
        pytest.skip(missing)
    return build_page(tmp_path_factory.mktemp("browser") / "page")


@pytest.fixture
def host(page: Path, clip: DemoClip) -> Iterator[Host]:
    with serve(page, clip.picture) as running:
        yield running


def expect_same(found: Any, expected: Any, name: str) -> None:
    """Numbers by 1e-3 of theirs, texts of bytes by GREY_LEVELS."""
    assert type(found) is type(expected) or {type(found), type(expected)} == {int, float}, name
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), name
        for key in expected:
            expect_same(found[key], expected[key], f"{name}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), name
        for i, pair in enumerate(zip(found, expected)):
            expect_same(*pair, f"{name}[{i}]")
    elif isinstance(expected, str) and name.endswith((".data", ".pixels")):
        one, other = (np.frombuffer(base64.b64decode(text), np.uint8).astype(int) for text in (found, expected))
        assert one.shape == other.shape and np.abs(one - other).max() <= GREY_LEVELS, name
    else:
        assert found == (pytest.approx(expected, rel=1e-3, abs=1e-3) if isinstance(expected, float) else expected), name


def test_the_vectors_are_those_of_the_python_functions() -> None:
    pytest.importorskip("skimage", reason="needs scikit-image")
    expect_same(json.loads(json.dumps(vectors())), json.loads(VECTORS.read_text()), "vectors")


def test_the_lock_file_names_no_registry_and_pins_every_package() -> None:
    packages = json.loads((PAGE / "package-lock.json").read_text())["packages"]
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []


@pytest.mark.slow
def test_the_modules_give_what_python_gives(node: str) -> None:
    done = subprocess.run([node, "--test"], cwd=PAGE, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout
    assert "# pass 32" in done.stdout


@pytest.mark.slow
def test_the_modules_read_the_spec_of_the_packaged_model(node: str) -> None:
    script = """
        import { readFileSync } from "node:fs";
        import { readSpec } from "./src/tracking/spec.js";
        console.log(JSON.stringify(readSpec(new Uint8Array(readFileSync(process.argv[1])))));
    """
    command = [node, "--input-type=module", "--eval", script, str(landmark_model())]
    done = subprocess.run(command, cwd=PAGE, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    with Tracker() as tracker:
        expected = tracker.engine.spec.to_metadata()[KEY]
    found = json.loads(done.stdout)
    assert {"size", "presence", "scheme"} <= found.keys()
    assert {**json.loads(expected), **found} == json.loads(expected)


@pytest.mark.slow
def test_the_page_gives_pythons_points(host: Host, clip: DemoClip, expected: list[FrameResult]) -> None:
    seen = drive("frames", host.url, count=clip.count, rate=RATE)
    away = distances_px(seen["results"], expected)
    assert len(away) > 68 * 0.8 * clip.count
    assert np.median(away) <= 0.3
    assert np.percentile(away, 99) <= 1
    assert seen["errors"] == []
    assert {url.removeprefix("blob:").startswith(host.url) for url in seen["requests"]} == {True}


@pytest.mark.slow
def test_a_reset_while_a_detection_is_under_way_leaves_nothing_of_before(
    host: Host, expected: list[FrameResult]
) -> None:
    """The frame after a second begins a detection whose answer comes after the reset."""
    count = 10
    seen = drive("frames", host.url, count=count, rate=RATE, before=[0, RATE])
    away = distances_px(seen["results"], expected[:count])
    assert len(away) == 68 * count
    assert np.percentile(away, 99) <= 1
    assert seen["errors"] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("yunet*.onnx", "The file {} of this page could not be loaded: reload the page."),
        ("edge68*.onnx", "The file {} of this page could not be loaded: reload the page."),
        ("detector_worker*.js", "This browser cannot run the page's worker: try its newest version."),
    ],
)
def test_a_missing_file_of_the_page_is_one_sentence(page: Path, tmp_path: Path, missing: str, sentence: str) -> None:
    copy = shutil.copytree(page, tmp_path / "page")
    (file,) = (copy / "assets").glob(missing)
    file.unlink()
    with serve(copy) as host:
        assert drive("incomplete", host.url)["message"] == sentence.format(file.name)


@pytest.mark.slow
def test_the_page_is_small(page: Path) -> None:
    assert compressed_bytes(page) <= 8e6


@pytest.mark.slow
def test_nothing_leaves_the_pages_host(host: Host, page: Path) -> None:
    """Neither the page nor its two workers can ask another host, even where one answers."""
    with serve(page) as other:
        seen = drive("elsewhere", host.url, other=other.url)
        assert seen["answers"] == ["refused"] * 3
        assert other.requested == []
        assert any("Content Security Policy" in error for error in seen["errors"])
        assert drive("elsewhere", host.url, other=host.url)["answers"] == ["reached"] * 3


@pytest.mark.slow
def test_the_camera_is_followed_and_every_frame_accounted_for(host: Host, clip: DemoClip, tmp_path: Path) -> None:
    """Each frame that the browser has shown is tracked, counted as dropped, or on its way to the worker.

    On its way: one that waits, and one that is read, with those that were shown since the one read before.
    """
    plain_to_see = range(clip.covered.start)  # whenever the screenshot is taken
    camera = write_y4m(tmp_path / "clip.y4m", map(clip.picture, plain_to_see), RATE)
    screenshot = tmp_path / "page.png"
    live = drive("camera", host.url, clip=str(camera), seconds=3, screenshot=str(screenshot))
    seen = live["seen"]
    assert any(each["faces"] == 1 for each in seen)
    for count, each in enumerate(seen, 1):
        before, shown = each["shown"][0], each["shown"][-1]
        assert 0 <= shown - count - each["dropped"] <= 1 + max(shown - before, 1)
    assert np.all(np.diff([each["timestampS"] for each in seen]) > 0)
    assert live["errors"] == []
    teal = np.abs(cv2.imread(str(screenshot)).astype(int) - (200, 225, 45)).max(2) < 20
    assert teal[150:550].sum() > 100


@pytest.mark.slow
def test_a_refused_camera_is_one_sentence(host: Host) -> None:
    seen = drive("refused", host.url, viewport={"width": 380, "height": 780})
    assert seen["message"].startswith("The camera was not allowed: ") and seen["message"].count(".") == 1


@pytest.mark.slow
def test_a_picture_is_tracked(host: Host, clip: DemoClip, tmp_path: Path) -> None:
    file = tmp_path / "face.png"
    cv2.imwrite(str(file), cv2.cvtColor(clip.picture(0), cv2.COLOR_RGB2BGR))
    seen = drive("file", host.url, file=str(file))
    assert (seen["figures"]["faces"], seen["message"]) == ("1", "")


@pytest.mark.slow
def test_a_video_is_tracked(host: Host, clip: DemoClip, tmp_path: Path) -> None:
    if (ffmpeg := find_ffmpeg()) is None:
        pytest.skip("needs ffmpeg")
    raw = write_y4m(tmp_path / "clip.y4m", map(clip.picture, range(30)), RATE)
    done = run_ffmpeg(ffmpeg, "-i", str(raw), "-c:v", "libvpx", "-b:v", "2M", str(tmp_path / "clip.webm"))
    assert done.returncode == 0, done.stderr
    seen = drive("file", host.url, file=str(tmp_path / "clip.webm"))
    assert (seen["figures"]["faces"], seen["message"]) == ("1", "")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["notes.txt", "broken.png", "broken.mp4"])
def test_a_file_that_cannot_be_shown_is_one_sentence(host: Host, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no picture")
    seen = drive("file", host.url, file=str(tmp_path / name))
    assert seen["message"] == (
        f"This browser cannot show {name}: choose an MP4 or WebM video, or a JPEG or PNG picture."
    )
