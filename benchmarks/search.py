"""python -m benchmarks.search: detection at any roll, its delay, and false detections.

It uses only functions that the tracker has had since its first version, so it can be copied into an older checkout.
"""

from __future__ import annotations

import csv
import json
import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks._lib.machine import machine
from benchmarks._lib.reports import check_report, write_report
from tracker import Frame, Tracker
from tracker.cli.command import run_command
from tracker.datasets.pts_files import labelled_pictures, read_pts
from tracker.face.geometry import similarity, transform_points
from tracker.sources import read_picture

Image = NDArray[np.uint8]
Array = NDArray[np.float64]

RIGHT = 0.15
"""The mean error of a rolled face that was found right, in distances between the outer eye corners, is below this."""
ON_FACE = 0.25
"""The same of a picture from the folder of stills, where heads are turned and that distance is short."""
BANDS = tuple(range(0, 360, 30))
FACES = 75
FPS, WANTED_FRAMES = 30, 15
STEPS = 400
BLANK = np.full((480, 480, 3), 110, np.uint8)
NO_PEOPLE = (
    *("brick", "cell", "chelsea", "clock", "coffee", "coins", "colorwheel", "grass", "gravel", "horse"),
    *(
        "hubble_deep_field",
        "immunohistochemistry",
        "logo",
        "microaneurysms",
        "moon",
        "page",
        "retina",
        "rocket",
        "text",
    ),
)
"""The pictures that scikit-image brings, without those of people."""


def main() -> int:
    """Run the command line."""
    return run_command(search, "benchmarks.search")


def search(
    rolled: Path | None = None,
    stills: Path | None = None,
    faceless: Sequence[Path] = (),
    seed: int = 1,
    drawn: int = 200,
    speed: bool = False,
    report: Path = Path("runs/search.json"),
    model: str = "edge68",
) -> None:
    """Count faces found right at any roll and in stills, false faces, and frames until a face is found.

    Args:
        rolled: a folder of labelled pictures, such as LFPW's test set; 75 of its faces are turned by a random angle
            in each 30 degrees, and shown as a still and after a frame without a face.
        stills: a folder of labelled pictures that are taken as they are; a flags.csv in it names their kinds.
        faceless: folders of pictures without faces, counted beside those that scikit-image brings.
        seed: of the angles and of the drawn pictures.
        drawn: how many pictures are drawn of shapes, patterns and noise.
        speed: time steps without a face, too; on an otherwise idle machine.
        report: the .json file to write.
        model: a landmark model, or the name of a packaged one.
    """
    check_report(report)
    rng, found = np.random.default_rng(seed), {"machine": machine(), "seed": seed, "model": model}
    if rolled is not None:
        found["rolled"] = measure_rolls(labelled_pictures(rolled), rng, model)
    if stills is not None:
        found["stills"] = {str(count): measure_stills(stills, count, model) for count in (1, 4)}
    pictures = list(faceless_pictures(faceless, drawn, rng))
    found["faceless"] = measure_faceless(pictures, model)
    if speed:
        found["step_ms"] = measure_speed([image for _, _, image in pictures], model)
    write_report(report, found)
    print(json.dumps({key: value for key, value in found.items() if key != "machine"}, indent=1))


