"""The pictures of a set, each decoded once at start: bad ones are found, and as many as there is room for are kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from tracker.datasets.collect import OnInvalid, collect
from tracker.datasets.sample import DatasetError, Sample
from tracker.face.pts import expect_near

LOG = logging.getLogger(__name__)
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

    def good(self, samples: Sequence[Sample], on_invalid: OnInvalid, source: str = "the set") -> list[Sample]:
        """The faces with a picture that decodes and labels near it (tracker.face.pts.expect_near).

        Those with some points outside are counted in the log. source: the set, for messages. Raises DatasetError as
        `tracker.datasets.collect.collect`.
        """
        cut = 0

        def check(sample: Sample) -> Sample:
            nonlocal cut
            height, width = self._size(sample)
            try:
                expect_near(sample.points_px, width, height)
            except ValueError as error:
                raise DatasetError(str(error)) from None
            inside = (sample.points_px >= -0.5) & (sample.points_px <= (width - 0.5, height - 0.5))
            cut += int(not inside.all())
            return sample

        faces = collect(source, [(sample.name, sample) for sample in samples], check, on_invalid)
        if cut:
            LOG.info("%d of %d faces have points outside of their picture", cut, len(faces))
        return faces

    def _size(self, sample: Sample) -> tuple[int, int]:
        """Height and width of the face's picture, as it was found at start."""
        found = self._found[sample.image_name]
        if isinstance(found, DatasetError):
            raise found
        return found
