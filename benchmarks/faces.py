"""python -m benchmarks.faces: times four faces against one, on one core and on all cores."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks._lib.machine import machine, versions
from benchmarks._lib.reports import check_report, write_report
from tracker import Frame, Tracker
from tracker.cli.command import run_command
from tracker.sources.demo import DemoClip

PLACES = ((0, 0), (320, 0), (0, 240), (320, 240))  # of the faces' pictures, 320 x 240 each
ROUNDS, FRAMES = 8, 120
FACES = (1, 4)


def main() -> int:
    """Run the command line."""
    return run_command(faces, "benchmarks.faces")


def faces(report: Path = Path("runs/faces.json"), model: str = "edge68") -> None:
    """Time Tracker.step with one and with four faces of the demo clip in 640 x 480, in turns; Linux only.

    Args:
        report: the .json file to write.
        model: a landmark model, or the name of a packaged one.
    """
    check_report(report)
    cv2.setNumThreads(1)
    all_cores = os.sched_getaffinity(0)
    record = {"machine": machine(), "versions": versions(), "model": model, "ms": {}}
    for cores in ({max(all_cores)}, all_cores):
        os.sched_setaffinity(0, cores)  # before the trackers are made, which look how many there are
        record["ms"][str(len(cores))] = timed(model)  # type: ignore[index]
    write_report(report, record)
    print(table(record["ms"]), record["machine"], sep="\n")  # type: ignore[arg-type]


def timed(model: str) -> dict[int, list[float]]:
    """Return the median in ms of each round, over frames without the detector; the first round is a warm-up."""
    pictures = {count: [picture(index, count) for index in range(60)] for count in FACES}
    trackers = {count: Tracker(model, max_faces=count) for count in FACES}
    medians: dict[int, list[float]] = {count: [] for count in FACES}
    for turn in range(ROUNDS + 1):
        for count, tracker in trackers.items():
            times = [step(tracker, pictures[count], turn * FRAMES + n, count) for n in range(FRAMES)]
            if turn:
                medians[count].append(1000 * float(np.nanmedian(times)))
    return medians


def step(tracker: Tracker, pictures: list[NDArray[np.uint8]], index: int, count: int) -> float:
    """Time a step in seconds, NaN if the detector ran; the pictures are played forwards and backwards."""
    place = index % (2 * len(pictures) - 2)
    frame = Frame(pictures[min(place, 2 * len(pictures) - 2 - place)], index / 30, index)
    start = time.perf_counter()
    result = tracker.step(frame)
    seconds = time.perf_counter() - start
    measured = sum(face.state == "tracking" for face in result.faces)
    assert measured == count, f"expected {count} faces in frame {index}, tracked {measured}"
    return float("nan") if "detect" in result.stage_s else seconds


def picture(index: int, count: int) -> NDArray[np.uint8]:
    """Return a picture (480, 640, 3) RGB with so many faces, each at another moment of the clip."""
    clip, image = _CLIP, np.full((480, 640, 3), 120, np.uint8)
    for n, (x, y) in enumerate(PLACES[:count]):
        image[y : y + 240, x : x + 320] = clip.picture(index + 20 * n)
    return image


_CLIP = DemoClip(size=(320, 240))


def table(ms: dict[str, dict[int, list[float]]]) -> str:
    """Format as Markdown: medians over the rounds and their range, and the ratio round by round."""
    rows = ["| cores | one face, ms | four faces, ms | ratio |", "| --- | --- | --- | --- |"]
    for cores, times in ms.items():
        cells = [f"{np.median(t):.2f} ({min(t):.2f} to {max(t):.2f})" for t in times.values()]
        ratios = np.divide(*(np.array(times[count]) for count in reversed(FACES)))
        rows.append(
            f"| {cores} | {' | '.join(cells)} | {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f}) |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