def measure_rolls(pairs: Sequence[tuple[Path, Path]], rng: np.random.Generator, model: str) -> dict[str, Any]:
    """By band of roll, of how many faces: found right in the first frame, and within 0.5 s of appearing in a video."""
    tracker, rows = Tracker(model), {}
    chosen = pairs[:: max(1, len(pairs) // FACES)][:FACES]
    faces = [(read_picture(picture), read_pts(label)) for picture, label in chosen]
    for band in tqdm(BANDS, desc="rolls"):
        right, frames = 0, []
        for picture, points in faces:
            assert picture is not None
            image, truth = rolled_face(picture, points, rng.uniform(band, band + 30))
            right += error_of(tracker, image, truth) < RIGHT
            frames.append(frames_until_found(tracker, image, truth))
        in_time = sum(count <= WANTED_FRAMES for count in frames)
        rows[f"{band}"] = {
            "faces": len(faces),
            "right": right,
            "in_time": in_time,
            "p95": float(np.quantile(frames, 0.95)),
        }
    total = {key: sum(row[key] for row in rows.values()) for key in ("faces", "right", "in_time")}
    least = min(rows.values(), key=lambda row: row["right"] / row["faces"])
    return {"bands": rows, "all": total, "least_percent": round(100 * least["right"] / least["faces"], 1)}


def rolled_face(picture: Image, points: Array, degrees: float, side: int = 480) -> tuple[Image, Array]:
    """The face of a picture turned about its middle, a little less than half of a square picture; and its labels."""
    low, high = points.min(0), points.max(0)
    middle, scale = ((side - 1) / 2,) * 2, side / (2.2 * float((high - low).max()))
    motion = similarity(scale, float(np.radians(degrees)), (low + high) / 2, middle)
    image = cv2.warpAffine(picture, motion, (side, side), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(image, np.uint8), transform_points(motion, points)


def error_of(tracker: Tracker, image: Image, truth: Array) -> float:
    """Return the error of the nearest face in a first frame, in distances between the outer eye corners."""
    tracker.reset()
    return nearest_error(tracker.step(Frame(image, 0.0, 0)).faces, truth)


def nearest_error(faces: Iterable[Any], truth: Array) -> float:
    """Return the error of the nearest face; infinite if there is none."""
    away = [np.linalg.norm(face.landmarks.points_px - truth, axis=1).mean() for face in faces]
    return float(min(away, default=np.inf) / np.linalg.norm(truth[36] - truth[45]))


def frames_until_found(tracker: Tracker, image: Image, truth: Array) -> int:
    """Count frames from the one in which a face appears to the one in which it is right; one too many if never."""
    tracker.reset()
    tracker.step(Frame(BLANK, 0.0, 0))
    for index in range(1, WANTED_FRAMES + 1):
        if nearest_error(tracker.step(Frame(image, index / FPS, index)).faces, truth) < RIGHT:
            return index
    return WANTED_FRAMES + 1


def measure_stills(folder: Path, max_faces: int, model: str) -> dict[str, Any]:
    """Count the labelled faces of a folder that are found, in all and by the flags of their pictures."""
    tracker, flags, errors = Tracker(model, max_faces=max_faces), read_flags(folder / "flags.csv"), {}
    for picture, label in tqdm(labelled_pictures(folder), desc="stills"):
        image = read_picture(picture)
        assert image is not None
        errors[picture.stem] = error_of(tracker, image, read_pts(label))
    groups = {"all": set(errors), **{flag: names & set(errors) for flag, names in flags.items()}}
    return {
        group: {
            "faces": len(names),
            "found": sum(math.isfinite(errors[name]) for name in names),
            "right": sum(errors[name] < ON_FACE for name in names),
            f"error below {RIGHT}": sum(errors[name] < RIGHT for name in names),
        }
        for group, names in groups.items()
    }


def read_flags(path: Path) -> dict[str, set[str]]:
    """Read the names that each column but the first of a CSV file marks with a number above 0; empty without a file."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    first, *flags = rows[0]
    return {flag: {row[first] for row in rows if float(row[flag]) > 0} for flag in flags}


def faceless_pictures(
    folders: Sequence[Path], drawn: int, rng: np.random.Generator
) -> Iterator[tuple[str, str, Image]]:
    """Yield group, name and picture: scikit-image's if it is installed, drawn ones, and those of folders."""
    try:
        from skimage import data
    except ImportError:
        print("scikit-image is not installed: its pictures are left out", file=sys.stderr)
    else:
        for name in NO_PEOPLE:
            if (image := packaged(data, name)) is not None:
                yield "scikit-image", name, image
    for index in range(drawn):
        yield "drawn", f"{index}", draw(rng)
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.is_file() and (read := read_picture(path)) is not None:
                yield folder.name, path.name, read


def packaged(data: Any, name: str) -> Image | None:
    """Return a picture of scikit-image as RGB bytes; None if this version would have to download it."""
    try:
        image = np.asarray(getattr(data, name)())
    except (AttributeError, OSError, ModuleNotFoundError):
        return None
    if image.dtype == bool:
        image = 255 * image.astype(np.uint8)
    image = image if image.ndim == 3 else np.dstack([image] * 3)
    return np.ascontiguousarray(image[..., :3], np.uint8)


def draw(rng: np.random.Generator) -> Image:
    """(480, 640, 3): soft noise of a random fineness under random shapes, or without them."""
    coarse = rng.integers(0, 256, (int(rng.integers(2, 60)), int(rng.integers(2, 80)), 3)).astype(np.uint8)
    image = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(0, 40))):
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        x, y = (int(value) for value in rng.integers(0, 480, 2))
        size, width = (int(value) for value in rng.integers(5, 150, 2))
        thickness = int(rng.choice([-1, 2, 8]))
        kind = rng.integers(4)
        if kind == 0:
            cv2.ellipse(image, (x, y), (size, width), float(rng.uniform(0, 360)), 0, 360, colour, thickness)
        elif kind == 1:
            cv2.rectangle(image, (x, y), (x + size, y + width), colour, thickness)
        elif kind == 2:
            cv2.line(image, (x, y), (x + 2 * size, y + width), colour, abs(thickness))
        else:
            cv2.putText(image, "Text 80", (x, y), cv2.FONT_HERSHEY_SIMPLEX, size / 40, colour, abs(thickness))
    return np.asarray(image, np.uint8)


def measure_faceless(pictures: Sequence[tuple[str, str, Image]], model: str) -> dict[str, Any]:
    """Count by group the pictures in which a face is found with max_faces 1, and the faces found with max_faces 4."""
    one, four = Tracker(model), Tracker(model, max_faces=4)
    groups: dict[str, dict[str, Any]] = {}
    for group, name, image in tqdm(pictures, desc="faceless"):
        row = groups.setdefault(group, {"pictures": 0, "with_a_face": 0, "faces_of_four": 0, "names": []})
        for tracker in (one, four):
            tracker.reset()
        found, faces = one.step(Frame(image, 0.0, 0)).faces, four.step(Frame(image, 0.0, 0)).faces
        row["pictures"] += 1
        row["with_a_face"] += bool(found)
        row["faces_of_four"] += len(faces)
        row["names"] += [name] if found or faces else []
    return groups


def measure_speed(pictures: Sequence[Image], model: str) -> dict[str, float]:
    """Return quantiles of Tracker.step in milliseconds over frames without a face, except for the first one.

    Each picture is a video of its own, in 640 x 480, so that each turn of the search is among them.
    """
    tracker, times = Tracker(model), []
    each = max(9, STEPS // len(pictures))
    for picture in pictures:
        image = np.asarray(cv2.resize(picture, (640, 480), interpolation=cv2.INTER_AREA), np.uint8)
        tracker.reset()
        for index in range(each):
            start = time.perf_counter()
            result = tracker.step(Frame(image, index / FPS, index))
            if index and not result.faces:
                times.append(1000 * (time.perf_counter() - start))
    return {"steps": len(times), **{f"p{p}": round(float(np.percentile(times, p)), 2) for p in (50, 95, 99)}}


if __name__ == "__main__":
    sys.exit(main())
