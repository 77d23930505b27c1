"""Fuzzes labels: .pts files, tables, folders, clips, MATLAB's files, and their pictures."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from benchmarks._lib.fuzzing.read_pictures import SUFFIXES, drawn_picture, drawn_video, encoded
from benchmarks._lib.fuzzing.reader import Files, Reader, expect
from tracker.datasets import matlab, matlab_process
from tracker.datasets.aflw import read_aflw19
from tracker.datasets.clips import labelled_clips
from tracker.datasets.cofw import StoredSample, read_cofw
from tracker.datasets.collect import OnInvalid
from tracker.datasets.folder import read_custom
from tracker.datasets.labelled import labelled_faces, read_face
from tracker.datasets.matlab import read_files
from tracker.datasets.pictures import Pictures
from tracker.datasets.pts_files import read_pts
from tracker.datasets.sample import DatasetError, Sample
from tracker.datasets.star_tsv import read_star_tsv
from tracker.datasets.video300 import read_clip
from tracker.datasets.wflw import LIST, read_wflw
from tracker.errors import TrackerError
from tracker.face.pts import as_pts
from tracker.face.schemes import COFW29, IBUG68
from train.datasets import split

AT_ONCE = 12  # files of MATLAB that one process reads
_FILES_S = 5.0  # of a processor that it may take for them
_PNG = encoded(".png", drawn_picture())


def _points(count: int) -> NDArray[np.float64]:
    """(count, 2) inside the drawn picture."""
    return np.random.default_rng(count).uniform(2, 30, (count, 2)).round(3)


def _pts() -> list[Files]:
    text = as_pts(_points(68))
    return [{"a.pts": text}, {"a.pts": text.split(b"{")[1].split(b"}")[0]}, {"a.pts": as_pts(_points(3))}]


def _read_pts(folder: Path) -> None:
    try:
        points = read_pts(folder / "a.pts")
    except ValueError as error:
        expect("a.pts" in str(error), f"the message does not name the file: {error}")
        raise
    expect(points.ndim == 2 and points.shape[1] == 2 and len(points) and np.isfinite(points).all(), "no points")


def _tables() -> list[Files]:
    def row(points: NDArray[np.float64], separator: str) -> str:
        return separator.join(f"{value:g}" for value in points.ravel())

    header = ",".join(["picture", *(f"{axis}{i}" for i in range(68) for axis in "xy")])
    own = "\n".join([header, *(f"{name},{row(_points(68), ',')}" for name in ("a.png", "a.png", '"b.png"'))])
    wflw = f"{row(_points(98), ' ')} 3 4 30 31 0 1 0 0 1 0 a.png\n" * 2
    star = f"/x/rawImages/a.png\t1,2\t{row(_points(98), ',')}\t0.2\t15\t16\t0,1,0,0,0,1\n" * 2
    pts = as_pts(_points(68))
    return [
        {"own/labels.csv": own.encode(), "own/a.png": _PNG, "own/b.png": _PNG},
        {"folder/a.pts": pts, "folder/a.png": _PNG, "folder/b.pts": pts, "folder/b.jpg": _PNG},
        {f"wflw/{LIST.format(split='train')}": wflw.encode(), "wflw/WFLW_images/a.png": _PNG},
        {"star/table.tsv": star.encode(), "star/a.png": _PNG},
        {"clip/annot/000001.pts": pts, "clip/annot/000003.pts": pts, "clip/vid.avi": drawn_video(".avi")},
        {f"clip/{name}": pts for name in ("annot/000001.pts", "annot/000002.pts")}
        | {f"clip/{name}": _PNG for name in ("imgs/000001.png", "imgs/000002.png")},
    ]


def _read_tables(folder: Path) -> None:
    kind = next(iter(sorted(folder.iterdir())), folder / "own").name
    readers: dict[str, Callable[[OnInvalid], list[Sample]]] = {
        "own": lambda on_invalid: read_custom(folder / "own/labels.csv", "ibug68", on_invalid),
        "folder": lambda on_invalid: read_custom(folder / "folder", "ibug68", on_invalid),
        "wflw": lambda on_invalid: read_wflw(folder / "wflw", "train", on_invalid),
        "star": lambda on_invalid: read_star_tsv(folder / "star/table.tsv", folder / "star", "wflw98", on_invalid),
        "clip": lambda on_invalid: read_clip(folder / "clip", (), on_invalid),
    }
    read = readers[kind]
    samples = read("skip")
    _expect_sound(samples)
    read("refuse")
    good = Pictures(samples, keep_gb=1).good(samples, "skip")
    split(good, lambda sample: sample.name)


def _expect_sound(samples: list[Sample]) -> None:
    for sample in samples:
        expect(sample.points_px.shape == (sample.scheme.count, 2), f"points have the shape {sample.points_px.shape}")
        expect(np.isfinite(sample.points_px).all(), "points are not finite")
        expect(sample.box_px is None or np.isfinite(sample.box_px).all(), "a box is not finite")
    expect(len({sample.name for sample in samples}) == len(samples), "two faces have one name")


def _evaluated() -> list[Files]:
    pts = as_pts(_points(68))
    names = [f"talking-face/annot/{i:06d}.pts" for i in (1, 2, 3, 5)]
    return [
        {"folder/a.pts": pts, "folder/a.png": _PNG, "folder/b.pts": pts, "folder/b.png": _PNG},
        {**dict.fromkeys(names, pts), "talking-face/vid.avi": drawn_video(".avi")},
        {**dict.fromkeys(names[:2], pts), "talking-face/imgs/000001.png": _PNG, "talking-face/imgs/000002.png": _PNG},
    ]


def _evaluate(folder: Path) -> None:
    if (folder / "folder").exists():
        for face in labelled_faces("folder", folder / "folder"):
            image, points = read_face(face)
            expect(points.shape == (68, 2) and np.isfinite(points).all() and image.size, f"points are {points.shape}")
        return
    (clip,), _ = labelled_clips("talking-face", folder / "talking-face")
    for _, truth in clip.read():
        expect(truth is None or np.isfinite(truth.labels_px).all(), "a label is not finite")


def _hdf5(pictures: int = 2) -> bytes:
    """COFW as MATLAB 7.3 writes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/a.mat"
        with h5py.File(path, "w") as file:
            cells = file.create_dataset("IsT", (1, pictures), h5py.ref_dtype)
            for i in range(pictures):
                cells[0, i] = file.create_dataset(f"#refs#/{i}", data=drawn_picture(i).T, compression="gzip").ref
            labels = [np.concatenate([_points(29).T.ravel(), np.zeros(29)]) for _ in range(pictures)]
            file.create_dataset("phisT", data=np.array(labels).T)
            file.create_dataset("bboxesT", data=np.array([[3.0, 4, 20, 20]] * pictures).T)
        return Path(path).read_bytes()


