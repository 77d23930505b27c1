"""MediaPipe's FaceMesh with attention in a process of its own: batches of pictures in on stdin, meshes out on stdout.

    OTHER/bin/python train/labels/facemesh_worker.py

Says in one line of JSON what it is: its versions, its weights with their SHA-256, how many vertices a mesh has and
which of them its surface joins. Then takes batches: count, height and width as three little-endian uint32, and the RGB
pictures (count, H, W, 3) uint8. It answers each batch by (count, vertices, 3) little-endian float32: x and y as shares
of the picture's width and height from its edges, z as a share of its width, smaller is nearer; NaN where there is no
face. Ends when stdin ends.

Needs NumPy and MediaPipe and nothing of this project: MediaPipe 0.10.21 lives in an environment of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np

VERTICES = 478
WEIGHTS = (
    "modules/face_landmark/face_landmark_with_attention.tflite",
    "modules/face_detection/face_detection_short_range.tflite",
)
TELEMETRY = (0, 10, 35)  # the first release that reports to its maker how it is used


def main() -> None:
    """Serve until stdin ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not get among the answers
    os.environ.setdefault("GLOG_minloglevel", "3")
    import mediapipe  # type: ignore[import-not-found, unused-ignore]

    if tuple(map(int, mediapipe.__version__.split(".")[:3])) >= TELEMETRY:
        sys.exit(
            f"expected mediapipe 0.10.21, got {mediapipe.__version__}, which reports its use; install the older one"
        )
    answers.write(json.dumps(about(mediapipe)).encode() + b"\n")
    answers.flush()
    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1, refine_landmarks=True)
    while header := sys.stdin.buffer.read(12):
        count, height, width = struct.unpack("<3I", header)
        data = sys.stdin.buffer.read(count * height * width * 3)
        pictures = np.frombuffer(data, np.uint8).reshape(count, height, width, 3)
        answers.write(np.stack([vertices(mesh, picture) for picture in pictures]).astype("<f4").tobytes())
        answers.flush()


def about(mediapipe: Any) -> dict[str, Any]:
    """Return what this teacher is."""
    folder = Path(mediapipe.__file__).parent
    return {
        "name": "facemesh",
        "vertices": VERTICES,
        "edges": sorted(mediapipe.solutions.face_mesh.FACEMESH_TESSELATION),
        "versions": {
            "python": platform.python_version(),
            "mediapipe": mediapipe.__version__,
            "numpy": np.__version__,
        },
        "sha256": {Path(path).name: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in WEIGHTS},
    }


def vertices(mesh: Any, picture: Any) -> Any:
    """Return the mesh (VERTICES, 3) of the face in a picture, NaN if there is none."""
    faces = mesh.process(picture).multi_face_landmarks
    if not faces:
        return np.full((VERTICES, 3), np.nan)
    return np.array([(p.x, p.y, p.z) for p in faces[0].landmark])


if __name__ == "__main__":
    main()
