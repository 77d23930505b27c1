"""Landmarks for unlabelled faces, by a teacher that looks at several views of each.

python -m train.label --images FOLDER --output FOLDER
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from landmark_tracker import refuse_shadowed
from train.extras import needs_extra

refuse_shadowed(__name__, "train.label")

with needs_extra(__name__, "train.label", "train", "cv2", "tqdm"):
    import numpy as np
    from tqdm import tqdm

    from tracker.cli.command import run_command
    from tracker.datasets.pts_files import read_pts
    from tracker.datasets.sample import DatasetError, Sample
    from tracker.detectors.base import CalibratedDetector
    from tracker.detectors.loading import DetectorName, load_detector
    from tracker.errors import TrackerError
    from tracker.face.geometry import Array, extent
    from tracker.face.schemes import Scheme
    from tracker.system.files import held_folder, read_plain, read_text, write_file
    from train.datasets import split
    from train.errors import check_seed
    from train.labels.folder import (
        SPREAD,
        SUMMARY,
        LabelFolder,
        digest_of,
        hold_to,
        is_another,
        percentiles,
        pictures_in,
        read_spread,
    )
    from train.labels.teachers import FACEMESH, Teacher, open_teacher
    from train.labels.views import Variation, average, generator, random_views


MOST_BYTES = 1 << 28  # of kept points


class Unusable(Exception):
    """A picture that gets no label: the message says why."""


def main() -> int:
    """Run the command line."""
    return run_command(label, "train.label")


def label(
    images: Path,
    output: Path,
    teacher: list[Path] | Path = Path(FACEMESH),
    teacher_python: Path | None = None,
    detector: DetectorName = "auto",
    views: int = 8,
    seed: int = 0,
    limit: float = 0.025,
    least_views: float = 0.75,
    keep: Path | None = None,
) -> None:
    """Label the largest face of each picture in a folder: NAME.pts, NAME.spread.csv and a link to the picture.

    A run continues where an earlier one stopped. OUTPUT/left_out.csv lists the pictures without a label and why,
    OUTPUT/summary.json has the settings and how well the views agree.

    Args:
        images: a folder of pictures.
        output: the folder of the labels.
        teacher: facemesh, the name of a packaged model, or an .onnx file; of several models the mean is taken.
        teacher_python: for facemesh: the Python of an environment that has mediapipe==0.10.21.
        detector: the face detector.
        views: the number of views of each face.
        seed: seed of the random views.
        limit: the largest mean spread of a face's points, over the larger side of their extent.
        least_views: the fraction of views in which the teacher must find the face.
        keep: a folder for the teacher's points in every view; if it has them, the teacher is not run again.
    """
    _check(views, limit, least_views)
    check_seed("--seed", seed)
    pictures = pictures_in(images)
    finder = load_detector(detector)
    asked = open_teacher(teacher if isinstance(teacher, list) else [teacher], teacher_python, finder)
    looked = Views(asked, finder, views, seed, keep)
    stack = ExitStack()
    stack.callback(asked.close)
    try:
        looks = {
            "teacher": asked.about,
            "detector": finder.name,
            "views": views,
            "seed": seed,
            "variation": asdict(Variation()),
        }
        if keep is not None:
            hold_to(keep, looks)
        judged = {"rules": asked.rules, "limit": limit, "least_views": least_views}
        labels = LabelFolder(output, {**looks, **judged})
        stack.enter_context(held_folder(output))
        todo = [picture for picture in pictures if not labels.done(picture)]
        try:
            for picture in tqdm(todo, unit=" pictures", disable=None, leave=False):
                try:
                    labels.add(picture, *agreed(looked.points(picture), asked, limit, least_views))
                except Unusable as reason:
                    labels.leave_out(picture, str(reason))
                    tqdm.write(f"{picture.name}: {reason}", file=sys.stderr)
        finally:
            labels.save()
        write_file(output / SUMMARY, json.dumps(summary(labels, pictures, asked.scheme), indent=1).encode())
    except OSError as error:
        raise TrackerError(
            f"{output}: cannot be written: {error.strerror}; free space or give another folder"
        ) from None
    finally:
        stack.close()
    print(f"{len(labels.labelled(pictures))} of {len(pictures)} pictures labelled, see {output / SUMMARY}")


@dataclass(frozen=True)
class Views:
    """Random views of pictures, in which a teacher looks.

    Attributes:
        teacher: who looks.
        detector: finds the face.
        count: of views.
        seed: of the random views.
        keep: the folder that keeps the teacher's points; None for none.
    """

    teacher: Teacher
    detector: CalibratedDetector
    count: int
    seed: int
    keep: Path | None = None

    def points(self, picture: Path) -> Array:
        """Return the teacher's points in each view, from the folder that keeps them if it has them.

        Returns:
            (V, K, D) in pixels of the picture.

        Raises:
            Unusable: for a picture that does not decode or shows no face.
            TrackerError: for a damaged file in the folder, and for the points of another picture.
        """
        path = None if self.keep is None else self.keep / f"{picture.stem}.npy"
        if path is not None and os.path.exists(path):
            _expect_points_of(picture, path)
            return read_array(path, (self.count, len(self.teacher.flip), self.teacher.dimensions))
        seen = self.look(picture).astype(np.float32)  # as it is kept: labels shall be the same
        if path is not None:
            write_file(_identity(path), digest_of(picture).encode())  # first: points of no known picture are none
            write_array(path, seen)
        return np.asarray(seen, np.float64)

    def look(self, picture: Path) -> Array:
        """Return the teacher's points in each view, from the picture: see points."""
        teacher = self.teacher
        try:
            image = Sample(picture, np.empty((0, 2)), teacher.scheme).read_image()
        except DatasetError as error:
            raise Unusable(str(error).replace(f"{picture} ", "")) from None
        found = self.detector.detect(image)
        if not found:
            raise Unusable(f"{self.detector.name} finds no face")
        largest = max(found, key=lambda face: float(face.box_px[2] * face.box_px[3]))
        rng = generator(self.seed, picture.name)
        views = random_views(teacher.roi(image, largest), teacher.view_px, self.count, rng, Variation())
        answers = teacher.look(np.stack([view.see(image, teacher.view_px) for view in views]))
        return np.stack([view.to_picture(points, teacher.flip) for view, points in zip(views, answers)])


