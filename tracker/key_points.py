"""Results as key points of the package supervision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tracker.errors import TrackerError
from tracker.result import FrameResult
from tracker.system.extras import describe_missing

if TYPE_CHECKING:
    import supervision


def to_supervision(result: FrameResult) -> supervision.KeyPoints:
    """The faces of one result as supervision.KeyPoints, for its annotators.

    Args:
        result: of a frame or a picture.

    Returns:
        For n faces of K smoothed landmarks: xy (n, K, 2) float32 in pixels, x right, y down, pixel centres at integers;
        keypoint_confidence (n, K) float32, the scores of the points; detection_confidence (n,) float32, the scores of
        the faces; class_id (n,) zeros, for face is the only class; data["tracker_id"] (n,) the faces' ids.
        Without faces KeyPoints.empty().

    Raises:
        TrackerError: supervision is not installed, or is older than 0.29.
    """
    try:
        import supervision
    except ImportError as error:
        raise TrackerError(f"key points {describe_missing('supervision', error=error)}") from None
    if not result.faces:
        return supervision.KeyPoints.empty()
    faces = result.faces
    try:
        return supervision.KeyPoints(
            xy=np.stack([face.landmarks.points_px for face in faces]).astype(np.float32),
            class_id=np.zeros(len(faces), dtype=int),
            keypoint_confidence=np.stack([face.landmarks.scores for face in faces]).astype(np.float32),
            detection_confidence=np.array([face.score for face in faces], dtype=np.float32),
            data={"tracker_id": np.array([face.id for face in faces])},
        )
    except TypeError:
        version = getattr(supervision, "__version__", "an unknown version")
        raise TrackerError(
            f"key points need supervision 0.29 or newer, got {version}; pip install --upgrade supervision"
        ) from None
