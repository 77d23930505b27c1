"""Shows frames, landmarks, ids and head angles in the viewer of Rerun.

python demos/rerun_viewer.py CLIP [FILE.rrd]

Needs `pip install rerun-sdk`. With FILE.rrd nothing is opened: `rerun FILE.rrd` shows the recording later.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from tracker import Frame, FrameResult, Tracker, TrackerError, camera_matrix, head_pose
from tracker.face.schemes import Scheme
from tracker.sinks.coco import keypoint_names, skeleton
from tracker.sources import open_source
from tracker.system.extras import describe_missing

try:
    import rerun as rr
except ImportError as missing:
    print(f"rerun_viewer: {describe_missing('rerun-sdk', error=missing)}", file=sys.stderr)
    raise SystemExit(2) from None

JPEG_QUALITY = 80


def describe(scheme: Scheme, recording: rr.RecordingStream) -> None:
    """Names and lines of the landmarks, once for the whole recording."""
    face = rr.ClassDescription(
        info=rr.AnnotationInfo(id=0, label="face", color=(0, 220, 0)),
        keypoint_annotations=[rr.AnnotationInfo(id=i, label=name) for i, name in enumerate(keypoint_names(scheme))],
        keypoint_connections=[(one - 1, other - 1) for one, other in skeleton(scheme)],
    )
    recording.log("camera", rr.AnnotationContext([face]), static=True)


def log(frame: Frame, result: FrameResult, recording: rr.RecordingStream) -> None:
    """One frame on the time lines "frame" and "time": camera/image, camera/faces/ID/points, scores/ID, pose/ID/yaw."""
    recording.set_time("frame", sequence=result.index)
    recording.set_time("time", duration=result.timestamp_s)
    recording.log("camera/image", rr.Image(frame.image_rgb).compress(jpeg_quality=JPEG_QUALITY))
    height, width = frame.image_rgb.shape[:2]
    for face in result.faces:
        landmarks = face.landmarks
        count = landmarks.scheme.count
        points = rr.Points2D(
            landmarks.points_px + 0.5,  # Rerun counts from the corner of the first pixel, the tracker from its centre
            class_ids=np.zeros(count, np.uint16),
            keypoint_ids=np.arange(count, dtype=np.uint16),
            radii=landmarks.uncertainty_px,
            show_labels=False,
        )
        recording.log(f"camera/faces/{face.id}/points", points)
        x, y, box_width, box_height = face.box_px + (0.5, 0.5, 0, 0)
        box = rr.Boxes2D(mins=[(x, y)], sizes=[(box_width, box_height)], labels=[f"{face.id} {face.state}"])
        recording.log(f"camera/faces/{face.id}/box", box)
        recording.log(f"scores/{face.id}", rr.Scalars(face.score))
        if pose := head_pose(landmarks, camera_matrix(width, height)):
            for name in ("pitch", "yaw", "roll"):
                recording.log(f"pose/{face.id}/{name}", rr.Scalars(np.degrees(getattr(pose, f"{name}_rad"))))
    for gone in result.lost:
        recording.log(f"camera/faces/{gone.id}", rr.Clear(recursive=True))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", help="a video file, a stream's URL, a picture or a camera's number")
    parser.add_argument("output", nargs="?", type=Path, help="the .rrd file to write; without it the viewer is opened")
    options = parser.parse_args(arguments)
    try:
        show(int(options.clip) if options.clip.isdecimal() else options.clip, options.output)
    except TrackerError as error:
        print(f"rerun_viewer: {error}", file=sys.stderr)
        return 2
    if options.output is not None:
        print(f"written: {options.output}")
    return 0


def show(clip: str | int, output: Path | None = None) -> None:
    """Track a clip, a camera or a stream, and show it as it comes, or write it into a file."""
    recording = rr.RecordingStream("landmark-tracker")
    if output is None:
        recording.spawn()
    else:
        recording.save(output)
    tracker = Tracker(max_faces=4)
    describe(tracker.scheme, recording)
    with open_source(clip) as source:
        for frame in source:
            log(frame, tracker.step(frame), recording)
    recording.disconnect()  # completes the file


if __name__ == "__main__":
    sys.exit(main())
