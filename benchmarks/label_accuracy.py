"""python -m benchmarks.label_accuracy --labels FOLDER --truth FOLDER: compares a labeller's points with hand labels.

Both folders hold NAME.pts of the same pictures, as `train.label` writes them and as 300W has them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from benchmarks._lib.reports import check_report, write_report
from tracker.cli.command import run_command
from tracker.datasets.pts_files import read_pts
from tracker.errors import TrackerError
from tracker.face.geometry import Array, box_iou, extent
from tracker.face.schemes import Scheme, scheme_named

SAME_FACE = 0.3  # overlap of the points' boxes: below, the labeller has labelled another face of the picture


def main() -> int:
    """Run the command line."""
    return run_command(label_accuracy, "benchmarks.label_accuracy")


def label_accuracy(
    labels: Path, truth: Path, scheme: str = "ibug68", report: Path = Path("runs/label_accuracy.json")
) -> None:
    """Compare two folders of .pts files, in percent of the outer eye corners' distance, by part of the face.

    Args:
        labels: what is judged.
        truth: labels by hand.
        scheme: of both.
        report: the .json file to write.
    """
    check_report(report)
    known = scheme_named(scheme)
    names = sorted({path.name for path in truth.glob("*.pts")} & {path.name for path in labels.glob("*.pts")})
    pairs = [(read_pts(labels / name), read_pts(truth / name)) for name in names]
    same = [(ours, theirs) for ours, theirs in pairs if box_iou(extent(ours), extent(theirs)) >= SAME_FACE]
    if not same:
        raise TrackerError(f"{labels} and {truth} have no labelled face in common; give folders of the same pictures")
    errors = np.stack([in_eyes_frame(ours - theirs, theirs, known) for ours, theirs in same])
    figures = {
        "faces_by_hand": len(list(truth.glob("*.pts"))),
        "labelled": len(names),
        "another_face": len(names) - len(same),
        **raw_and_removed(errors, known),
    }
    write_report(report, figures)
    print(json.dumps(figures, indent=1))


def in_eyes_frame(vectors: Array, truth: Array, scheme: Scheme) -> Array:
    """Return vectors (K, 2) along and across the line through the outer eye corners, divided by their distance."""
    across = scheme.ocular_axis @ truth
    length = np.linalg.norm(across)
    right = across / length
    return np.asarray(vectors @ np.column_stack([right, [-right[1], right[0]]]) / length)


def raw_and_removed(errors: Array, scheme: Scheme) -> dict[str, dict[str, float]]:
    """Return the figures of by_part for errors (N, K, 2), with and without the mean offset of each point.

    Points that are NaN do not count.
    """
    return {
        "raw_percent": by_part(errors, scheme),
        "offset_removed_percent": by_part(errors - np.nanmean(errors, axis=0), scheme),
    }


def by_part(errors: Array, scheme: Scheme) -> dict[str, float]:
    """Return mean lengths of errors (N, K, 2) in percent: of all points, and by part."""
    percent = 100 * np.nanmean(np.linalg.norm(errors, axis=2), axis=0)
    groups = {"all": range(scheme.count), **scheme.groups}
    return {name: round(float(percent[list(indices)].mean()), 3) for name, indices in groups.items()}


if __name__ == "__main__":
    sys.exit(main())
