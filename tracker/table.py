"""Results as a pandas table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tracker.errors import TrackerError
from tracker.result import FrameResult, TrackedFace, printable_name
from tracker.system.extras import describe_missing

if TYPE_CHECKING:
    import pandas

_BOX = ("box_x", "box_y", "box_width", "box_height")
_OF_A_FACE = ("picture", "frame", "timestamp_s", "face_id", "state", "score", *_BOX)


def to_pandas(results: Iterable[FrameResult]) -> pandas.DataFrame:
    """Make a table with a row for each face of each result.

    Args:
        results: of frames or pictures; those without faces give no row.

    Returns:
        Columns: picture (None for a frame of a video), frame, timestamp_s, face_id, state, score, box_x, box_y,
        box_width, box_height; then for each smoothed landmark x_0, ..., y_0, ..., score_0, ... and its covariance
        cov_xx_0, ..., cov_xy_0, ..., cov_yy_0, ..., and visibility_0, ... where the model tells it. In pixels, x
        right, y down, pixel centres at integers.

    Raises:
        TrackerError: if pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise TrackerError(f"a table {describe_missing('pandas', error=error)}") from None
    rows = [_row(result, face) for result in results for face in result.faces]
    return pandas.DataFrame(rows, columns=None if rows else list(_OF_A_FACE))


def _row(result: FrameResult, face: TrackedFace) -> dict[str, Any]:
    landmarks = face.landmarks
    columns = {
        "x": landmarks.points_px[:, 0],
        "y": landmarks.points_px[:, 1],
        "score": landmarks.scores,
        "cov_xx": landmarks.covariances_px2[:, 0],
        "cov_xy": landmarks.covariances_px2[:, 1],
        "cov_yy": landmarks.covariances_px2[:, 2],
        **({} if landmarks.visibility is None else {"visibility": landmarks.visibility}),
    }
    numbered = {f"{name}_{i}": value for name, values in columns.items() for i, value in enumerate(values.tolist())}
    picture = None if result.picture is None else printable_name(result.picture)
    once = picture, result.index, result.timestamp_s, face.id, face.state, face.score, *face.box_px.tolist()
    return {**dict(zip(_OF_A_FACE, once)), **numbered}
