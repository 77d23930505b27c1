"""python -m tools.browser_vectors: writes test vectors of the Python functions that demos/browser has in JavaScript.

demos/browser/tests/vectors.test.js compares the JavaScript with them.
"""

from __future__ import annotations

import base64
import itertools
import json
import math
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.cli.command import run_command
from tracker.detectors.base import Detection, resize, roi_of_detection
from tracker.detectors.search import CODES, small_from_turned
from tracker.detectors.yunet import CALIBRATION, OUTPUTS, SIDE_PX, YuNet
from tracker.face.crop import Roi, crop, eye_rotation_rad, roi_of_landmarks
from tracker.face.geometry import Array, box_iou, extent, similarity, transform_covariances
from tracker.face.landmarks import Landmarks
from tracker.face.schemes import IBUG68
from tracker.sources import Frame
from tracker.sources.demo import DemoClip
from tracker.system.onnx_runtime import import_onnxruntime
from tracker.tracking.association import TrackManager
from tracker.tracking.clock import Clock
from tracker.tracking.estimator import Estimate
from tracker.tracking.scene_cut import SceneCutDetector
from tracker.tracking.schedule import DetectionSchedule
from tracker.tracking.score_thresholds import ScoreThresholds
from tracker.tracking.smoothing import make_smoother
from tracker.tracking.track import Track
from tracker.weights.packaged import YUNET, packaged_detector

VECTORS = Path(__file__).resolve().parents[1] / "demos/browser/tests/vectors.json"
FACES, FRAMES = 5, 90  # of the simulated tracks

Image = NDArray[np.uint8]
Record = dict[str, Any]


def main() -> int:
    """Run the command line."""
    return run_command(browser_vectors, "tools.browser_vectors")


def browser_vectors(output: Path = VECTORS) -> None:
    """Write the inputs and answers as JSON.

    Args:
        output: the .json file to write.
    """
    lines = (f"{json.dumps(name)}: {json.dumps(record)}" for name, record in vectors().items())
    output.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def vectors() -> dict[str, Any]:
    """Return inputs and results by the name of the test. Pictures are base64 of their bytes, points are flat."""
    return {
        "roi_of_landmarks": rois_of_landmarks(),
        "roi_of_detection": rois_of_detections(),
        "box_iou": overlaps(),
        "crop": crops(),
        "shrink": shrunk(),
        "turn": turned(),
        "yunet": detections(),
        "scene_cut": scene_cuts(),
        "presence": presence(),
        "schedule": schedule(),
        "clock": clock(),
        "variances": variances(),
        "smoothing": smoothing(),
        "tracks": tracks(),
    }


def flat(numbers: object, digits: int = 4) -> list[float]:
    """Return the numbers of an array in one list."""
    return [float(value) for value in np.asarray(numbers, np.float64).ravel().round(digits)]


def text(image: Image) -> str:
    """Return the bytes of a picture in base64."""
    return base64.b64encode(np.ascontiguousarray(image).tobytes()).decode("ascii")


def picture(width: int, height: int, seed: int = 0) -> Image:
    """Return a smooth picture (height, width, 3), in which 1/16 pixel makes little difference."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def with_picture(image: Image) -> Record:
    """Return a picture in the form of the JavaScript."""
    return {"data": text(image), "width": image.shape[1], "height": image.shape[0], "channels": image.shape[2]}


def face(rng: np.random.Generator) -> Array:
    """Return the demo clip's face (68, 2), rotated, with noise, and shifted."""
    clip = DemoClip(seconds=0.1)
    points = clip.truth_px(0) - clip.truth_px(0).mean(0)
    angle = rng.uniform(-math.pi, math.pi)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    moved = points * rng.uniform(0.2, 4) @ turn.T + rng.uniform(-100, 900, 2) + rng.normal(0, 2, points.shape)
    return np.asarray(moved.round(3))


def of_roi(roi: Roi) -> Record:
    """Return a ROI as a record."""
    return {"center": list(roi.center_px), "side": roi.side_px, "rotation": roi.rotation_rad}


