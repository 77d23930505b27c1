"""python -m benchmarks.speed: times a step against MediaPipe's FaceMesh, one tracked face, 640x480, one core."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks._lib.machine import machine
from benchmarks._lib.reports import check_report, write_report
from tracker.cli.command import run_command
from tracker.detectors.loading import DetectorName
from tracker.errors import TrackerError
from tracker.sources import open_source
from tracker.sources.demo import DemoClip
from tracker.weights.packaged import landmark_model

if TYPE_CHECKING:
    from typing_extensions import Self

MEDIAPIPE = "mediapipe==0.10.21"
SIZE = (640, 480)
MOST_FRAMES = 300
QUANTILES = (5, 25, 50, 75, 95, 99)
BUSY = 0.5  # load from which on timings are not to be believed
REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run the command line."""
    return run_command(speed, "benchmarks.speed")


def speed(
    video: Path | None = None,
    model: Path | None = None,
    detector: DetectorName = "auto",
    mediapipe_python: Path | None = None,
    rounds: int = 8,
    block: int = 100,
    report: Path = Path("runs/speed.json"),
) -> None:
    """Time both on the same frames, alternating: in each round, both have a turn of a block of frames.

    Args:
        video: frames to use instead of the demo clip's; the first 300, resized to 640x480.
        model: a landmark model (.onnx), or the name of a packaged one, edge68 if not given.
        detector: what finds the face in the first frame.
        mediapipe_python: a Python that has mediapipe; if not given, an environment is made in runs/.
        rounds: how many, after one to warm up.
        block: how many frames a turn has.
        report: the .json file to write.
    """
    check_report(report)
    python = mediapipe_python or mediapipe_environment(REPOSITORY / "runs" / MEDIAPIPE.replace("==", "-"))
    about = machine()
    core = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    options = {"model": str(landmark_model(model).resolve()), "detector": detector}
    with tempfile.TemporaryDirectory() as folder:
        frames = write_frames(pictures(video), Path(folder) / "frames.npy")
        with (
            Worker(Path(sys.executable), "tracker", frames, core, options) as ours,
            Worker(python, "facemesh", frames, core, {}) as theirs,
        ):
            turns = [(ours.turn(i * block, block), theirs.turn(i * block, block)) for i in range(rounds + 1)]
    sides = {
        "tracker": {"versions": ours.versions, **summary([turn for turn, _ in turns[1:]])},
        "facemesh": {"versions": theirs.versions, **summary([turn for _, turn in turns[1:]])},
    }
    record = {
        "machine": about,
        "core": core,
        "clip": str(video or "demo clip"),
        "rounds": rounds,
        "block": block,
        "ratio": ratio(*(side["ms"]["p50"] for side in sides.values())),
        "ratio_by_round": list(map(ratio, *(side["p50_ms_by_round"] for side in sides.values()))),
        **sides,
    }
    write_report(report, record)
    print(table(record), f"report: {report}", sep="\n")


def mediapipe_environment(folder: Path) -> Path:
    """Return the Python of an environment with MediaPipe in that folder, making it if necessary.

    Raises TrackerError when MediaPipe cannot be installed for this Python.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        print(f"installing {MEDIAPIPE} in {folder}")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = subprocess.run([python, "-m", "pip", "install", "--quiet", MEDIAPIPE], check=False)
        if pip.returncode != 0:
            shutil.rmtree(folder)
            raise TrackerError(
                f"{MEDIAPIPE} cannot be installed for {sys.executable}; it is made for Python 3.9 to 3.12: "
                "give such a Python that has it with --mediapipe-python"
            )
    return python


def pictures(video: Path | None) -> Iterator[NDArray[np.uint8]]:
    """Return RGB frames (480, 640, 3) of the video, or of the demo clip before its occlusion."""
    if video is None:
        clip = DemoClip(SIZE)
        yield from (clip.picture(index) for index in range(clip.covered.start))
        return
    with open_source(video) as source:
        for frame in islice(source, MOST_FRAMES):
            yield np.asarray(cv2.resize(frame.image_rgb, SIZE, interpolation=cv2.INTER_AREA), np.uint8)


def write_frames(frames: Iterator[NDArray[np.uint8]], path: Path) -> Path:
    """Write the frames as one .npy file (N, H, W, 3), which both sides read."""
    np.save(path, np.stack(list(frames)))
    return path


class Worker:
    """One side, see worker.py: a process pinned to one core, which steps only when it has a turn."""

    def __init__(self, python: Path, side: str, frames: Path, core: int | None, options: dict[str, Any]) -> None:
        command = [
            str(python),
            "-m",
            "benchmarks._lib.worker",
            side,
            str(frames),
            json.dumps({"core": core, **options}),
        ]
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
        )
        self._side = side
        self.versions = self._answer()

    def turn(self, first: int, count: int) -> dict[str, Any]:
        """Step over frames number first .. first + count."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{first} {count}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        """Raise TrackerError with the last message of a process that has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._complaints.seek(0)
            last = (self._complaints.read().strip() or "no message").splitlines()[-1]
            raise TrackerError(f"the {self._side} side has ended: {last}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()  # closing its stdin ends it
        self._complaints.close()


def summary(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Return milliseconds over all turns and by turn, and stages over the frames in which they ran."""
    by_round = [1000 * np.array(turn["seconds"]) for turn in turns]
    every = np.concatenate(by_round)
    steps = [stages for turn in turns for stages in turn["stages"]]
    names = sorted({name for stages in steps for name in stages})
    ran = {name: [1000 * stages[name] for stages in steps if name in stages] for name in names}
    return {
        "frames": len(every),
        "found": sum(turn["found"] for turn in turns),
        "ms": {f"p{q}": round(float(np.percentile(every, q)), 3) for q in QUANTILES},
        "p50_ms_by_round": [round(float(np.median(ms)), 3) for ms in by_round],
        "stages": {name: {"frames": len(ms), "p50_ms": round(float(np.median(ms)), 3)} for name, ms in ran.items()},
    }


def ratio(ours: float, theirs: float) -> float:
    """Return the ratio of the times; below 1, ours is faster."""
    return round(ours / theirs, 3)


def table(record: dict[str, Any]) -> str:
    """Format the record as a table."""
    about, ours, theirs = record["machine"], record["tracker"], record["facemesh"]
    low, high = min(record["ratio_by_round"]), max(record["ratio_by_round"])
    rounds = [f"{min(side['p50_ms_by_round'])} .. {max(side['p50_ms_by_round'])}" for side in (ours, theirs)]
    rows = [
        ("ms a frame", "tracker", "facemesh"),
        *((name, ours["ms"][name], theirs["ms"][name]) for name in ours["ms"]),
        ("p50 by round", *rounds),
        ("face found", *(f"{side['found']} of {side['frames']}" for side in (ours, theirs))),
    ]
    lines = [f"{a:14}{b!s:>18}{c!s:>18}" for a, b, c in rows]
    lines += [f"  {name:12}{s['p50_ms']:>18} (in {s['frames']})" for name, s in ours["stages"].items()]
    lines += [f"ratio of p50: {record['ratio']} ({low} .. {high} by round); below 1 tracker is faster"]
    lines += [f"{about['cpu']}, {about['cores']} cores, both on core {record['core']}, load {about['load']}"]
    if about["load"] > BUSY:
        lines.append("THIS MACHINE WAS BUSY: do not publish these figures")
    lines += [", ".join(f"{k} {v}" for k, v in side["versions"].items()) for side in (ours, theirs)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
