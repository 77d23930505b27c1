"""The pictures of a set, each decoded once at start: bad ones are found, and as many as there is room for are kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from train.datasets.collect import Bad, collect
from train.datasets.sample import DatasetError, Sample

LOG = logging.getLogger(__name__)
FURTHEST_OUTSIDE = 1.0
"""How far outside of its picture a point may be, in widths or heights of it, whichever is larger. 300W has none
outside; of a face that the border cuts in half, points are half a face outside."""
Image = NDArray[np.uint8]


class Pictures:
    """Decoded pictures of samples, up to keep_gb of them; the rest is decoded again at every access.

    What is kept is shared by the processes that load, where they are forked. benchmarks/loading.py measures both.
    """

    def __init__(self, samples: Sequence[Sample], keep_gb: float) -> None:
        self.kept: dict[str, Image] = {}
        self._room, self._lock = keep_gb * 1e9, Lock()
        firsts = {sample.image_name: sample for sample in samples}
        with ThreadPoolExecutor() as pool:  # height and width, or what is wrong
            self._found = dict(zip(firsts, pool.map(self._look_at, firsts.values())))

    def _look_at(self, sample: Sample) -> tuple[int, int] | DatasetError:
        """Decode a picture, and keep it where there is room."""
        try:
            image = sample.read_image()
        except DatasetError as error:
            return error
        with self._lock:
            if image.nbytes <= self._room:
                self._room -= image.nbytes
                self.kept[sample.image_name] = image
        return image.shape[0], image.shape[1]

    def read(self, sample: Sample) -> Image:
        """(H, W, 3) RGB. Raises DatasetError for a picture that does not decode."""
        kept = self.kept.get(sample.image_name)
        return sample.read_image() if kept is None else kept

    def good(self, samples: Sequence[Sample], bad: Bad, source: str = "the set") -> list[Sample]:
        """The faces with a picture that decodes, at least one point in it and none further outside than
        FURTHEST_OUTSIDE.

        A point is outside beyond the edge of the outermost pixels. Some outside are a fact of the sets and are kept
        and counted in the log; a face with none inside is bad, for its label is that of another picture, and so is
        one with a point that is far outside, for it is mistyped. source: the set, for messages. Raises DatasetError as
        `train.datasets.collect.collect`.
        """
        cut = 0

        def check(sample: Sample) -> Sample:
            nonlocal cut
            height, width = self._size(sample)
            points, corner = sample.points_px, (width - 0.5, height - 0.5)
            inside = ((points >= -0.5) & (points <= corner)).all(1)
            if not inside.any():
                raise DatasetError(f"none of its points lies in its picture of {width} x {height} pixels")
            outside = float(np.maximum(-0.5 - points, points - corner).max())
            if outside > FURTHEST_OUTSIDE * max(width, height):
                raise DatasetError(f"a point lies {outside:.0f} pixels outside of its picture of {width} x {height}")
            cut += int(not inside.all())
            return sample

        faces = collect(source, [(sample.name, sample) for sample in samples], check, bad)
        if cut:
            LOG.info("%d of %d faces have points outside of their picture", cut, len(faces))
        return faces

    def _size(self, sample: Sample) -> tuple[int, int]:
        """Height and width of the face's picture, as it was found at start."""
        found = self._found[sample.image_name]
        if isinstance(found, DatasetError):
            raise found
        return found
