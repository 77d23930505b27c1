"""MediaPipe's FaceMesh in a separate process: reads pictures from stdin, writes points to stdout.

    python -m benchmarks._lib.facemesh_points plain|attention HEIGHT WIDTH

It prints its versions as one line of JSON, then reads raw (H, W, 3) uint8 RGB pictures and answers each with one line:
x and y of all vertices as fractions of the picture, or null if there is no face. It does not import the tracker,
because MediaPipe 0.10.21 needs a separate environment.
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
