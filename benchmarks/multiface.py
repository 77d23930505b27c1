"""python -m benchmarks.multiface --root MULTIFACE: pictures of several labelled faces as clips under known motion."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks._lib.moving import MovingPicture
from benchmarks._lib.reports import check_report, write_report
from tracker import Frame, Tracker, TrackerError
from tracker.cli.command import run_command
from tracker.datasets.pts_files import PICTURE_SUFFIXES, read_pts
from tracker.detectors.base import Detection
from tracker.detectors.loading import DetectorName
from tracker.evaluation.stills import nearest
from tracker.face.geometry import Array, extent
from tracker.result import TrackedFace
from tracker.sources import read_picture

ON_FACE = 0.15
"""A tracked face is on a labelled one when its mean error is at most this share of the label's sqrt(width * height)."""


@dataclass
class Counts:
    """Tracking figures of the labelled faces of one picture.

    detected: in at least half of the frames. tracked: of those, in at least nine of ten frames since the first half
    second. frames: those in which a detected face is tracked, in percent. switches: how often a face is given another
    identity than it had. swaps: how often it is given one that another labelled face has had. extra: the most
    tracked faces in one frame that are on no labelled face (not every face is labelled).
    """

    labelled: int
    detected: int = 0
    tracked: int = 0
    frames_percent: float = 0.0
    switches: int = 0
    swaps: int = 0
    extra: int = 0
    untracked: list[int] = field(default_factory=list)


class FaceLog:
    """One labelled face in a clip: in which frames it was detected, and its id in each, 0 for none."""

    def __init__(self) -> None:
        self.detected: list[bool] = []
        self.ids: list[int] = []

    def switches(self) -> int:
        """Return how often the id of the face changed."""
        known = [one for one in self.ids if one]
        return sum(a != b for a, b in pairwise(known))

    def tracked_share(self, start: int) -> float:
        """Return the fraction of frames, from start on, in which the face is tracked."""
        return float(np.mean([one != 0 for one in self.ids[start:]]))

    @property
    def is_detected(self) -> bool:
        """Tell whether the face was detected in at least half of the frames."""
        return 2 * sum(self.detected) >= len(self.detected)


def main() -> int:
    """Run the command line."""
    return run_command(multiface, "benchmarks.multiface")


def multiface(
    root: Path,
    report: Path = Path("runs/multiface.json"),
    frames: int = 75,
    max_faces: int = 32,
    model: Path | None = None,
    detector: DetectorName = "auto",
    only: str = "",
) -> None:
    """Track every face of each picture while it pans, zooms and rolls, and count losses and changes of id.

    Args:
        root: a folder of NAME.jpg, and NAME_1.pts, NAME_2.pts and so on for its faces.
        report: the .json file to write.
        frames: how many each clip has, at 25 a second.
        max_faces: how many the tracker follows at most.
        model: a landmark model; the packaged one if not given.
        detector: what finds the faces.
        only: the name of one picture.
    """
    check_report(report)
    pictures = labelled_pictures(root, only)
    tracker = Tracker(model, detector, max_faces=max_faces)
    rows: dict[str, Counts] = {}
    for name, clip in tqdm(((p.stem, moving(p, labels, frames)) for p, labels in pictures), total=len(pictures)):
        rows[name] = follow(tracker, clip)
    write_report(report, {name: asdict(counts) for name, counts in rows.items()})
    print(table(rows), f"detector {tracker.detector.name}; report: {report}", sep="\n")


def labelled_pictures(root: Path, only: str) -> list[tuple[Path, list[Path]]]:
    """Find pictures and the labels of their faces; raise TrackerError if there are none."""
    pictures = [p for p in sorted(root.glob("*")) if p.suffix.lower() in PICTURE_SUFFIXES and only in ("", p.stem)]
    found = [(p, sorted(root.glob(f"{p.stem}_*.pts"), key=lambda q: int(q.stem.rpartition("_")[2]))) for p in pictures]
    if not any(labels for _, labels in found):
        raise TrackerError(f"{root}: expected pictures NAME.jpg with labels NAME_1.pts and so on, there are none")
    return found


