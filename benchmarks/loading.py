"""python -m benchmarks.loading: augmented faces that a worker loads per second, with and without cached pictures."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks._lib.machine import machine, versions
from benchmarks._lib.reports import check_report, write_report
from tracker.cli.command import run_command
from tracker.datasets.sample import Sample
from tracker.datasets.w300 import read_folder
from tracker.face.schemes import IBUG68
from train.augmentation import Augmentation
from train.loaders import AugmentedCrops, Crops

SIDES = (256, 512, 1024, 2048)  # of the picture; the face fills the same part of it
PICTURES = 32
ROUNDS = 5


def main() -> int:
    """Run the command line."""
    return run_command(loading, "benchmarks.loading")


def loading(
    root: Path = Path("../shared/data/300w"), size: int = 256, report: Path = Path("runs/loading.json")
) -> None:
    """Load the same faces from pictures of several sizes, alternating with and without the cache; print a table.

    Args:
        root: 300W, with afw in it, whose pictures are enlarged or shrunk to each size.
        size: of the crops.
        report: the .json file to write.
    """
    check_report(report)
    cv2.setNumThreads(1)  # what one worker does
    faces = read_folder(root / "afw")[:PICTURES]
    with tempfile.TemporaryDirectory() as folder:
        sets = {side: resized(faces, side, Path(folder)) for side in SIDES}
        loaders = {
            (side, kept): AugmentedCrops(Crops(samples, size, keep_gb=kept * 100.0), Augmentation(), seed=1)
            for side, samples in sets.items()
            for kept in (True, False)
        }
        rates: dict[tuple[int, bool], list[float]] = {key: [] for key in loaders}
        for turn in range(ROUNDS + 1):
            for key, crops in loaders.items():
                rates[key] += [faces_per_second(crops, turn)] if turn else []  # the first turn warms up
    record = {
        "machine": machine(),
        "versions": versions(),
        "crop": size,
        "faces_per_s": {f"{side} px, {'kept' if kept else 'decoded anew'}": r for (side, kept), r in rates.items()},
    }
    write_report(report, record)
    print(table(rates), record["machine"], sep="\n")


def resized(faces: list[Sample], side: int, folder: Path) -> list[Sample]:
    """Save the faces in JPEG pictures whose larger side has that many pixels."""
    samples = []
    for i, face in enumerate(faces):
        image = face.read_image()
        scale = side / max(image.shape)
        picture = folder / f"{side}_{i}.jpg"
        cv2.imwrite(str(picture), cv2.resize(image, None, fx=scale, fy=scale)[..., ::-1])
        samples.append(Sample(picture, (face.points_px + 0.5) * scale - 0.5, IBUG68))
    return samples


def faces_per_second(crops: AugmentedCrops, epoch: int) -> float:
    """Over all of them once."""
    start = time.perf_counter()
    for index in range(len(crops)):
        crops[epoch, index]
    return len(crops) / (time.perf_counter() - start)


def table(rates: dict[tuple[int, bool], list[float]]) -> str:
    """Markdown: the median of the rounds, and their range."""
    rows = ["| pictures | kept, faces/s | decoded anew, faces/s |", "| --- | --- | --- |"]
    for side in SIDES:
        cells = [
            f"{np.median(rates[side, kept]):.0f} ({min(rates[side, kept]):.0f} to {max(rates[side, kept]):.0f})"
            for kept in (True, False)
        ]
        rows.append(f"| {side} px | {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
