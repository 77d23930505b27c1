"""The pictures of a set, each decoded once at start: bad ones are found, and as many as there is room for are kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from train.datasets.collect import Bad, collect
from train.datasets.sample import DatasetError, Sample

LOG = logging.getLogger(__name__)
CHUNK = 256  # pictures in memory before it is decided what is kept
Image = NDArray[np.uint8]


class Pictures:
    """Decoded pictures of samples, up to keep_gb of them; the rest is decoded again at every access.

    What is kept is shared by the processes that load, where they are forked. benchmarks/loading.py measures both.
    """

    def __init__(self, samples: Sequence[Sample], keep_gb: float) -> None:
        self.kept: dict[str, Image] = {}
        self._found: dict[str, tuple[int, int] | DatasetError] = {}  # height and width, or what is wrong
        firsts, room = [*{sample.image_name: sample for sample in samples}.values()], keep_gb * 1e9
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(firsts), CHUNK):
                chunk = firsts[start : start + CHUNK]
                for sample, image in zip(chunk, pool.map(_image_or_error, chunk)):
                    if isinstance(image, DatasetError):
                        self._found[sample.image_name] = image
                        continue
                    self._found[sample.image_name] = image.shape[0], image.shape[1]
                    room -= image.nbytes
                    if room >= 0:
                        self.kept[sample.image_name] = image

    def read(self, sample: Sample) -> Image:
        """(H, W, 3) RGB. Raises DatasetError for a picture that does not decode."""
        kept = self.kept.get(sample.image_name)
        return sample.read_image() if kept is None else kept

    def good(self, samples: Sequence[Sample], bad: Bad) -> list[Sample]:
        """The faces with a picture that decodes and at least one point in it.

        A point is outside beyond the edge of the outermost pixels. Some outside are a fact of the sets and are kept
        and counted in the log; a face with none inside is bad, for its label is that of another picture. Raises
        DatasetError as `train.datasets.collect.collect`.
        """
        cut = 0

        def check(sample: Sample) -> Sample:
            nonlocal cut
            height, width = self._size(sample)
            points, corner = sample.points_px, (width - 0.5, height - 0.5)
            inside = ((points >= -0.5) & (points <= corner)).all(1)
            if not inside.any():
                raise DatasetError(f"none of its points lies in its picture of {width} x {height} pixels")
            cut += int(not inside.all())
            return sample

        faces = collect("the set", [(sample.name, sample) for sample in samples], check, bad)
        if cut:
            LOG.info("%d of %d faces have points outside of their picture", cut, len(faces))
        return faces

    def _size(self, sample: Sample) -> tuple[int, int]:
        """Height and width of the face's picture, as it was found at start."""
        found = self._found[sample.image_name]
        if isinstance(found, DatasetError):
            raise found
        return found


def _image_or_error(sample: Sample) -> Image | DatasetError:
    try:
        return sample.read_image()
    except DatasetError as error:
        return error
