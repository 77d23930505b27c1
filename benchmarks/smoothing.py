"""python -m benchmarks.smoothing --root DIR: jitter on a still face and lag on a moving one, for each filter.

With --clips also on real clips, whose truth is what the model measures, smoothed without lag.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, product
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter
from tqdm import tqdm

from benchmarks._lib.moving import MovingPicture
from benchmarks._lib.one_euro import OneEuro
from benchmarks._lib.reports import check_report, write_report
from benchmarks.speed import MEDIAPIPE, REPOSITORY, mediapipe_environment
from benchmarks.talking_face import FACEMESH, POINTS, FaceMesh
from tracker import Frame, Tracker, TrackerError
from tracker.cli.command import run_command
from tracker.datasets.pts_files import PICTURE_SUFFIXES, read_pts
from tracker.face.crop import Roi, crop, roi_of_landmarks
from tracker.face.geometry import extent, transform_points
from tracker.face.landmarks import Landmarks
from tracker.metrics.stability import acceleration, lag_frames, offset_removed
from tracker.sources import as_rgb, read_picture
from tracker.tracking.smoothing import PRESETS, Smoother

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

FPS = 30.0
SIDE = 480
FACE = 3.0  # the frame's side in face sizes
MOST_LAG = 10
SETTLED = 30  # frames after which a clip is looked at
MOST_FRAMES = 400
USUAL = ((0.3, 60.0, 2.0), (0.3, 30.0, 2.0), (0.1, 10.0, 5.0))  # One Euro in three strengths, for the tables
SPEEDS = {"still": 0.0, "slow": 1.0, "quick": 3.0}  # of the motion of benchmarks._lib.moving
CUTOFFS_HZ, BETAS, SPEED_CUTOFFS_HZ = (
    (0.1, 0.3, 0.5, 1.0, 2.0),
    (5.0, 10.0, 20.0, 30.0, 60.0, 120.0),
    (1.0, 2.0, 5.0),
)
DRAWN_HZ = 2.0  # the cutoff of the speed whose curves are drawn


@dataclass(frozen=True, eq=False)
class Track:
    """Measured and true positions in a clip of T frames, at the 18 points that FaceMesh has as well.

    raw, truth: (T, 18, 2). covariances: (T, 18, 3). sizes_px: (T,) of the face, as the tracker counts it. meshes:
    FaceMesh's points (T, 18, 2) by name.
    """

    raw: Array
    covariances: Array
    sizes_px: Array
    truth: Array
    meshes: dict[str, Array]
    fps: float = FPS

    def smoothed(self, make: Callable[[], Smoother]) -> Array:
        """Return the landmarks (T, 18, 2) after a filter."""
        smooth = make()
        rows = zip(self.raw, self.sizes_px, self.covariances)
        return np.array([smooth(raw, n / self.fps, size, noise) for n, (raw, size, noise) in enumerate(rows)])

    def figures(self, points: Array) -> tuple[float, float, float]:
        """Return jitter, wander and lag of points (T, 18, 2).

        Jitter is the mean norm of the error's second difference, wander the mean distance of the error from its mean,
        both in percent of the distance between the outer eye corners. Lag is in frames behind the truth.
        """
        points, truth = points[SETTLED:], self.truth[SETTLED:]
        eyes = np.linalg.norm(truth[:, POINTS.index(45)] - truth[:, POINTS.index(36)], axis=1)
        jitter, wander = acceleration(points - truth, eyes), offset_removed(points, truth, eyes)
        return 100 * jitter, 100 * wander, lag_frames(points, truth, MOST_LAG)

    def blink_kept(self, make: Callable[[], Smoother]) -> float:
        """Return the fraction of a blink's depth that the filter keeps.

        The blink is added to the measured points: they move down by 5 % of the face and up again within 200 ms, which
        is faster than the motions of the clips.
        """
        seconds = np.arange(len(self.raw)) / FPS - 2
        wave = 0.025 * (1 + np.cos(2 * np.pi * seconds / 0.2)) * (np.abs(seconds) < 0.1)
        shift = np.stack([np.zeros_like(wave), wave * self.sizes_px], axis=1)[:, None]
        sunk = replace(self, raw=self.raw + shift).smoothed(make) - self.smoothed(make)
        around = slice(int(2 * FPS) - 1, int(2 * FPS) + 4)
        return float(sunk[around, :, 1].max(0).mean() / (0.05 * self.sizes_px.mean()))


Tracks = Mapping[str, list[Track]]
Record = dict[str, dict[str, float]]
COLUMNS = {
    "jitter": "jitter, still, %",
    "wander": "wander, still, %",
    "lag_slow": "lag, slow, frames",
    "lag_quick": "lag, quick, frames",
    "blink_kept": "of a blink's depth",
}


def main() -> int:
    """Run the command line."""
    return run_command(smoothing, "benchmarks.smoothing")


def smoothing(
    root: Path,
    clips: Path | None = None,
    faces: int = 6,
    frames: int = 120,
    mediapipe_python: Path | None = None,
    report: Path = Path("runs/smoothing.json"),
    plot: Path = Path("runs/smoothing.png"),
) -> None:
    """Measure filters on photographs that are still or have a known motion, with sensor noise and video compression.

    Args:
        root: a folder of NAME.jpg or .png with NAME.pts, as the LFPW test set of 300W; the first faces are taken.
        clips: a folder of videos, each with one face.
        faces: how many.
        frames: how many each clip has, at 30 a second.
        mediapipe_python: a Python that has mediapipe; if not given, an environment is made in runs/.
        report: the .json file to write.
        plot: the .png file to write.
    """
    check_report(report)
    videos = [] if clips is None else [path for path in sorted(clips.glob("*")) if path.is_file()]
    if clips is not None and not videos:
        raise TrackerError(f"--clips: expected a folder of videos, {clips} has no file")
    python = mediapipe_python or mediapipe_environment(REPOSITORY / "runs" / MEDIAPIPE.replace("==", "-"))
    stills = squares(root, faces)
    with ExitStack() as stack:
        size = (SIDE, SIDE)
        meshes = {FACEMESH[side]: stack.enter_context(FaceMesh(python, side, size)) for side in FACEMESH}
        tracks = {
            name: [track(clip(*still, speed, frames), meshes) for still in tqdm(stills, desc=name)]
            for name, speed in SPEEDS.items()
        }
    record = figures(tracks)
    of_clips = means_of_clips([filmed_face(path) for path in videos]) if videos else {}
    write_report(report, {"faces": faces, "frames": frames, "sides": record, "clips": of_clips})
    draw(record, plot)
    print(table(record), *better(record), f"report: {report}, plot: {plot}", sep="\n")
    print(table_of_clips(of_clips))


def squares(root: Path, count: int) -> list[tuple[Image, Array]]:
    """Return pictures (480, 480, 3) of one face each with labels; raise TrackerError if there are too few."""
    found: list[tuple[Image, Array]] = []
    for path in sorted(p for p in root.glob("*") if p.suffix.lower() in PICTURE_SUFFIXES):
        image_rgb, labels = read_picture(path), path.with_suffix(".pts")
        if len(found) < count and image_rgb is not None and labels.exists():
            points = read_pts(labels)
            face = roi_of_landmarks(points)
            view = Roi(face.center_px, FACE * float(np.sqrt(np.prod(extent(points)[2:]))))
            found.append((crop(image_rgb, view, SIDE), transform_points(view.crop_from_image(SIDE), points)))
    if len(found) < count:
        raise TrackerError(f"{root}: expected {count} pictures with labels NAME.pts, there are {len(found)}")
    return found


def clip(still: Image, labels: Array, speed: float, frames: int) -> MovingPicture:
    """Make a clip of a picture that moves at a relative speed; 0 for a still one."""
    held = range(0, frames if speed == 0 else 0)
    return MovingPicture(still, [labels], frames, FPS / speed if speed else FPS, zoom=1.0, still=held)


def track(moving: MovingPicture, meshes: Mapping[str, FaceMesh]) -> Track:
    """Track the same decoded frames with all systems; raise TrackerError if our tracker loses the face."""
    raw: list[Landmarks] = []
    found: dict[str, list[Array]] = {name: [] for name in meshes}
    tracker = Tracker(smoothing="none")
    for index, image_rgb in enumerate(filmed(moving)):
        faces = tracker.step(Frame(image_rgb, index / FPS, index)).faces
        if not faces or faces[0].id != 1 or faces[0].state != "tracking":
            raise TrackerError(f"frame {index} of a clip: the face was not tracked; take other --faces")
        raw.append(faces[0].raw)
        for name, mesh in meshes.items():
            found[name].append(mesh.step(image_rgb))
    return Track(
        np.array([each.points_px for each in raw])[:, POINTS],
        np.array([each.covariances_px2 for each in raw])[:, POINTS],
        np.array([np.sqrt(np.prod(extent(each.points_px)[2:])) for each in raw]),
        np.array([moving.truths_px(index)[0] for index in range(moving.count)])[:, POINTS],
        {name: np.array(points) for name, points in found.items()},
    )


def filmed(moving: MovingPicture) -> Iterator[Image]:
    """Simulate a webcam: shot and read noise of 2 to 4 grey levels, then MPEG-4 compression."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "clip.mp4")
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), FPS, (SIDE, SIDE))
        for image_rgb, _ in moving:
            light = image_rgb.astype(np.float32)
            noisy = light + rng.standard_normal(light.shape, np.float32) * np.sqrt(4 + 0.05 * light)
            writer.write(cv2.cvtColor(noisy.clip(0, 255).round().astype(np.uint8), cv2.COLOR_RGB2BGR))
        writer.release()
        capture = cv2.VideoCapture(path)
        for _ in range(moving.count):
            yield as_rgb(capture.read()[1])


