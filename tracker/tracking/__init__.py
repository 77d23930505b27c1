"""Faces followed from frame to frame: detection schedule, association, landmarks, smoothing."""
