"""Results as COCO key points: one JSON file that pycocotools, CVAT and FiftyOne read."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import TrackerError
from tracker.face.schemes import Scheme
from tracker.result import FrameResult, TrackedFace, printable_name
from tracker.sinks.base import Closing
from tracker.sources import Frame
from tracker.system.files import STDOUT, Replacement, unwritable
from tracker.version import read_version

CATEGORY_ID = 1
"""Id of the only category, "face"."""
OUTSIDE, HIDDEN, VISIBLE = 0, 1, 2
"""COCO's visibility flags. A point outside the picture counts as not labelled, and one with a visibility below 0.5 as
hidden."""


class CocoKeypoints(Closing):
    """Writes an image entry for each frame or picture, and an annotation for each measured face.

    Frames without faces have an image entry, too. Coasting faces, and faces with all points outside the picture, are
    not written.

    - images: file_name is the name of the picture; for a video frame_000000.PNG, ..., which is how CVAT names frames.
    - annotations: keypoints are x, y, v of the smoothed landmarks in pixels, pixel centres at integers, two decimals;
      bbox is x, y, width, height of their extent inside the picture, area the area of that box; score is 0 to 1, that
      this is a face. For a video, attributes.track_id is the id of the face.

    Ids of images and of annotations count from 1.

    The complete file appears at the end of the run, however the run ends, and replaces an older one. If it cannot be
    written, the older one is kept.

    Source: Lin et al., Microsoft COCO, ECCV 2014; cocodataset.org, "Data format".

    Args:
        path: of the .json file.
        scheme: of the landmarks, for the names and the skeleton.

    Raises:
        TrackerError: the file cannot be written, or another run is writing it.
    """

    def __init__(self, path: str | Path, scheme: Scheme) -> None:
        self._path = Path(path)
        self._images = self._annotations = 0
        if self._path == STDOUT:
            raise TrackerError("COCO key points are written at the end, and not to standard output; name a .json file")
        try:
            self._replacement: Replacement | None = Replacement(self._path)
            self._file = self._replacement.part.open("wb")
            # in the file the images come after the annotations
            self._image_lines = tempfile.TemporaryFile(dir=self._path.parent)  # noqa: SIM115
            self._file.write(_head(scheme))
        except OSError as error:
            self._give_up()
            raise unwritable(self._path, error) from error

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Write the image entry and the annotations of a frame, see Sink.write."""
        height, width = frame.image_rgb.shape[:2] if frame.gpu is None else (frame.gpu.height, frame.gpu.width)
        self._images += 1
        video = result.picture is None
        name = f"frame_{result.index:06d}.PNG" if result.picture is None else printable_name(result.picture)
        image = {"id": self._images, "file_name": name, "width": width, "height": height}
        faces = [face for face in result.faces if face.state == "tracking"]
        found = [_annotation(face, width, height, video) for face in faces]
        try:
            self._image_lines.write(_item(image, self._images == 1))
            for annotation in filter(None, found):
                self._annotations += 1
                ids = {"id": self._annotations, "image_id": self._images}
                self._file.write(_item({**ids, **annotation}, self._annotations == 1))
        except OSError as error:
            self._give_up()
            raise unwritable(self._path, error) from error

    def close(self) -> None:
        """Complete the file and give it its name, see Sink.close."""
        if self._replacement is None:
            return
        try:
            self._file.write(b'\n],\n"images": [')
            self._image_lines.seek(0)
            shutil.copyfileobj(self._image_lines, self._file)
            self._file.write(b"\n]}\n")
            self._file.close()
            self._replacement.complete()
        except OSError as error:
            raise unwritable(self._path, error) from error
        finally:
            self._give_up()

    def _give_up(self) -> None:
        """Close all files; delete them unless they were completed."""
        for file in (getattr(self, "_file", None), getattr(self, "_image_lines", None)):
            if file is not None:
                with suppress(OSError):  # the disk may be full
                    file.close()
        if (replacement := getattr(self, "_replacement", None)) is not None:
            replacement.discard()
        self._replacement = None


def keypoint_names(scheme: Scheme) -> list[str]:
    """Name each of the K points after its curve, or else its group, and its number.

    Args:
        scheme: of the points.

    Returns:
        K names, such as "right_eye_36"; a single point for a pupil is "right_pupil_96".
    """
    pupils = {group[0]: f"{side}_pupil" for side, group in zip(("right", "left"), scheme.pupil) if len(group) == 1}
    parts: dict[int, str] = {}
    for places in (
        {i: curve.name for curve in reversed(scheme.curves) for i in curve.indices},
        pupils,
        {i: name for name, indices in scheme.groups.items() for i in indices},
    ):
        parts = {**places, **parts}
    return [f"{parts.get(i, 'point')}_{i}" for i in range(scheme.count)]


def skeleton(scheme: Scheme) -> list[list[int]]:
    """List the edges of the scheme's curves, each once.

    Args:
        scheme: of the points.

    Returns:
        Pairs of point numbers, which COCO counts from 1.
    """
    edges: dict[frozenset[int], list[int]] = {}
    for curve in scheme.curves:
        following = curve.indices[1:] + (curve.indices[:1] if curve.closed else ())
        for one, other in zip(curve.indices, following):
            if one != other:
                edges.setdefault(frozenset((one, other)), [one + 1, other + 1])
    return list(edges.values())


def _head(scheme: Scheme) -> bytes:
    category = {
        "id": CATEGORY_ID,
        "name": "face",
        "supercategory": "person",
        "keypoints": keypoint_names(scheme),
        "skeleton": skeleton(scheme),
    }
    info = {"description": f"{scheme.name} landmarks by landmark-tracker", "version": read_version()}
    head = json.dumps({"info": info, "licenses": [], "categories": [category]})
    return head.removesuffix("}").encode() + b',\n"annotations": ['


def _annotation(face: TrackedFace, width: int, height: int, video: bool) -> Mapping[str, Any] | None:
    """Make the annotation of a face, without ids; None if no point is inside the picture."""
    points_px = face.landmarks.points_px.round(2)
    inside = np.all((points_px >= -0.5) & (points_px <= (width - 0.5, height - 0.5)), axis=1)
    if not inside.any():
        return None
    x, y, right, bottom = [
        round(min(max(edge, -0.5), size - 0.5), 2)
        for edge, size in zip([*points_px.min(0).tolist(), *points_px.max(0).tolist()], (width, height) * 2)
    ]
    box = [x, y, round(right - x, 2), round(bottom - y, 2)]
    flat: list[float] = []
    visibility = face.landmarks.visibility
    flags = np.full(len(points_px), VISIBLE) if visibility is None else np.where(visibility < 0.5, HIDDEN, VISIBLE)
    for (point_x, point_y), is_inside, flag in zip(points_px.tolist(), inside.tolist(), flags.tolist()):
        flat += [point_x, point_y, flag] if is_inside else [0, 0, OUTSIDE]
    annotation = {
        "category_id": CATEGORY_ID,
        "keypoints": flat,
        "num_keypoints": int(inside.sum()),
        "bbox": box,
        "area": round(box[2] * box[3], 2),
        "segmentation": [],  # empty, but CVAT requires the key
        "iscrowd": 0,
        "score": round(float(face.score), 4),
    }
    return {**annotation, "attributes": {"track_id": int(face.id)}} if video else annotation


def _item(record: Mapping[str, Any], first: bool) -> bytes:
    return (b"\n" if first else b",\n") + json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