def filmed_face(path: Path) -> Track:
    """Track the first face of a video, up to MOST_FRAMES; the truth is its measured points, smoothed without lag.

    The smoothing is that of Savitzky and Golay: a parabola through 7 frames.
    """
    raw: list[Landmarks] = []
    times_s: list[float] = []
    for result in islice(Tracker(smoothing="none").run(path), MOST_FRAMES):
        if result.faces and result.faces[0].id == 1 and result.faces[0].state == "tracking":
            raw.append(result.faces[0].raw)
            times_s.append(result.timestamp_s)
    points = np.array([each.points_px for each in raw])
    if len(points) < 2 * SETTLED:
        raise TrackerError(f"{path}: expected a face in {2 * SETTLED} frames, there is one in {len(points)}")
    return Track(
        points[:, POINTS],
        np.array([each.covariances_px2 for each in raw])[:, POINTS],
        np.array([np.sqrt(np.prod(extent(each)[2:])) for each in points]),
        savgol_filter(points, 7, 2, axis=0)[:, POINTS],
        {},
        1 / float(np.median(np.diff(times_s))),
    )


def means_of_clips(clips: list[Track]) -> Record:
    """Return jitter, error and lag of each filter, averaged over clips."""
    names = ("jitter", "error", "lag")
    return {
        name: dict(zip(names, np.mean([each.figures(each.smoothed(make)) for each in clips], axis=0).tolist()))
        for name, make in filters(USUAL).items()
    }


