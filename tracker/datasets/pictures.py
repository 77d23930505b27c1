"""The pictures of a set, decoded once at the start to find damaged ones, and cached up to a limit of memory."""

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
    """A cache of decoded pictures; those beyond its size are decoded again at every access.

    Forked loader processes share the cache. benchmarks/loading.py measures both cases.

    Args:
        samples: whose pictures to decode.
        keep_gb: the size of the cache in GB.
    """

    def __init__(self, samples: Sequence[Sample], keep_gb: float) -> None:
        self.kept: dict[str, Image] = {}
        self._room, self._lock = keep_gb * 1e9, Lock()
        firsts = {sample.image_name: sample for sample in samples}
        with ThreadPoolExecutor() as pool:  # height and width, or what is wrong
            self._found = dict(zip(firsts, pool.map(self._look_at, firsts.values())))

    def _look_at(self, sample: Sample) -> tuple[int, int] | DatasetError:
        """Decode a picture, and cache it if there is room."""
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
        """Return the picture of a sample, (H, W, 3) RGB; raise DatasetError if it cannot be decoded."""
        kept = self.kept.get(sample.image_name)
        return sample.read_image() if kept is None else kept

    def good(self, samples: Sequence[Sample], on_invalid: OnInvalid, source: str = "the set") -> list[Sample]:
        """Select the faces whose picture can be decoded and whose labels are near it (tracker.face.pts.expect_near).

        Faces with points outside of their picture are counted in the log.

        Args:
            samples: the faces.
            on_invalid: whether to refuse or skip the others.
            source: the set, for messages.

        Raises:
            DatasetError: as `tracker.datasets.collect.collect`.
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
            LOG.info("%d of %d faces have points outside their picture", cut, len(faces))
        return faces

    def _size(self, sample: Sample) -> tuple[int, int]:
        """Return height and width of the face's picture."""
        found = self._found[sample.image_name]
        if isinstance(found, DatasetError):
            raise found
        return found
