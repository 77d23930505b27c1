"""A fake of train/labels/facemesh_worker.py, for tests: it speaks its protocol, but sees a face in two green dots, the
eyes, and a blue one, the chin, and lays the mesh of the .npy file beside it between them. The green dot farther left is
the subject's right eye.

The red of a picture's middle says what it shall do: 50: see no face; 100: give each view other points, by 6 pixels;
150: end without an answer, leaving a last word.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import numpy as np

VERTICES = 478
OUT = sys.stdout.buffer


def mesh_between(picture: np.ndarray, mesh: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    green, blue = ((picture[..., channel] > 180).nonzero() for channel in (1, 2))
    middle = picture[len(picture) // 2, len(picture) // 2, 0]
    if 125 < middle < 175:
        sys.exit("the fake teacher was told to end")
    if 25 < middle <= 75 or not (len(green[0]) and len(blue[0])):
        return np.full((VERTICES, 3), np.nan)
    ys, xs = green
    split = (xs.min() + xs.max()) / 2
    right, left = (np.array([xs[side].mean(), ys[side].mean()]) for side in (xs <= split, xs > split))
    chin = np.array([blue[1].mean(), blue[0].mean()])
    eyes = (right + left) / 2
    points = eyes + mesh[:, :1] * (left - right) + mesh[:, 1:2] * (chin - eyes)
    if 75 < middle <= 125:
        points = points + rng.normal(0, 6, points.shape)
    depth = mesh[:, 2:] * np.linalg.norm(left - right)
    return np.hstack([points + 0.5, depth]) / (picture.shape[1], picture.shape[0], picture.shape[1])


def main() -> None:
    mesh = np.load(Path(__file__).with_suffix(".npy"))
    about = {"name": "facemesh", "vertices": VERTICES, "edges": [[0, 1]], "sha256": {"fake": "0"}}
    OUT.write(json.dumps(about).encode() + b"\n")
    OUT.flush()
    rng = np.random.default_rng(0)
    while header := sys.stdin.buffer.read(12):
        count, height, width = struct.unpack("<3I", header)
        pictures = np.frombuffer(sys.stdin.buffer.read(count * height * width * 3), np.uint8)
        pictures = pictures.reshape(count, height, width, 3)
        OUT.write(np.stack([mesh_between(picture, mesh, rng) for picture in pictures]).astype("<f4").tobytes())
        OUT.flush()


if __name__ == "__main__":
    main()
