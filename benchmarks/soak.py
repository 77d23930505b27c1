"""python -m benchmarks.soak --root DIR: memory over 200,000 frames with faces that come and go."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks._lib.machine import machine, versions
from benchmarks._lib.reports import check_report, write_report
from tracker import Frame, Tracker, TrackerError
from tracker.cli.command import run_command
from tracker.datasets.pts_files import PICTURE_SUFFIXES, read_pts
from tracker.detectors.loading import DetectorName
from tracker.face.crop import Roi, crop, roi_of_landmarks
from tracker.sinks import JsonLines, OpenFaceCsv
from tracker.sources import read_picture

Image = NDArray[np.uint8]

PROC = Path("/proc/self")
FPS = 30.0
WIDTH, HEIGHT, FACE_PX = 640, 480, 150
GREY = 120
PEOPLE = 6
FACES = 4  # fewer than people: some must be refused, some displaced
PRESENT = 0.3  # of its period each is on the stage
EVERY = 1000  # frames between two looks at the process
SETTLED = 5000  # frames after which nothing may grow any more
BAR_MIB = 5.0


@dataclass(frozen=True)
class Look:
    """The process after that many frames: resident memory, threads, open handles, ids given so far."""

    frames: int
    resident_mib: float
    threads: int
    handles: int
    identities: int


def main() -> int:
    """Run the command line."""
    return run_command(soak, "benchmarks.soak")


def soak(
    root: Path,
    frames: int = 200_000,
    minutes: float = math.inf,
    report: Path = Path("runs/soak.json"),
    model: Path | None = None,
    detector: DetectorName = "auto",
) -> None:
    """Track faces that come, cross and go, and write JSONL and CSV; check the process every 1,000 frames.

    Args:
        root: a folder of NAME.jpg or .png with NAME.pts, as the LFPW test set of 300W; the first six faces are taken.
        frames: how many, more than 5,000.
        minutes: end after so long, with what has been seen by then.
        report: the .json file to write.
        model: a landmark model; the packaged one if not given.
        detector: what finds the faces.
    """
    check_report(report)
    if not PROC.exists():
        raise TrackerError(f"the process is looked at in {PROC}, which Linux has and {sys.platform} has not")
    if frames <= SETTLED:
        raise TrackerError(f"--frames must be more than {SETTLED}, from which on growth is counted, got {frames}")
    faces = people(root)
    about, start = machine(), time.monotonic()
    looks, visits = run(Tracker(model, detector, max_faces=FACES), faces, frames, start + 60 * minutes)
    record = {
        **verdict(looks),
        "visits": visits,
        "seconds": round(time.monotonic() - start),
        "machine": about,
        "versions": versions(),
        "looks": [asdict(look) for look in looks],
    }
    write_report(report, record)
    print(table(record), f"report: {report}", sep="\n")


def people(root: Path) -> list[Image]:
    """Return square pictures of the first faces; raise TrackerError if there are too few."""
    faces = []
    for path in sorted(p for p in root.glob("*") if p.suffix.lower() in PICTURE_SUFFIXES)[:PEOPLE]:
        image_rgb, labels = read_picture(path), path.with_suffix(".pts")
        if image_rgb is not None and labels.exists():
            roi = roi_of_landmarks(read_pts(labels))
            faces.append(crop(image_rgb, Roi(roi.center_px, 1.3 * roi.side_px), FACE_PX))
    if len(faces) < PEOPLE:
        raise TrackerError(f"{root}: expected {PEOPLE} pictures with labels NAME.pts, its first ones have {len(faces)}")
    return faces


def cycle(person: int, seconds: float) -> tuple[int, float]:
    """Return how many passes a person has completed, and the fraction of the present one, 0 .. 1.

    All periods differ, so that the persons meet in new combinations.
    """
    turns, part = divmod(seconds / (23.0 + 3.1 * person) + 0.37 * person, 1.0)
    return int(turns), part


def scene(faces: Sequence[Image], index: int) -> Image:
    """Render a frame (480, 640, 3): each face moves from one side to the other, every other one leftwards."""
    picture: Image = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    for person, face in enumerate(faces):
        _, part = cycle(person, index / FPS)
        walked = part / PRESENT
        x = round((WIDTH + FACE_PX) * (walked if person % 2 else 1 - walked)) - FACE_PX
        y = 20 + 140 * (person % 3) + round(15 * math.sin(40 * part))
        left, right = max(x, 0), min(x + FACE_PX, WIDTH)
        if walked < 1 and left < right:
            picture[y : y + FACE_PX, left:right] = face[:, left - x : right - x]
    return picture


def run(tracker: Tracker, faces: Sequence[Image], frames: int, until_s: float) -> tuple[list[Look], int]:
    """Run all frames; return the observations of the process, and how many visits there were."""
    looks: list[Look] = []
    identities = done = 0
    with ExitStack() as stack:  # gigabytes of results, which nobody reads
        sinks = (
            stack.enter_context(JsonLines(os.devnull)),
            stack.enter_context(OpenFaceCsv(os.devnull, tracker.scheme)),
        )
        for index in tqdm(range(frames), disable=None, mininterval=5):
            frame = Frame(scene(faces, index), index / FPS, index)
            result = tracker.step(frame)
            for sink in sinks:
                sink.write(frame, result)
            identities = max([identities, *(face.id for face in result.faces)])
            done = index + 1
            if done % EVERY == 0:
                looks.append(look(done, identities))
                if time.monotonic() > until_s:
                    break
    starts = sum(1 for person in range(len(faces)) if cycle(person, 0)[1] < PRESENT)
    return looks, starts + sum(cycle(person, done / FPS)[0] - cycle(person, 0)[0] for person in range(len(faces)))


def look(frames: int, identities: int) -> Look:
    """Observe this process now."""
    status = dict(line.split(":", 1) for line in (PROC / "status").read_text().splitlines())
    handles = len(os.listdir(PROC / "fd"))
    resident_mib = int(status["VmRSS"].split()[0]) / 1024
    return Look(frames, round(resident_mib, 2), int(status["Threads"]), handles, identities)


def verdict(looks: Sequence[Look]) -> dict[str, object]:
    """Return what has changed since the process was stable; raise TrackerError if it never was."""
    settled = [each for each in looks if each.frames >= SETTLED]
    if len(settled) < 2:
        raise TrackerError(f"ended before {SETTLED + EVERY} frames, too early to say anything; give it more --minutes")
    first, last = settled[0], settled[-1]
    return {
        "frames": last.frames,
        "settled_mib": first.resident_mib,
        "end_mib": last.resident_mib,
        "most_mib": max(each.resident_mib for each in settled),
        "growth_mib": round(last.resident_mib - first.resident_mib, 2),
        "threads": sorted({each.threads for each in settled}),
        "handles": sorted({each.handles for each in settled}),
        "identities": last.identities,
    }


def table(record: dict[str, object]) -> str:
    """Format the record as a table."""
    kept = abs(float(str(record["growth_mib"]))) <= BAR_MIB
    return "\n".join(
        [
            f"{record['frames']} frames in {record['seconds']} s, "
            f"{record['visits']} visits, {record['identities']} identities",
            f"resident MiB: {record['settled_mib']} after {SETTLED} frames, {record['end_mib']} at the end, at most "
            f"{record['most_mib']}; growth {record['growth_mib']}, bar {BAR_MIB}: {'kept' if kept else 'MISSED'}",
            f"threads {record['threads']}, handles {record['handles']} (constant where there is one number)",
            f"{record['machine']}",
            f"{record['versions']}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
