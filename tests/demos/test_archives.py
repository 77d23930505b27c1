"""Archives by Ray Data and by Daft: 24 videos, a worker killed in the middle; none is lost, none twice."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from tracker import Tracker, track_to_parquet, unfinished_videos
from tracker.sources.demo import DemoClip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the workers in /proc"),
]
pq = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow, of the extra parquet")
ROOT = Path(__file__).parents[2]
COUNT, FRAMES = 24, 24
ENGINES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"needs {name}, of the extra {name}"),
    )
    for name in ("ray", "daft")
]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of the demo's moving face in two folders, with the same names in both, each another part of it."""
    pytest.importorskip("skimage.data", reason="needs scikit-image's astronaut picture")
    folder = tmp_path_factory.mktemp("archive") / "videos"
    pictures = [cv2.cvtColor(frame.image_rgb, cv2.COLOR_RGB2BGR) for frame in DemoClip((320, 240), seconds=3)]
    for number in range(COUNT):
        path = folder / "ab"[number % 2] / f"{number // 2}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (320, 240))
        for index in range(FRAMES):
            writer.write(pictures[(2 * number + index) % len(pictures)])
        writer.release()
    return folder


@pytest.fixture(scope="module")
def expected(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a plain loop."""
    folder = tmp_path_factory.mktemp("loop")
    with Tracker() as tracker:
        for video, result in unfinished_videos(videos, folder):
            track_to_parquet(video, result, tracker)
    return folder


def start(engine: str, videos: Path, results: Path) -> subprocess.Popen[str]:
    """The demo with two workers; Ray keeps a file in its user's home, which is another folder here."""
    home = results.parent / "home"
    home.mkdir(exist_ok=True)
    variables = {"HOME": str(home), "PYTHONPATH": str(ROOT), "RAY_raylet_start_wait_time_s": "120"}
    command = [sys.executable, f"demos/archive_{engine}.py", str(videos), str(results), "2"]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(results: Path) -> list[str]:
    return sorted(str(path.relative_to(results)) for path in results.rglob("*") if path.is_file())


def writers(results: Path) -> Iterator[int]:
    """The processes that have a result in the making open."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            opened = [os.readlink(descriptor) for descriptor in (process / "fd").iterdir()]
        except OSError:  # it has ended, or is another user's
            continue
        if any(name.startswith(f"{results}/") and name.endswith(".part.parquet") for name in opened):
            yield int(process.name)


def kill_a_worker(process: subprocess.Popen[str], results: Path) -> None:
    """Once a quarter of the results is there and while a worker is in the middle of a video."""
    while process.poll() is None:
        if len(list(results.rglob("*.mp4.parquet"))) >= COUNT // 4:
            for worker in writers(results):
                assert worker not in (process.pid, os.getpid())
                os.kill(worker, signal.SIGKILL)
                return
        time.sleep(0.01)
    out, err = process.communicate()
    skip_without_ray(err)
    pytest.fail(f"ended before a worker was killed: {out}{err}")


def skip_without_ray(error: str) -> None:
    """Ray gives up where its own services take more than half a minute to start."""
    if "The current node timed out during startup" in error:
        pytest.skip("this machine is too busy to start Ray")


def said(output: str) -> list[str]:
    """The videos that the demo reports as done."""
    return re.findall(r"^(/.*\.mp4): \d+ rows$", output, re.M)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_worker_is_killed_in_the_middle(engine: str, videos: Path, expected: Path, tmp_path: Path) -> None:
    """Ray replaces the worker and goes on; Daft gives up, and is started again."""
    results = tmp_path / "results"
    process = start(engine, videos, results)
    kill_a_worker(process, results)
    out, err = process.communicate(timeout=600)
    if engine == "daft":
        assert (process.returncode, "start it again" in err) == (1, True), err
        while any(writers(results)):  # the other worker ends its video
            time.sleep(0.1)
        before = {path: path.stat() for path in results.rglob("*.mp4.parquet")}
        assert COUNT // 4 <= len(before) < COUNT
        process = start(engine, videos, results)
        out, err = process.communicate(timeout=600)
        assert len(said(out)) == COUNT - len(before)
        for path, status in before.items():  # what was there was not made a second time
            assert (path.stat().st_ino, path.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)
    else:
        assert len(said(out)) == COUNT
    assert process.returncode == 0, err
    assert len(set(said(out))) == len(said(out))
    assert finished(results) == finished(expected)  # no file in the making, either
    assert len(finished(results)) == COUNT
    for name in finished(expected):
        assert pq.read_table(results / name).equals(pq.read_table(expected / name), check_metadata=True), name


@pytest.mark.parametrize("engine", ENGINES)
def test_the_rest_after_a_crash(engine: str, videos: Path, expected: Path, tmp_path: Path) -> None:
    """Only what is not there is tracked; a damaged video is reported, and the others go on."""
    archive, results = tmp_path / "videos", tmp_path / "results"
    for name in ("a/0.mp4", "a/1.mp4", "b/0.mp4"):
        (archive / name).parent.mkdir(parents=True, exist_ok=True)
        (archive / name).write_bytes((videos / name).read_bytes())
    (archive / "a/2.mp4").write_bytes(b"no video")
    (results / "a").mkdir(parents=True)
    (results / "a/0.mp4.parquet").write_text("made before")
    out, err = start(engine, archive, results).communicate(timeout=600)
    skip_without_ray(err)
    assert sorted(said(out)) == [str(archive / "a/1.mp4"), str(archive / "b/0.mp4")], err
    assert re.search(r"^/.*/a/2\.mp4: .*2\.mp4", out, re.M)
    assert finished(results) == ["a/0.mp4.parquet", "a/1.mp4.parquet", "b/0.mp4.parquet"]
    assert (results / "a/0.mp4.parquet").read_text() == "made before"
    table = pq.read_table(results / "b/0.mp4.parquet").drop_columns("source")
    assert table.equals(pq.read_table(expected / "b/0.mp4.parquet").drop_columns("source"))