def agreed(seen: Array, teacher: Teacher, limit: float, least_views: float) -> tuple[Array, Array]:
    """Return the labels that the views agree on.

    Args:
        seen: (V, K', D) the teacher's points.
        teacher: makes labels of its points.
        limit: the largest mean spread, over the face's extent.
        least_views: the share of views in which the teacher must see the face.

    Returns:
        Labels (K, 2) and their spread (K,).

    Raises:
        Unusable: if too few views have the face, or they do not agree.
    """
    good = seen[np.isfinite(seen).all((1, 2))]
    if len(good) < max(2, math.ceil(least_views * len(seen))):
        raise Unusable(f"the teacher sees the face in {len(good)} of {len(seen)} views")
    points, spread = average(np.stack([teacher.labels(view) for view in good]))
    share = face_spread(points, spread)
    if not share <= limit:
        raise Unusable(f"the views disagree by {share:.4f} of the face's extent, more than {limit:g}")
    return points, spread


def face_spread(points: Array, spread: Array) -> float:
    """Return the mean spread over the larger side of the points' extent.

    Args:
        points: (K, 2).
        spread: (K,).
    """
    side = float(extent(points)[2:].max())
    return float(spread.mean()) / side if side > 0 else math.inf


def summary(folder: LabelFolder, pictures: list[Path], scheme: Scheme) -> dict[str, Any]:
    """Return what the labels were made by, how many there are, and how well the views agree.

    Spreads are fractions of the larger side of the face's extent: a face's is the mean over its points, a part's the
    median over faces of the mean over its points.

    Args:
        folder: of the labels.
        pictures: all of them.
        scheme: of the labels.

    Raises:
        TrackerError: for a damaged label.
    """
    labelled = folder.labelled(pictures)
    reasons = [folder.left_out[picture.name].reason for picture in pictures if picture.name in folder.left_out]
    spreads = np.empty((len(labelled), scheme.count))
    for row, picture in zip(spreads, labelled):
        try:
            points = read_pts(label := folder.folder / f"{picture.stem}.pts")
            row[:] = read_spread(label.with_name(f"{picture.stem}{SPREAD}")) / extent(points)[2:].max()
        except (ValueError, OSError) as error:
            raise TrackerError(f"{label}: its label is damaged; delete it ({' '.join(str(error).split())})") from None
    faces = [Sample(path, np.empty((0, 2)), scheme) for path in labelled]
    training, held_back = split(faces, lambda face: face.picture.name) if len(faces) > 1 else (faces, [])
    parts = {name: np.median(spreads[:, list(indices)].mean(1)) for name, indices in scheme.groups.items()}
    return {
        "settings": folder.settings,
        "scheme": scheme.name,
        "pictures": len(pictures),
        "labelled": len(labelled),
        "left_out": dict(Counter(re.sub(r"[0-9.]+", "N", reason) for reason in reasons)),
        "split": {"training": len(training), "held_back": len(held_back)},
        "spread": {"faces": percentiles(spreads.mean(1)), "points": percentiles(spreads.ravel())},
        "spread_by_part": {name: round(float(value), 5) for name, value in parts.items()} if labelled else {},
    }


