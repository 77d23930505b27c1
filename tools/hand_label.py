"""python -m tools.hand_label choose|show|write: label faces by eye, independent of every landmark model.

choose selects the faces, show writes enlarged parts of a picture to read coordinates, write makes the .pts file of a
table of points. All coordinates are in pixels of the picture, pixel centres at integers.
"""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.enlarged import enlarge
from tools.point_table import read_points
from tracker.cli.command import run_commands
from tracker.datasets.sample import DatasetError
from tracker.detectors.loading import load_detector
from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.face.pts import as_pts, expect_near
from tracker.face.schemes import IBUG68
from tracker.sources.pictures import decode_picture
from tracker.system.files import read_text, write_whole
from train.datasets import CustomDataset

PARTS = {
    "face": (-0.3, -0.15, 1.3, 1.25),
    "right_eye": (-0.1, 0.05, 0.6, 0.6),
    "left_eye": (0.4, 0.05, 1.1, 0.6),
    "nose": (0.15, 0.25, 0.85, 0.85),
    "mouth": (0.1, 0.5, 0.9, 1.05),
    "right_outline": (-0.3, 0.2, 0.4, 1.1),
    "left_outline": (0.6, 0.2, 1.3, 1.1),
    "lower_outline": (0.0, 0.6, 1.0, 1.25),
}
"""Left, top, right and bottom of each part, as shares of the detected box; right is the subject's right."""
GROUPS = ("file", "race", "gender", "age")
AGES = {"03-Sep": "3-9", "Oct-19": "10-19"}
"""What a spreadsheet made of two age groups in copies of FairFace's table."""


def main() -> int:
    """Run the command line."""
    return run_commands({"choose": choose, "show": show, "write": write}, "tools.hand_label")


def choose(labels: Path, groups: Path, output: Path, count: int = 50, seed: int = 0) -> None:
    """Choose held-back faces of a folder that train.label wrote, balanced over race and gender, of all ages.

    The faces that the teacher left out have no label there and are never chosen.

    Args:
        labels: the folder of train.label; the same 1/14 of its faces is held back as in a training.
        groups: a table with the columns file, race, gender and age.
        output: the table to write, with the columns name, race, gender and age.
        count: how many faces.
        seed: of the choice.
    """
    try:
        held_back = {sample.picture.name for sample in CustomDataset(labels, IBUG68.name).faces()[1]}
        table = csv.DictReader(io.StringIO(read_text(groups, 100_000_000)), restval="")
        if missing := {*GROUPS} - set(table.fieldnames or ()):
            raise TrackerError(f"{groups}: expected a column {min(missing)}, found none; add it")
        rows = {row["file"]: row for row in table if row["file"] in held_back}
    except DatasetError as error:
        raise TrackerError(str(error)) from None
    except OSError as error:
        raise TrackerError(f"{groups}: expected a table of groups, it cannot be read: {error.strerror}") from None
    except (ValueError, csv.Error) as error:
        raise TrackerError(f"{groups}: expected a table with the columns {', '.join(GROUPS)}; {error}") from None
    chosen = balanced([*rows.values()], count, seed)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["name", *GROUPS[1:]])
    lines.writerows([Path(row["file"]).stem, row["race"], row["gender"], age_of(row)] for row in chosen)
    save(output, text.getvalue().encode())
    print(f"{len(chosen)} of {len(held_back)} held-back faces chosen, see {output}")


def age_of(row: Mapping[str, str]) -> str:
    """Return the age group of a row, by FairFace's names."""
    return AGES.get(row["age"], row["age"])


def balanced(rows: Sequence[Mapping[str, str]], count: int, seed: int) -> list[Mapping[str, str]]:
    """Choose so many rows: from each race and gender in turn the one of the age that was chosen least so far."""
    if not 1 <= count <= len(rows):
        raise TrackerError(f"--count: expected 1 to {len(rows)}, the held-back faces with a group, got {count}")
    rng = np.random.default_rng(seed)
    ordered = sorted(rows, key=lambda row: row["file"])
    cells: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for i in rng.permutation(len(ordered)):
        cells.setdefault((ordered[i]["race"], ordered[i]["gender"]), []).append(ordered[i])
    chosen: list[Mapping[str, str]] = []
    ages: Counter[str] = Counter()
    while len(chosen) < count:
        for cell in [cell for cell in cells.values() if cell][: count - len(chosen)]:
            row = min(cell, key=lambda row: ages[row["age"]])
            cell.remove(row)
            ages[row["age"]] += 1
            chosen.append(row)
    return chosen


def show(image: Path, output: Path, points: Path | None = None, area: list[float] | None = None) -> None:
    """Write enlarged parts of the largest face of a picture, with a grid in pixels, as OUTPUT/NAME.PART.png.

    The parts depend only on the face detector's box, not on a landmark model.

    Args:
        image: the picture.
        output: the folder to write to.
        points: a table as write takes it, perhaps unfinished; its points are drawn.
        area: left, top, right, bottom in pixels; this one part is written instead.
    """
    image_rgb = decode_picture(image)
    parts = dict(parts_of(image_rgb)) if area is None else {"area": np.array(area)}
    if any(box.shape != (4,) or not ((box[2:] > box[:2]) & (np.abs(box[2:]) < 1e5)).all() for box in parts.values()):
        raise TrackerError(f"--area: expected [left,top,right,bottom] in pixels of the picture, got {area}")
    placed = {} if points is None else read_points(points)
    for name, box in parts.items():
        done, png = cv2.imencode(".png", cv2.cvtColor(enlarge(image_rgb, box, placed), cv2.COLOR_RGB2BGR))
        assert done
        save(output / f"{image.stem}.{name}.png", png.tobytes())


def parts_of(image_rgb: NDArray[np.uint8]) -> dict[str, Array]:
    """Return left, top, right, bottom of the parts of the largest face; of the picture if no face is found."""
    found = [face.box_px for face in load_detector().detect(image_rgb)]
    whole = np.array([0, 0, image_rgb.shape[1], image_rgb.shape[0]], np.float64)
    x, y, width, height = max(found, key=lambda box: float(box[2] * box[3]), default=whole)
    return {name: np.array([x, y] * 2) + np.array(share) * ([width, height] * 2) for name, share in PARTS.items()}


def write(points: Path, image: Path, output: Path) -> None:
    """Write a face's .pts file.

    Args:
        points: a table with the header index,x,y,note, see tools.point_table.
        image: its picture.
        output: the .pts file.
    """
    placed = read_points(points)
    if missing := sorted(set(range(IBUG68.count)) - set(placed)):
        raise TrackerError(f"{points}: expected {IBUG68.count} points, {missing} are missing; add them")
    ordered, (height, width) = np.stack([placed[i] for i in range(IBUG68.count)]), decode_picture(image).shape[:2]
    try:
        expect_near(ordered, width, height)
    except ValueError as error:
        raise TrackerError(f"{points}: {error}; correct it") from None
    save(output, as_pts(ordered))


def save(path: Path, content: bytes) -> None:
    """Write a file, and make its folder if necessary; raise TrackerError if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise TrackerError(f"--output: {path} cannot be written: {error.strerror}; give another place") from None


if __name__ == "__main__":
    sys.exit(main())
