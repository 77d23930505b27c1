"""MediaPipe's FaceMesh in a process of its own: pictures in on stdin, the points it finds out on stdout.

    python -m benchmarks._lib.facemesh_points plain|attention HEIGHT WIDTH

Says its versions in one line of JSON; then takes raw (H, W, 3) uint8 RGB pictures one after the other, and answers each
by one line: x and y of all its vertices as shares of the picture, or null for no face. Imports nothing of the tracker:
MediaPipe 0.10.21 lives in an environment of its own.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from benchmarks._lib.machine import versions


def main() -> None:
    """Serve until stdin ends."""
    import mediapipe  # type: ignore[import-not-found, unused-ignore]

    attention, height, width = sys.argv[1] == "attention", int(sys.argv[2]), int(sys.argv[3])
    mesh = mediapipe.solutions.face_mesh.FaceMesh(max_num_faces=1, refine_landmarks=attention)
    print(json.dumps(versions()), flush=True)
    while picture := sys.stdin.buffer.read(height * width * 3):
        faces = mesh.process(np.frombuffer(picture, np.uint8).reshape(height, width, 3)).multi_face_landmarks
        print(json.dumps([[p.x, p.y] for p in faces[0].landmark] if faces else None), flush=True)


if __name__ == "__main__":
    main()
