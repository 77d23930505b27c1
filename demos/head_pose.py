"""Draws the head's axes, its angles and blinks of a clip into a video.

python demos/head_pose.py CLIP [--output out/head_pose.mp4]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from tracker import Blinks, Tracker, TrackerError, camera_matrix, eye_opening, head_pose
from tracker.sinks import OverlayVideo
from tracker.sources import FALLBACK_FPS, open_source

COLOURS = ((255, 0, 0), (0, 200, 0), (0, 0, 255))  # x, y, z in RGB


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", help="a video file, a stream's URL or a picture")
    parser.add_argument("--output", type=Path, default=Path("out/head_pose.mp4"), help="the video to write, .mp4")
    options = parser.parse_args(arguments)
    try:
        draw(options.clip, options.output)
    except TrackerError as error:
        print(f"head_pose: {error}", file=sys.stderr)
        return 2
    print(f"written: {options.output}")
    return 0


def draw(clip: str, output: Path) -> None:
    """Draw the first face of every frame, and print a line for each blink."""
    output.parent.mkdir(parents=True, exist_ok=True)
    tracker, blinks = Tracker(), Blinks()
    with open_source(clip) as source, OverlayVideo(output, source.fps or FALLBACK_FPS) as video:
        for frame in source:
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
                    text = (
                        f"pitch {angles[0]} yaw {angles[1]} roll {angles[2]} EAR {ear:.2f}{' closed' * blinks.closed}"
                    )
                    cv2.putText(
                        picture, text, (8, height - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0), 1, cv2.LINE_AA
                    )
            video.write(picture, frame.timestamp_s)


if __name__ == "__main__":
    sys.exit(main())
