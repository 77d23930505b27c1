"""python demos/head_pose.py CLIP: draws the head's axes, its angles and blinks into out/head_pose.mp4."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from tracker import Blinks, Tracker, camera_matrix, eye_opening, head_pose
from tracker.sources import open_source

COLOURS = ((255, 0, 0), (0, 200, 0), (0, 0, 255))  # x, y, z in RGB


def main(clip: str, output: Path = Path("out/head_pose.mp4")) -> None:
    """Draw the first face of every frame, and print a line for each blink."""
    output.parent.mkdir(parents=True, exist_ok=True)
    tracker, blinks, writer = Tracker(), Blinks(), None
    for frame in open_source(clip):
        picture = frame.image_rgb.copy()
        height, width = picture.shape[:2]
        camera = camera_matrix(width, height)
        for face in tracker.step(frame).faces:
            if blink := blinks.step(face.raw, frame.timestamp_s):
                print(f"blink at {blink.start_s:.2f} s for {blink.duration_s:.2f} s")
            if pose := head_pose(face.landmarks, camera):
                ends = np.vstack([np.zeros(3), 60 * np.eye(3) * (1, 1, -1)])  # millimetres; z towards the camera
                seen = cv2.projectPoints(ends, pose.rotation_vector, pose.translation_mm, camera, None)[0][:, 0]
                middle, *tips = [tuple(point) for point in seen.round().astype(int).tolist()]
                for tip, colour in zip(tips, COLOURS):
                    cv2.line(picture, middle, tip, colour, 2, cv2.LINE_AA)
                angles = np.degrees([pose.pitch_rad, pose.yaw_rad, pose.roll_rad]).round().astype(int)
                ear = sum(opening.ratio for opening in eye_opening(face.raw)) / 2
                text = f"pitch {angles[0]} yaw {angles[1]} roll {angles[2]} EAR {ear:.2f}{' closed' * blinks.closed}"
                cv2.putText(
                    picture, text, (8, height - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0), 1, cv2.LINE_AA
                )
        writer = writer or cv2.VideoWriter(str(output), cv2.VideoWriter.fourcc(*"mp4v"), 25, (width, height))
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if writer:
        writer.release()


if __name__ == "__main__":
    main(sys.argv[1])
