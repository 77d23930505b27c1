"""Packs 300W into one small file: every picture is cropped to what its crops may show, in WebP.

    python -m benchmarks.gpu.packed --root 300W --output pictures.zip

The file holds the layout of 300W, so that once unpacked train.datasets.W300 reads it: the same names, the same labels
in the pixels of the cut pictures, and so the same validation faces.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.cli.command import run_command
from tracker.datasets import w300
from tracker.datasets.sample import DatasetError, Sample
from tracker.errors import TrackerError
from tracker.face.crop import roi_of_landmarks
from tracker.face.geometry import Array
from tracker.face.pts import as_pts

REACH = 1.7  # side of what is kept over that of the plain crop: augmentation turns, shrinks and shifts
SIDE_PX = 256  # of the plain crop at most; what is larger is shrunk
QUALITY = 85  # of WebP
MOST_BYTES = 50 * 2**20
_DAY = (2020, 1, 1, 0, 0, 0)  # of every entry, so that the same pictures make the same file


def pack(root: Path, output: Path, quality: int = QUALITY) -> None:
    """Write the training faces of 300W and LFPW's test faces into one .zip file.

    Args:
        root: 300W, with afw, helen and lfpw.
        output: the file to write.
        quality: of WebP, 1 to 100.
    """
    try:
        samples = [*w300.read_split(root, "train"), *w300.read_split(root, "lfpw-test")]
        write_packed(root, samples, output, quality)
    except (DatasetError, OSError) as error:
        raise TrackerError(str(error)) from None
    size = output.stat().st_size
    print(f"{output}: {len(samples)} faces, {size / 2**20:.1f} MiB")
    if size > MOST_BYTES:
        raise TrackerError(
            f"{output}: {size / 2**20:.1f} MiB, at most {MOST_BYTES >> 20} can be carried; lower --quality"
        )


def write_packed(root: Path, samples: Sequence[Sample], output: Path, quality: int = QUALITY) -> None:
    """Write the samples, whose pictures lie below root, as pack does."""
    with zipfile.ZipFile(output, "w") as file:
        for sample in samples:
            image, points = cut(sample)
            encoded = cv2.imencode(".webp", image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
            name = sample.picture.relative_to(root).with_suffix("").as_posix()
            file.writestr(zipfile.ZipInfo(f"{name}.webp", _DAY), encoded)
            file.writestr(zipfile.ZipInfo(f"{name}.pts", _DAY), as_pts(points), zipfile.ZIP_DEFLATED)


def cut(sample: Sample) -> tuple[NDArray[np.uint8], Array]:
    """Return the part of a picture that its crops may show, RGB, shrunk if it is larger than they are, and its points.

    What lies outside of the picture stays outside, and so black in the crops.
    """
    image, roi = sample.read_image(), roi_of_landmarks(sample.points_px)
    middle, half = np.array(roi.center_px), roi.side_px * REACH / 2
    low = np.clip(np.floor(middle - half).astype(int), 0, None)
    high = np.minimum(np.ceil(middle + half).astype(int) + 1, image.shape[1::-1])
    part, points = image[low[1] : high[1], low[0] : high[0]], sample.points_px - low
    if roi.side_px > SIDE_PX:
        width, height = np.maximum(1, np.rint((high - low) * SIDE_PX / roi.side_px)).astype(int).tolist()
        points = (points + 0.5) * np.array([width, height]) / (high - low) - 0.5
        part = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return part, points


def unpack(path: Path, folder: Path) -> Path:
    """Return a folder in the layout of 300W: path itself, or the content of the .zip file, unpacked into folder.

    Raises TrackerError for a file that is none of pack's.
    """
    if path.is_dir():
        return path
    try:
        with zipfile.ZipFile(path) as file:
            file.extractall(folder)
    except OSError as error:
        raise TrackerError(f"{path}: cannot be unpacked: {error.strerror}") from None
    except zipfile.BadZipFile:
        raise TrackerError(f"{path}: expected a .zip file of `python -m benchmarks.gpu.packed`, it is none") from None
    return folder


def main() -> int:
    """Run the command line."""
    return run_command(pack, "benchmarks.gpu.packed")


if __name__ == "__main__":
    sys.exit(main())