def rois_of_landmarks() -> list[Record]:
    """ROIs of random faces, and their transforms."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(5):
        points = face(rng)
        roi = roi_of_landmarks(points, eye_rotation_rad(points, IBUG68))
        found.append({"points": flat(points), "roi": of_roi(roi), "crop_from_image": flat(roi.crop_from_image(128), 9)})
    return found


def rois_of_detections() -> list[Record]:
    """ROIs of random detections."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(5):
        box, eyes = rng.uniform(5, 400, 4).round(2), rng.uniform(5, 400, (2, 2)).round(2)
        roi = roi_of_detection(Detection(box, 1.0, eyes), CALIBRATION)
        found.append({"box": flat(box), "eyes": flat(eyes), "roi": of_roi(roi)})
    return found


def overlaps() -> list[Record]:
    """Intersection over union of pairs of boxes."""
    boxes = [[0, 0, 10, 10], [5, 5, 10, 10], [20, 0, 3, 3], [2, 2, 4, 4], [0, 0, 0, 0], [-5, 2, 30, 1]]
    return [{"a": a, "b": b, "iou": box_iou(a, b)} for a, b in itertools.product(boxes, boxes)]


def crops() -> Record:
    """Crops enlarged, at the original scale and shrunk; inside the picture, across its edges, and outside."""
    image = picture(80, 60)
    views = [
        Roi((40, 30), 8, 0.3),
        Roi((40, 30), 27, -0.8),
        Roi((41.3, 29.2), 40, 2.5),
        Roi((35, 33), 57, 0.1),
        Roi((2, 3), 20, 0.6),
        Roi((78, 58), 33, -0.4),
        Roi((67, 53), 87, 1.1),
        Roi((40, 30), 270, 0.2),
        Roi((300, 30), 14),
        Roi((-200, 30), 60),
    ]
    cases = [{"roi": of_roi(view), "size": 14, "pixels": text(crop(image, view, 14))} for view in views]
    return {"image": with_picture(image), "cases": cases}


def shrunk() -> Record:
    """Pictures shrunk to several sizes, with the transforms back."""
    image = picture(64, 50, 3)
    cases = []
    for longest in (32, 47, 13, 100):
        small, to = resize(image, min(1.0, longest / max(image.shape)))
        cases.append({"longest": longest, "image": with_picture(small), "image_from_small": flat(to, 9)})
    return {"image": with_picture(image), "cases": cases}


def turned() -> Record:
    """Pictures rotated by quarter turns, with the transforms back."""
    image = picture(9, 6, 4)
    cases = [
        {
            "degrees": degrees,
            "image": with_picture(np.asarray(cv2.rotate(image, code), np.uint8)),
            "image_from_turned": flat(small_from_turned(degrees, image.shape)),
        }
        for degrees, code in CODES.items()
    ]
    return {"image": with_picture(image), "cases": cases}


def detections() -> Record:
    """Three faces of three sizes: the network's outputs in the cells that may show one, and what OpenCV makes of it."""
    image = np.full((SIDE_PX, SIDE_PX, 3), 90, np.uint8)
    astronaut = DemoClip(size=(320, 240), seconds=0.1).picture(0)
    for x, y, height in ((0, 0, 170), (190, 20, 90), (60, 190, 120)):
        width = height * 320 // 240
        part = cv2.resize(astronaut, (width, height), interpolation=cv2.INTER_AREA)[:, : SIDE_PX - x]
        image[y : y + height, x : x + part.shape[1]] = part
    session = import_onnxruntime().InferenceSession(packaged_detector(YUNET), providers=["CPUExecutionProvider"])
    planes = image[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)
    outputs = {name: output[0] for name, output in zip(OUTPUTS, session.run(list(OUTPUTS), {"input": planes}))}
    cells = []
    for stride in (8, 16, 32):
        kinds = {kind: outputs[f"{kind}_{stride}"] for kind in ("cls", "obj", "bbox", "kps")}
        for cell in np.flatnonzero(kinds["cls"][:, 0] * kinds["obj"][:, 0] > 0.09).tolist():
            cells.append(
                {"stride": stride, "cell": cell, **{kind: flat(values[cell], 6) for kind, values in kinds.items()}}
            )
    faces = [{"box": flat(d.box_px), "score": d.score, "eyes": flat(d.eyes_px)} for d in YuNet().detect(image)]
    return {"cells": cells, "faces": faces}