def _identity(points: Path) -> Path:
    """The file beside kept points that has the SHA-256 of their picture."""
    return points.with_suffix(".sha256")


def _expect_points_of(picture: Path, points: Path) -> None:
    """Raise TrackerError if kept points are another picture's; earlier versions kept them without its SHA-256."""
    identity = _identity(points)
    if not os.path.exists(identity):
        return
    try:
        digest = read_text(identity, MOST_BYTES)
    except OSError as error:
        raise TrackerError(f"{identity}: cannot be read: {error.strerror}; delete it or give another --keep") from None
    if is_another(picture, digest):
        raise TrackerError(f"{points}: has the points of another picture than {picture}; give another --keep")


def read_array(path: Path, shape: tuple[int, ...]) -> Array:
    """Read a .npy file of numbers.

    Args:
        path: of the file.
        shape: that it must have.

    Raises:
        TrackerError: if it cannot be read or has another shape.
    """
    try:
        content = io.BytesIO(read_plain(path, MOST_BYTES))
        array = np.asarray(np.lib.format.read_array(content, allow_pickle=False), np.float64)
    except OSError as error:
        raise TrackerError(f"{path}: cannot be read: {error.strerror}; delete it or give another --keep") from None
    except (ValueError, TypeError, EOFError, MemoryError, OverflowError):
        raise TrackerError(f"{path}: expected an array, the file is damaged; delete it") from None
    if array.shape != shape:
        raise TrackerError(f"{path}: expected an array of the shape {shape}, it has {array.shape}; delete it")
    return array


def write_array(path: Path, array: NDArray[np.floating[Any]]) -> None:
    """Write an array as a .npy file, whole or not at all; raise TrackerError that names it if that fails.

    Args:
        path: of the file.
        array: to write.
    """
    np.save(content := io.BytesIO(), array)
    write_file(path, content.getvalue())


def _check(views: int, limit: float, least_views: float) -> None:
    """Raise TrackerError for numbers that no run can have."""
    if views < 2:
        raise TrackerError(f"--views must be at least 2, got {views}: one view has nothing to agree with")
    if not limit > 0:
        raise TrackerError(f"--limit must be positive, got {limit:g}")
    if not 0 < least_views <= 1:
        raise TrackerError(f"--least-views must lie above 0 and not above 1, got {least_views:g}")


if __name__ == "__main__":
    sys.exit(main())