def table_of_clips(record: Record) -> str:
    """Format the figures of clips as Markdown."""
    rows = ["| | jitter, % | error, % | lag, frames |", "| --- | --- | --- | --- |"]
    rows += [f"| {name} | {' | '.join(f'{value:.3f}' for value in row.values())} |" for name, row in record.items()]
    return "\n".join(rows)


def filters(grids: Iterable[tuple[float, float, float]]) -> dict[str, Callable[[], Smoother]]:
    """Return the presets and One Euro with these parameters, by title."""
    return {**dict(PRESETS.items()), **{one_euro(*grid): partial(OneEuro, *grid) for grid in grids}}


def figures(tracks: Tracks) -> Record:
    """Return means over the faces by filter: jitter and wander at rest, lags, and the remaining depth of a blink."""
    record = {}
    for name, make in tqdm(filters(product(CUTOFFS_HZ, BETAS, SPEED_CUTOFFS_HZ)).items(), desc="filters"):
        record[name] = means({speed: [t.figures(t.smoothed(make)) for t in some] for speed, some in tracks.items()})
        record[name]["blink_kept"] = float(np.mean([t.blink_kept(make) for t in tracks["still"]]))
    for name in FACEMESH.values():
        record[name] = means({speed: [t.figures(t.meshes[name]) for t in some] for speed, some in tracks.items()})
    return record


