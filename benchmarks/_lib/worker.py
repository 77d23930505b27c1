"""One side of speed.py in a separate process: steps over frames on request, and reports the times.

    python -m benchmarks._lib.worker tracker|facemesh FRAMES.npy OPTIONS

It prints its versions as one line of JSON, then answers each line "FIRST COUNT" on stdin with one line of JSON. It
imports only NumPy before it knows its side, because MediaPipe 0.10.21 needs a separate environment.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._lib.machine import versions

FPS = 30.0
Step = Callable[[NDArray[np.uint8], int], tuple[bool, dict[str, float]]]
"""Takes an RGB frame and its number; gives whether a face was found, and seconds by stage."""


def tracker_step(options: dict[str, Any]) -> Step:
    """Return a function that runs our complete step in one thread."""
    import cv2

    from tracker import Frame, Tracker

    cv2.setNumThreads(1)
    tracker = Tracker(**options)

    def step(image_rgb: NDArray[np.uint8], number: int) -> tuple[bool, dict[str, float]]:
        result = tracker.step(Frame(image_rgb, number / FPS, number))
        return any(face.state == "tracking" for face in result.faces), result.stage_s

    return step


def facemesh_step(options: dict[str, Any]) -> Step:
    """Return a function that tracks one face with MediaPipe's FaceMesh; our options do not apply."""
    import mediapipe  # type: ignore[import-not-found, unused-ignore]

    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=False, max_num_faces=1)

    def step(image_rgb: NDArray[np.uint8], number: int) -> tuple[bool, dict[str, float]]:
        return mesh.process(image_rgb).multi_face_landmarks is not None, {}

    return step


def block(step: Step, frames: NDArray[np.uint8], first: int, count: int) -> dict[str, Any]:
    """Run steps first .. first + count over frames (N, H, W, 3), forwards and backwards to avoid jumps."""
    seconds, found, stages = [], 0, []
    for number in range(first, first + count):
        place = number % (2 * len(frames) - 2)
        image_rgb = np.array(frames[min(place, 2 * len(frames) - 2 - place)])
        start = time.perf_counter()
        seen, stage_s = step(image_rgb, number)
        seconds.append(time.perf_counter() - start)
        found += seen
        stages.append(stage_s)
    return {"seconds": seconds, "found": found, "stages": stages}


def main() -> None:
    """Serve until stdin ends."""
    side, path, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    core = options.pop("core")
    if core is not None:
        os.sched_setaffinity(0, {core})  # before any thread is started: they inherit it
    step = {"tracker": tracker_step, "facemesh": facemesh_step}[side](options)
    frames = np.load(path, mmap_mode="r")
    print(json.dumps(versions()), flush=True)
    for line in sys.stdin:
        first, count = map(int, line.split())
        print(json.dumps(block(step, frames, first, count)), flush=True)


if __name__ == "__main__":
    main()
