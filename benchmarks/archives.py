"""python -m benchmarks.archives: videos into Parquet files by Ray Data and by Daft, against a plain loop."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from benchmarks._lib.machine import machine, versions
from benchmarks._lib.reports import check_report, write_report
from tracker import TrackerError, unfinished_videos
from tracker.cli.command import run_command
from tracker.sources.demo import DemoClip
from tracker.system.extras import describe_missing

PACKAGES = ("numpy", "opencv-python", "onnxruntime", "pyarrow", "ray", "daft")
REPOSITORY = Path(__file__).resolve().parents[1]
LOOP = """
import sys, cv2
from tracker import Tracker, track_to_parquet, unfinished_videos
cv2.setNumThreads(1)
with Tracker() as tracker:
    for video, result in unfinished_videos(*sys.argv[1:]):
        track_to_parquet(video, result, tracker)
"""


def main() -> int:
    """Run the command line."""
    return run_command(archives, "benchmarks.archives")


def archives(
    clips: int = 24,
    seconds: float = 10.0,
    rounds: int = 3,
    workers: int = os.cpu_count() or 1,
    report: Path = Path("runs/archives.json"),
) -> None:
    """Track copies of the demo clip into Parquet files, in turns by a plain loop and by the demos of Ray Data and Daft.

    The time of a turn is that of a whole process, its start included. The loop is one process, and so is each worker.
    What is not installed is left out.

    Args:
        clips: how many videos.
        seconds: of each video, at 30 frames a second.
        rounds: how often each has its turn, after one that is not counted.
        workers: how many workers Ray and Daft have: one, and so many.
        report: the .json file to write.
    """
    check_report(report)
    if find_spec("pyarrow") is None:
        raise TrackerError(f"the benchmark {describe_missing('pyarrow', 'parquet')}")
    about = machine()
    sides: dict[str, tuple[list[str], list[str]]] = {"loop": (["-c", LOOP], [])}  # before the folders, and after
    pools = [("ray", 1), ("ray", workers), ("daft", 1), ("daft", workers)]
    for engine, count in dict.fromkeys(pools):
        if find_spec(engine) is not None:
            sides[f"{engine}, workers: {count}"] = ([f"demos/archive_{engine}.py"], [str(count)])
    seconds_by_side: dict[str, list[float]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder) / "videos"
        frames = clips * _make_videos(videos, clips, seconds)
        for turn in range(rounds + 1):
            for name, (program, words) in sides.items():
                results = Path(folder) / f"{name} {turn}"
                taken_s = _run([*program, str(videos), str(results), *words])
                if unfinished_videos(videos, results):
                    raise TrackerError(f"{name}: a turn ended without the results of all videos")
                if turn:
                    seconds_by_side[name].append(taken_s)
    rates = {name: [round(frames / taken_s, 1) for taken_s in taken] for name, taken in seconds_by_side.items()}
    record = {"machine": about, "versions": versions(PACKAGES), "frames": frames, "frames_per_s": rates}
    write_report(report, record)
    loop = float(np.median(rates["loop"]))
    for name, values in rates.items():
        median = float(np.median(values))
        print(f"{name}: {median:.0f} frames/s ({min(values):.0f} to {max(values):.0f}), {median / loop:.2f}x the loop")
    print(f"load of the machine before: {about['load']}; written: {report}")


def _make_videos(folder: Path, clips: int, seconds: float) -> int:
    """Write the demo clip, and names for it; how many frames it has."""
    folder.mkdir()
    clip = DemoClip(seconds=seconds)
    writer = cv2.VideoWriter(str(folder / "0.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30, clip.size)
    count = 0
    for frame in clip:
        writer.write(cv2.cvtColor(frame.image_rgb, cv2.COLOR_RGB2BGR))
        count += 1
    writer.release()
    for number in range(1, clips):
        os.link(folder / "0.mp4", folder / f"{number}.mp4")
    return count


def _run(arguments: list[str]) -> float:
    """Seconds that a fresh Python takes. Raises TrackerError with its last words when it fails."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    start_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    taken_s = time.perf_counter() - start_s
    if done.returncode != 0:
        raise TrackerError(f"a turn failed: {done.stderr.strip().splitlines()[-1:]}")
    return taken_s


if __name__ == "__main__":
    sys.exit(main())
