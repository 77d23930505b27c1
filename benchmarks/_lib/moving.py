"""Clips with ground truth: a labelled picture, moved over the frame by a known motion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.datasets.pts_files import write_pts
from tracker.face.geometry import Array, scale_of, similarity, transform_points

Image = NDArray[np.uint8]
GREY = (110, 110, 110)


@dataclass(frozen=True, eq=False)
class MovingPicture:
    """A picture under smooth pan, zoom and roll, all of which stay inside a frame of the same size.

    image_rgb: (H, W, 3). faces_px: (68, 2) each, the labels in it. count: frames. fps: frames a second. zoom: the
    middle one, of which it swings by a tenth. still: frames in which nothing moves. covered: frames in which the faces
    are hidden behind grey. gone: frames that show nothing at all, and have no truth. The motion is a function of time
    alone, halts in the still part and goes on where it was; the picture itself is exact only to its resampling.
    """

    image_rgb: Image
    faces_px: Sequence[Array]
    count: int
    fps: float = 25.0
    zoom: float = 0.85
    still: range = range(0)
    covered: range = range(0)
    gone: range = range(0)

    def frame_from_picture(self, index: int) -> Array:
        """Return the similarity (2, 3) to a frame, pixel centres at integers."""
        seconds = (index - min(max(index - self.still.start, 0), len(self.still))) / self.fps
        size = np.array(self.image_rgb.shape[1::-1])
        swing = np.sin(2 * np.pi * seconds / np.array([3.1, 2.3, 4.7, 3.7]))
        middle = (size - 1) / 2
        zoom = self.zoom * np.exp(0.1 * swing[2])
        return similarity(zoom, np.radians(8) * swing[3], middle, middle + 0.05 * size * swing[:2])

    def truths_px(self, index: int) -> list[Array]:
        """Return the faces (68, 2) in a frame, visible or covered."""
        if index in self.gone:
            return []
        return [transform_points(self.frame_from_picture(index), face) for face in self.faces_px]

    def picture(self, index: int) -> Image:
        """Render a frame, (H, W, 3) uint8 RGB."""
        height, width = self.image_rgb.shape[:2]
        frame: Image = np.full((height, width, 3), GREY, np.uint8)
        if index in self.gone:
            return frame
        matrix = self.frame_from_picture(index)
        blur = 0.5 * np.sqrt(max(scale_of(matrix) ** -2 - 1, 1e-4))
        source = cv2.GaussianBlur(self.image_rgb, (0, 0), blur)
        cv2.warpAffine(source, matrix, (width, height), frame, cv2.INTER_CUBIC, cv2.BORDER_CONSTANT, GREY)
        for truth in self.truths_px(index) if index in self.covered else ():
            low, high = truth.min(0), truth.max(0)
            corners = np.stack([low - 0.3 * (high - low), high + 0.3 * (high - low)]).round().astype(int).tolist()
            cv2.rectangle(frame, corners[0], corners[1], GREY, cv2.FILLED)
        return frame

    def __iter__(self) -> Iterator[tuple[Image, list[Array]]]:
        for index in range(self.count):
            yield self.picture(index), self.truths_px(index)

    def write_clip(self, folder: Path) -> None:
        """Write the clip in the layout of 300VW, with one labelled face: vid.avi, annot/000001.pts and so on."""
        (folder / "annot").mkdir(parents=True)
        height, width = self.image_rgb.shape[:2]
        writer = cv2.VideoWriter(str(folder / "vid.avi"), cv2.VideoWriter.fourcc(*"MJPG"), self.fps, (width, height))
        for index, (image_rgb, truths) in enumerate(self):
            writer.write(cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR))
            for truth in truths[:1]:
                write_pts(folder / f"annot/{index + 1:06d}.pts", truth)
        writer.release()
