"""Landmarks in three dimensions, in the head's own frame.

One camera does not measure depth: each point gets the depth of the same point of the mean head in the pose of the face,
and its position in x and y comes from the picture. So an opened mouth is open here, too, but lips that are pushed
forward are not.
"""

from __future__ import annotations

import numpy as np

from tracker.analysis.head_pose import HeadPose, mean_head_mm
from tracker.face.geometry import Array


def head_points_mm(points_px: Array, pose: HeadPose, camera: Array) -> Array:
    """Compute 3D landmarks from the landmarks of a face and the depths of the mean head.

    Args:
        points_px: (68, 2) landmarks in square pixels.
        pose: of that face, from head_pose with the same camera.
        camera: (3, 3) camera matrix, see camera_matrix.

    Returns:
        (68, 3) millimetres in the head's frame, see tracker.analysis.head_pose. When the head looks into the camera: x
        to the right of the picture, y down, z away from the camera; origin midway between the eyes.
    """
    depths_mm = (mean_head_mm() @ pose.rotation.T + pose.translation_mm)[:, 2:]
    rays = np.column_stack([points_px, np.ones(len(points_px))]) @ np.linalg.inv(camera).T
    return np.asarray((rays * depths_mm - pose.translation_mm) @ pose.rotation)
