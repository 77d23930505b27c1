"""python -m benchmarks.closures: closures of the eyes that were missed or found falsely, against labelled frames."""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

from tracker import Blink, EyeMonitor, Tracker
from tracker.cli.command import run_command
from tracker.errors import TrackerError
from tracker.sources import open_source
from tracker.system.files import read_text

MOST_BYTES = 1 << 24  # of a table of labels
NEAR_FRAMES = 2
"""A found closure is not false if closed or partly closed eyes were seen so near to it."""


@dataclass(frozen=True)
class Run:
    """Frames first to last, both included, of one state."""

    first: int
    last: int
    state: str

    def touches(self, first: int, last: int) -> bool:
        """Tell whether it shares a frame with those from first to last."""
        return first <= self.last and last >= self.first


Found = list[tuple[int, int, bool]]


def main() -> int:
    """Run the command line."""
    return run_command(closures, "benchmarks.closures")


def closures(labels: Path, videos: list[Path] | Path, model: Path | None = None) -> None:
    """Print, for each clip, the closures that were found, said to be untold, missed, and found falsely.

    Args:
        labels: a table of clip, licence, use, first_frame, last_frame, state.
        videos: clips that the table names.
        model: a landmark model; the packaged default without it.
    """
    truth = read_labels(labels)
    for video in [videos] if isinstance(videos, Path) else videos:
        if video.name not in truth:
            raise TrackerError(f"--videos: expected clips that {labels} names, got {video.name}")
        found, unknown, seconds = find_closures(video, model)
        closed = [run for run in truth[video.name] if run.state == "closed"]
        down = [run for run in truth[video.name] if run.state == "down"]
        told = [_touched(run, found, told=True) for run in closed]
        untold = [not was and _touched(run, found, told=False) for run, was in zip(closed, told)]
        false = [each for each in found if each[2] and not _explained(each, truth[video.name])]
        frames = [frame for run in closed for frame in range(run.first, run.last + 1)]
        covered = sum(any(first <= frame <= last for first, last, _ in found) for frame in frames)
        print(
            f"{video.name}, {seconds:.1f} s: {len(closed)} closures, {sum(told)} found, {sum(untold)} untold, "
            f"{len(closed) - sum(told) - sum(untold)} missed, {covered} of {len(frames)} closed frames in them; "
            f"false {len(false)} = {60 * len(false) / seconds:.1f} a "
            f"minute; {len(down)} looks down, {sum(_touched(run, false, told=True) for run in down)} called closed; "
            f"{unknown} frames unknown"
        )
        print("  " + ", ".join(f"{first}-{last}{'' if told else ' untold'}" for first, last, told in found))


def read_labels(path: Path) -> dict[str, list[Run]]:
    """The runs of frames of each clip. Raises TrackerError for a file that cannot be read or is no such table."""
    truth: dict[str, list[Run]] = {}
    try:
        rows = csv.DictReader(read_text(path, MOST_BYTES).splitlines())
        for row in rows:
            run = Run(int(row["first_frame"]), int(row["last_frame"]), row["state"])
            truth.setdefault(row["clip"], []).append(run)
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        wanted = "a table with the columns clip, first_frame, last_frame and state, whole numbers in two of them"
        raise TrackerError(f"--labels {path}: expected {wanted} ({error})") from None
    return truth


def find_closures(video: Path, model: Path | None) -> tuple[Found, int, float]:
    """(first frame, last frame, told) of each closure, how many frames were unknown, and the clip's seconds."""
    tracker, monitor, times, blinks, unknown = Tracker(model=model), EyeMonitor(), [], [], 0
    report = None
    for frame in open_source(video):
        times.append(frame.timestamp_s)
        faces = tracker.step(frame).faces
        if not faces:
            unknown += 1
            continue
        report = monitor.step(faces[0], frame.image_rgb, frame.timestamp_s)
        unknown += report.state == "unknown"
        if report.blink:
            blinks.append(report.blink)
    step_s = (times[-1] - times[0]) / (len(times) - 1)
    if report and report.state in ("closed", "untold"):  # lids that were down when the clip ended
        blinks.append(Blink(times[-1] - report.down_s, report.down_s + step_s, report.state == "closed"))
    frames = [
        (round(each.start_s / step_s), round((each.start_s + each.duration_s) / step_s) - 1, each.told)
        for each in blinks
    ]
    return frames, unknown, times[-1] - times[0] + step_s


def _touched(run: Run, found: Found, told: bool) -> bool:
    return any(run.touches(first, last) for first, last, was_told in found if was_told == told)


def _explained(each: tuple[int, int, bool], runs: list[Run]) -> bool:
    seen = (run for run in runs if run.state in ("closed", "partial"))
    return any(run.touches(each[0] - NEAR_FRAMES, each[1] + NEAR_FRAMES) for run in seen)


if __name__ == "__main__":
    sys.exit(main())
