"""Landmarks in three dimensions, in the head's own frame.

One camera sees no depth: each point gets the depth that the mean head has there under the face's pose, and its place
across is what the picture shows. So a mouth that opens opens here, too, but lips that protrude do not come forward.
"""

from __future__ import annotations

import numpy as np

from tracker.analysis.head_pose import HeadPose, mean_head_mm
from tracker.face.geometry import Array


def head_points_mm(points_px: Array, pose: HeadPose, camera: Array) -> Array:
    """Lay the landmarks of a face at the depths of the mean head.

    Args:
        points_px: (68, 2) in square pixels.
        pose: of that face, by head_pose with the same camera.
        camera: (3, 3), see camera_matrix.

    Returns:
        (68, 3) millimetres in the head's frame, see tracker.analysis.head_pose: x to the picture's right when the head
        looks into the camera, y down, z away from the camera, origin midway between the eyes.
    """
    depths_mm = (mean_head_mm() @ pose.rotation.T + pose.translation_mm)[:, 2:]
    rays = np.column_stack([points_px, np.ones(len(points_px))]) @ np.linalg.inv(camera).T
    return np.asarray((rays * depths_mm - pose.translation_mm) @ pose.rotation)