def _aflw() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        variables: dict[str, Any] = {
            "data": np.array([_points(19).T.ravel()] * 3),
            "bbox": np.array([[3, 30, 4, 30]] * 3, np.uint16),
            "mask_new": np.ones((3, 19), np.uint8),
            "nameList": np.array(["a.png", "b.png", "a.png"], object)[:, None],
            "ra": np.array([[2, 1, 3]]),
        }
        savemat(f"{folder}/a.mat", variables, do_compression=True)
        return Path(f"{folder}/a.mat").read_bytes()


def _matlab() -> list[Files]:
    hdf5, older = _hdf5(), _aflw()
    return [
        {"COFW_test_color.mat": hdf5, **{f"more/{i}.mat": hdf5 for i in range(AT_ONCE)}},
        {"AFLWinfo_release.mat": older, **{f"more/{i}.mat": older for i in range(AT_ONCE)}, "flickr/a.png": _PNG}
        | {"flickr/b.png": _PNG},
    ]


def _ask_a_fork(requests: bytes) -> tuple[bytes, str]:
    """Replace matlab.ask_process by a fork of this process, which takes a hundredth of the time."""
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as answered:
        asked.write(requests)
        asked.seek(0)
        if (child := os.fork()) == 0:
            try:
                signal.setitimer(signal.ITIMER_PROF, _FILES_S)
                os.dup2(asked.fileno(), 0)
                os.dup2(answered.fileno(), 1)
                sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
                matlab_process.main()
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        answered.seek(0)
        return answered.read(), f"the process that read it ended with status {os.waitstatus_to_exitcode(status)}"