def moving(picture: Path, labels: Sequence[Path], frames: int) -> MovingPicture:
    """Make the clip of a picture; raise TrackerError if it cannot be decoded."""
    image_rgb = read_picture(picture)
    if image_rgb is None:
        raise TrackerError(f"{picture}: expected a picture, it cannot be decoded")
    return MovingPicture(image_rgb, [read_pts(label) for label in labels], frames)


def follow(tracker: Tracker, clip: MovingPicture) -> Counts:
    """Run the tracker over the clip, and the detector beside it on every frame."""
    tracker.reset()
    logs = [FaceLog() for _ in clip.faces_px]
    extra = 0
    for index, (image_rgb, truths) in enumerate(clip):
        faces = tracker.step(Frame(image_rgb, index / clip.fps, index)).faces
        detections = tracker.detector.detect(image_rgb)
        owners = [face_on(faces, truth) for truth in truths]
        extra = max(extra, len(faces) - len({face.id for face in owners if face}))
        for log, truth, face in zip(logs, truths, owners):
            log.detected.append(is_detected(detections, truth))
            log.ids.append(face.id if face else 0)
    return counts(logs, extra, start=round(clip.fps / 2))


def is_detected(detections: Sequence[Detection], truth_px: Array) -> bool:
    """Tell whether a detection is on the labelled face."""
    return nearest(detections, extent(truth_px)) is not None


def face_on(faces: Sequence[TrackedFace], truth_px: Array) -> TrackedFace | None:
    """Return the tracked face that is on a labelled one (68, 2); None if there is none."""
    size = np.sqrt(np.prod(extent(truth_px)[2:]))
    distances = {i: np.linalg.norm(f.landmarks.points_px - truth_px, axis=1).mean() / size for i, f in enumerate(faces)}
    best = min(distances, key=lambda i: distances[i], default=None)
    return faces[best] if best is not None and distances[best] <= ON_FACE else None


def counts(logs: Sequence[FaceLog], extra: int, start: int) -> Counts:
    """Count tracking errors; start is the frame from which a face is expected to be tracked."""
    detected = [log for log in logs if log.is_detected]
    shares = [log.tracked_share(start) for log in detected]
    return Counts(
        labelled=len(logs),
        detected=len(detected),
        tracked=sum(share >= 0.9 for share in shares),
        frames_percent=round(100 * float(np.mean(shares)), 1) if shares else 0.0,
        switches=sum(log.switches() for log in logs),
        swaps=swaps(logs),
        extra=extra,
        untracked=[i + 1 for i, log in enumerate(logs) if log.is_detected and log.tracked_share(start) < 0.9],
    )


def swaps(logs: Sequence[FaceLog]) -> int:
    """Count how often an id moves to another labelled face."""
    owner: dict[int, int] = {}
    changed = 0
    for ids in zip(*(log.ids for log in logs)):
        for face, one in enumerate(ids):
            changed += bool(one) and owner.get(one, face) != face
            owner[one] = face
    return changed


def table(rows: dict[str, Counts]) -> str:
    """Format a line for each picture, and their sums."""
    names = ("labelled", "detected", "tracked", "frames_percent", "switches", "swaps", "extra", "untracked")
    total = Counts(*(sum(getattr(row, name) for row in rows.values()) for name in names[:3]))
    share = sum(row.frames_percent * row.detected for row in rows.values()) / max(total.detected, 1)
    total.frames_percent = round(share, 1)
    total.switches, total.swaps = (sum(getattr(row, name) for row in rows.values()) for name in names[4:6])
    total.extra = sum(row.extra for row in rows.values())
    lines = [["picture", *(name.replace("_percent", " %") for name in names)]]
    lines += [[name, *(str(getattr(row, key)) for key in names)] for name, row in {**rows, "all": total}.items()]
    return "\n".join(f"{line[0]:14}" + "".join(f"{cell:>10}" for cell in line[1:]) for line in lines)


if __name__ == "__main__":
    sys.exit(main())
