"""python -m benchmarks.blinks --videos '[CLIP, ...]': counts the eye closures that Blinks finds, by threshold."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

import tracker.analysis.expression
from tracker import Blink, Blinks, Landmarks, Tracker
from tracker.cli.command import run_command

Track = list[tuple[float, Landmarks]]


def main() -> int:
    """Run the command line."""
    return run_command(blinks, "benchmarks.blinks")


def blinks(videos: list[Path], threads: int = 1) -> None:
    """Print the closures in each clip with the default thresholds, then their number with other thresholds.

    Args:
        videos: clips of one face each.
        threads: of OpenCV.
    """
    cv2.setNumThreads(threads)
    tracks = [track(video) for video in videos]
    for video, face in zip(videos, tracks):
        times = ", ".join(f"{blink.start_s:.2f} s for {blink.duration_s:.2f}" for blink in closures(face))
        print(f"{video.name}, {len(face)} frames: {times or 'none'}")
    for share in np.arange(0.5, 0.9, 0.025):
        tracker.analysis.expression.CLOSED_BELOW, tracker.analysis.expression.OPEN_ABOVE = share, max(share + 0.1, 0.8)
        counts = [len(closures(face)) for face in tracks]
        print(f"closed below {share:.3f}: {sum(counts)} = {' + '.join(map(str, counts))}")


def track(video: Path) -> Track:
    """Return the raw landmarks of the first face in each frame in which it was measured."""
    return [
        (result.timestamp_s, face.raw)
        for result in Tracker(max_faces=1).run(video)
        for face in result.faces
        if face.state == "tracking"
    ]


def closures(face: Track) -> list[Blink]:
    """Find the closures of the eyes in a track."""
    found = Blinks()
    return [blink for seconds, landmarks in face if (blink := found.step(landmarks, seconds))]


if __name__ == "__main__":
    sys.exit(main())