def means(each: Mapping[str, list[tuple[float, float, float]]]) -> dict[str, float]:
    """Average the figures over the faces."""
    mean = {speed: np.mean(rows, axis=0).tolist() for speed, rows in each.items()}
    return {
        "jitter": mean["still"][0],
        "wander": mean["still"][1],
        "lag_slow": mean["slow"][2],
        "lag_quick": mean["quick"][2],
    }


def one_euro(cutoff_hz: float, beta: float, speed_cutoff_hz: float) -> str:
    """Return the title of a One Euro filter."""
    return f"OneEuro({cutoff_hz:g}, {beta:g}, {speed_cutoff_hz:g})"


def better(record: Record) -> Iterator[str]:
    """Return for each preset the One Euro filter of the grid with the least jitter that is not worse otherwise."""
    for name in ("accurate", "balanced", "steady"):
        mine = record[name]
        others = [
            other
            for other, row in record.items()
            if other.startswith("OneEuro") and row["blink_kept"] >= mine["blink_kept"] - 0.005
            if all(row[key] <= mine[key] + 0.005 for key in ("jitter", "wander", "lag_slow", "lag_quick"))
        ]
        best = min(others, key=lambda other: record[other]["jitter"], default=None)
        yield f"{name}: " + (f"{best} is better: {cells(record[best])}" if best else "none of the grid is better")


def cells(row: Mapping[str, float]) -> str:
    """Format a row of the table."""
    return " | ".join(f"{row[key]:.3f}" if key in row else "-" for key in COLUMNS)


def table(record: Record) -> str:
    """Format as Markdown, without the grid."""
    names = (*PRESETS, *(one_euro(*grid) for grid in USUAL), *FACEMESH.values())
    rows = [f"| {name} | {cells(record[name])} |" for name in names]
    return "\n".join([f"| | {' | '.join(COLUMNS.values())} |", "| --- " * (len(COLUMNS) + 1) + "|", *rows])


def draw(record: Record, path: Path) -> None:
    """Plot jitter over lag: a curve for each cutoff at rest, over beta; presets and FaceMesh as points."""
    import matplotlib.pyplot as plt

    figure, both = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained", sharey=True)
    for axes, speed in zip(both, ("slow", "quick")):
        for cutoff_hz in CUTOFFS_HZ:
            rows = [record[one_euro(cutoff_hz, beta, DRAWN_HZ)] for beta in BETAS]
            lag, jitter = ([row[key] for row in rows] for key in (f"lag_{speed}", "jitter"))
            axes.plot(lag, jitter, ".-", markersize=3, linewidth=0.8, label=f"One Euro, {cutoff_hz:g} Hz at rest")
        for name in (*PRESETS, *FACEMESH.values()):
            mark, color = ("s", "tab:red") if name in FACEMESH.values() else ("o", "black")
            place = record[name][f"lag_{speed}"], record[name]["jitter"]
            axes.plot(*place, mark, color=color, markersize=6)
            axes.annotate(name, place, textcoords="offset points", xytext=(7, 3), fontsize=8)
        axes.set(xlabel=f"lag on a face in {speed} motion, frames at 30 a second", yscale="log")
    both[0].set(ylabel="jitter on a still face, % of the outer eye distance", ylim=(None, 1))
    both[1].legend(fontsize=7, loc="upper right")
    figure.savefig(path, dpi=90)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