def _read_matlab(folder: Path) -> None:
    matlab.ask_process = _ask_a_fork
    cofw = not (folder / "AFLWinfo_release.mat").exists()
    names = ("IsT", "phisT", "bboxesT") if cofw else ("data", "bbox", "mask_new", "nameList", "ra")
    paths = sorted((folder / "more").glob("*.mat"))
    found = read_files(paths, *names)
    expect(len(found) == len(paths), "there is not an answer for each file")
    for each in found:
        if isinstance(each, DatasetError):
            expect("\n" not in str(each) and len(str(each)) < 1500, f"it is no sentence: {str(each)[:200]!r}")
        else:
            expect(len(each) == len(names) and all(isinstance(value, np.ndarray) for value in each), "no variables")
    _expect_sound(read_cofw(folder, "test", "skip") if cofw else read_aflw19(folder, "train", "skip"))


def _read_stored(folder: Path) -> None:
    sample = StoredSample(folder / "a.mat", _points(29), COFW29, cells="IsT", number=2)
    image = sample.read_image()
    expect(image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3, f"a picture is {image.shape}")


def _labelled_pictures() -> list[Files]:
    return [{f"a{suffix}": encoded(suffix, drawn_picture())} for suffix in SUFFIXES]


def _read_labelled(folder: Path) -> None:
    path = next(iter(folder.iterdir()), folder / "a.jpg")
    image = Sample(path, _points(68), IBUG68).read_image()
    expect(image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3, f"a picture is {image.shape}")


READERS = {
    "pts": Reader(
        _pts, _read_pts, (ValueError,), ("tracker.face.pts:parse_pts", "tracker.datasets.pts_files:read_pts")
    ),
    "tables": Reader(
        _tables,
        _read_tables,
        (DatasetError,),
        (
            "tracker.datasets.collect",
            "tracker.datasets.folder",
            "tracker.datasets.wflw",
            "tracker.datasets.star_tsv",
            "tracker.datasets.video300:read_clip _extracted _in_video _frame_count",
            "train.datasets:split",
        ),
        fixed=("own/a.png", "own/b.png", "wflw/WFLW_images/a.png", "star/a.png"),
    ),
    "evaluation": Reader(
        _evaluated,
        _evaluate,
        (TrackerError, DatasetError, ValueError),
        ("tracker.datasets.labelled", "tracker.datasets.clips"),
    ),
    "mat": Reader(
        _matlab,
        _read_matlab,
        (DatasetError,),
        (
            "tracker.datasets.matlab",
            "tracker.datasets.aflw",
            "tracker.datasets.cofw:read_cofw _face29 _references _expect_pairs",
        ),
        fixed=("flickr/a.png", "flickr/b.png"),
        at_once=AT_ONCE,
        traced=1,
    ),
    "cofw pictures": Reader(
        lambda: [{"a.mat": _hdf5()}], _read_stored, (DatasetError,), ("tracker.datasets.cofw:StoredSample",)
    ),
    "labelled pictures": Reader(
        _labelled_pictures, _read_labelled, (DatasetError,), ("tracker.datasets.sample:Sample expect_size",)
    ),
}