def scene_cuts() -> list[Record]:
    """Stripes, the same a little darker, moved, turned upside down, then another scene, changed in a few colours."""
    stripes = np.zeros((64, 16, 3), np.uint8)
    stripes[:, ::8], stripes[:32, 4::8] = (250, 200, 90), (20, 90, 160)
    dark = (stripes * 0.9).astype(np.uint8)
    other = picture(16, 64, 5)
    little, more = np.roll(other, 4, axis=1), other.copy()
    little[0, 0, 0] ^= 128  # a third of a pixel of the eight that are compared
    more[0, 0] ^= 128
    pictures = [stripes, dark, np.roll(dark, 4, axis=1), dark[::-1], other, other, little, more, other[:, :12]]
    cut = SceneCutDetector()
    return [{"image": with_picture(image), "cut": cut.is_cut(image)} for image in pictures]


def presence() -> list[Record]:
    """Score thresholds of new and tracked faces."""
    found = []
    for least in (0.0, 0.5, 0.894, 1.0):
        wanted = ScoreThresholds(least)
        scores = (0.6, 0.65, 0.7, 0.78, 0.95)
        found.append(
            {
                "min_score": least,
                "sure": wanted.confident,
                "of_followed": [wanted.of_tracked(True), wanted.of_tracked(False)],
                "of_new": [[score, wanted.of_new(score)] for score in scores],
            }
        )
    return found


def schedule() -> list[Record]:
    """Numbers of measured and coasting faces over time, and whether to detect."""
    plan, found = DetectionSchedule(), []
    rng = np.random.default_rng(6)
    for time_s in [*np.arange(0, 4, 0.07).round(2).tolist(), 1.0, 1.05]:
        measured, coasting = int(rng.random() < 0.9), int(rng.random() < 0.2)
        due = plan.is_due(measured, coasting, time_s)
        if due:
            plan.note_detection(time_s)
        found.append({"time_s": time_s, "measured": measured, "coasting": coasting, "due": due})
    return found


def clock() -> list[Record]:
    """Timestamps that are regular, pause, step back a little and far, and repeat."""
    times = [0, 0.033, 0.067, 0.1, 2.1, 2.13, 2.0, 2.03, 2.06, 9000, 9000.04, 9000.04, 1.0, 1.04, 0.9, 0.94]
    read, image = Clock(0.5), np.zeros((2, 2, 3), np.uint8)
    return [
        {"timestamp_s": t, "time_s": read(Frame(image, t, i)), "interval_s": read.interval_s}
        for i, t in enumerate(map(float, times))
    ]


def variances() -> Record:
    """Covariances of points, turned, scaled and moved."""
    rng = np.random.default_rng(9)
    a_from_b = similarity(1.7, 0.6, np.array([3.0, 4.0]), np.array([50.0, 60.0]))
    spread = rng.normal(0, 3, (5, 2, 2))
    full = spread @ spread.transpose(0, 2, 1)
    covariances = full[:, [0, 0, 1], [0, 1, 1]]
    moved = transform_covariances(a_from_b, covariances)
    return {"transform": flat(a_from_b, 9), "covariances": flat(covariances, 9), "moved": flat(moved[:, [0, 2]], 9)}


def smoothing() -> list[Record]:
    """Noise, a jump, a pause, a repeated time, and another number of points."""
    rng = np.random.default_rng(7)
    steps = [0.033, 0.04, 0.02, 0.033, 0.033, 5.0, 0.033, 0.0, 0.033, 0.033]
    inputs, time_s = [], 0.0
    for i, step in enumerate(steps):
        time_s += step
        points = np.array([[10, 20], [30, 20], [20, 40.0]]) + rng.normal(0, 0.4, (3, 2)) + (15 if i == 4 else 0)
        variances = rng.uniform(0.5, 9, (3, 2))
        count = 2 if i == 9 else 3
        inputs.append((points[:count].round(3), variances[:count].round(3), round(time_s, 3)))
    found = []
    for name in ("accurate", "balanced", "steady"):
        smooth = make_smoother(name)
        answers = [smooth(points, t, 25.0, variances[:, [0, 0, 1]]) for points, variances, t in inputs]
        frames = [
            {"points": flat(points), "variances": flat(variances), "time_s": t, "smooth": flat(answer, 6)}
            for (points, variances, t), answer in zip(inputs, answers)
        ]
        found.append({"name": name, "face_size": 25.0, "frames": frames})
    return found


