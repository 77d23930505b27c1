"""python -m train.mirror --model edge68_300w --source train.datasets.W300 --output O.csv: how asymmetric labels are.

A training with `--data.mirror O.csv` then moves the labels of mirrored faces accordingly (train.asymmetry).
"""

from __future__ import annotations

import sys
from pathlib import Path

from landmark_tracker import refuse_shadowed
from train.extras import needs_extra

refuse_shadowed(__name__, "train.mirror")

with needs_extra(__name__, "train.mirror", "train", "torch", "lightning"):
    import numpy as np
    from numpy.typing import NDArray

    from tracker.cli.command import run_command
    from tracker.datasets.pictures import Pictures
    from tracker.datasets.sample import Sample
    from tracker.engines.onnx import OnnxEngine
    from tracker.errors import TrackerError
    from tracker.face.crop import Roi, roi_of_landmarks
    from tracker.face.geometry import Array
    from tracker.system.files import expect_replaceable, expect_writable, kind_of, unwritable
    from tracker.tracking.estimator import LandmarkEstimator
    from tracker.weights.packaged import landmark_model
    from train.asymmetry import face_frame, write_offsets
    from train.datasets import Source
    from train.loaders import KEEP_GB


def main() -> int:
    """Run the command line."""
    return run_command(mirror, "train.mirror")


def mirror(model: Path, source: Source, output: Path, faces: int = 1000) -> None:
    """Measure how the labels of a data set differ from those of mirrored pictures, and write it as offsets.

    The model answers each face and its mirror image. Were the labels symmetric, both answers would lie on the same
    places of the face; the mean difference is written.

    Args:
        model: a model that was trained on the data set; its last epochs must have had no mirrored faces
            (data.augmentation.flip 0) or data.mirror. The .onnx file, or the name of a packaged one.
        source: the data set, of which only training faces are taken. on_invalid says what becomes of pictures that
            do not decode.
        output: the .csv file to write, for data.mirror.
        faces: how many, evenly chosen; all if there are fewer.

    Raises:
        TrackerError: if the model has other points than the data set, or a file cannot be read or written.
    """
    if faces < 1:
        raise TrackerError(f"--faces: expected a number from 1 on, got {faces}")
    if output.suffix != ".csv":
        raise TrackerError(f"--output: expected a .csv file, got {output}")
    if (found := kind_of(output.parent)) != "a folder":
        raise TrackerError(
            f"--output: expected the name of a file in a folder, got {output}: {output.parent} is {found}"
        )
    try:
        expect_replaceable(output)
        expect_writable(output.parent)
    except OSError as error:
        raise unwritable(output, error) from None
    offsets, count = _measured(model, source, faces)
    try:
        write_offsets(output, offsets)
    except OSError as error:
        raise unwritable(output, error) from None
    x, y = 100 * offsets.mean(0)
    print(f"{output}: of {count} faces; on the mean {x:.2f} and {y:.2f} % of the face to the right and down")


def _measured(model: Path, source: Source, faces: int) -> tuple[Array, int]:
    """The mean difference (K, 2), and of how many faces."""
    training, _ = source.faces()
    estimator = LandmarkEstimator(OnnxEngine(landmark_model(model)))
    answered, labelled = estimator.engine.spec.scheme, training[0].scheme.name
    if answered != labelled:
        raise TrackerError(f"--model: expected one with the points of the data set, {labelled}, got {answered}")
    places = np.linspace(0, len(training) - 1, min(faces, len(training))).round().astype(int).tolist()
    chosen = [training[place] for place in places]
    pictures = Pictures(chosen, KEEP_GB)
    good = pictures.good(chosen, source.on_invalid, f"the training faces of {training[0].picture.parent}")
    return np.mean([_difference(estimator, face, pictures.read(face)) for face in good], 0), len(good)


def _difference(estimator: LandmarkEstimator, face: Sample, image: NDArray[np.uint8]) -> Array:
    """(K, 2) the answer to a face less that to its mirror image, seen in the mirror image, in units of face_frame."""
    roi = roi_of_landmarks(face.points_px)
    last = image.shape[1] - 1
    x, y = roi.center_px
    (plain,) = estimator.estimate(image, [roi])
    (seen,) = estimator.estimate(
        np.ascontiguousarray(image[:, ::-1]), [Roi((last - x, y), roi.side_px, -roi.rotation_rad)]
    )
    swapped = (plain.landmarks.points_px * [-1, 1] + [last, 0])[face.scheme.flip]
    difference = seen.landmarks.points_px - swapped
    return np.asarray(difference @ np.linalg.inv(face_frame(swapped, face.scheme)).T)


if __name__ == "__main__":
    sys.exit(main())