def tracks() -> Record:
    """Faces that move, are covered, leave, return and jump: every call of the track manager, and its state after it."""
    rng = np.random.default_rng(8)
    shape = np.array([[-30, -30], [30, -25], [5, 30.0]])
    places, speeds = rng.uniform(50, 300, (FACES, 2)), rng.normal(0, 60, (FACES, 2))
    known, frames = TrackManager(3), []
    for number in range(FRAMES):
        time_s = round(number / 30 + (1.0 if number > 70 else 0), 4)
        places = places + speeds / 30
        away = (places < 0) | (places > 300)
        speeds = np.where(away, -speeds, speeds)
        if number % 4 == 3:
            places = places + rng.normal(0, 15, places.shape)
        seen = [_sighting(shape + place, rng) for place in places]
        visible = rng.random(FACES) < 0.8
        frames.append(_frame(known, time_s, seen, visible, rng))
    return {
        "max_faces": known.max_faces,
        "coast_s": known.coast_s,
        "coast_frames": known.coast_frames,
        "frames": frames,
    }


def _sighting(points: Array, rng: np.random.Generator) -> Estimate:
    points = (points + rng.normal(0, 1, points.shape)).round(1)
    score = round(float(rng.uniform(0.85, 1)), 3)
    count = len(points)
    return Estimate(Landmarks.unchecked(points, np.full(count, score), np.zeros((count, 3)), IBUG68), score)


def _frame(
    known: TrackManager, time_s: float, seen: list[Estimate], visible: NDArray[np.bool_], rng: np.random.Generator
) -> Record:
    """Simulate and record one frame. A track is measured at the nearest visible face."""
    record: Record = {"time_s": time_s, "interval_s": 0.0333, "sightings": list(map(_of_sighting, seen))}
    known.begin_frame(time_s, 0.0333)
    record["doubt"] = bool(rng.random() < 0.15)
    if record["doubt"]:
        known.mark_cut()
    pairs = [(track, _nearest(track, seen)) for track in known.tracks]
    pairs = [(track, i) for track, i in pairs if visible[i]]
    record["followed"] = [[track.id, i] for track, i in pairs]
    known.update([(track, seen[i]) for track, i in pairs])
    if rng.random() < 0.5:
        chosen = [i for i in range(len(seen)) if visible[i] and rng.random() < 0.7]
        record["detected"], record["sure"] = chosen, bool(rng.random() < 0.7)
        shifts = rng.normal(0, 12, (len(chosen), 2)).round(1)
        boxes = [extent(seen[i].landmarks.points_px + shift) for i, shift in zip(chosen, shifts)]
        record["boxes"] = [flat(box, 1) for box in boxes]
        known.confirm(boxes)
        record["known"] = [known.is_measured(box) for box in boxes]
        record["awaited"] = [known.may_be_coasting(box) for box in boxes]
        record["shown_by"] = [track.id if (track := known.find_measured(box)) else None for box in boxes]
        record["room"] = known.free_places()
        record["ids"] = sorted(known.add([seen[i] for i in chosen], record["sure"]))
    record["tracks"] = list(map(_of_track, known.tracks))
    record["lost"] = [face.id for face in known.lost]
    return record


def _nearest(track: Track, seen: list[Estimate]) -> int:
    away = [float(np.abs(track.landmarks.points_px - each.landmarks.points_px).sum()) for each in seen]
    return int(np.argmin(away))


def _of_sighting(seen: Estimate) -> Record:
    return {"points": flat(seen.landmarks.points_px, 1), "score": seen.score}


def _of_track(track: Track) -> Record:
    found = {name: getattr(track, name) for name in ("id", "measured", "unconfirmed", "missed", "score")}
    return {
        **found,
        "doubtful": track.after_cut,
        "sure": track.confident,
        "box": flat(track.box_px, 2),
        "velocity": flat(track.velocity_px_s, 3),
    }


if __name__ == "__main__":
    sys.exit(main())
