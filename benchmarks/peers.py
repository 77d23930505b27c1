"""python -m benchmarks.peers --talking-face DIR --w300 DIR: our models and other systems on the same frames."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks._lib.machine import machine
from benchmarks._lib.peers import frames, systems
from benchmarks._lib.peers.measuring import measure
from benchmarks._lib.peers.page import page
from benchmarks._lib.reports import check_report, write_report
from tracker.cli.command import run_command
from tracker.errors import TrackerError
from tracker.system.files import write_file
from tracker.weights.packaged import RESEARCH

MODELS = ("edge68", "edge68_fast", *RESEARCH)
PLACEHOLDERS = {
    "talking_face": "TALKING_FACE",
    "w300": "300W",
    "clips": "CLIP",
    "pictures": "PICTURES",
    "mediapipe_python": "OTHER/bin/python",
    "dlib_python": "OTHER/bin/python",
    "openseeface": "OPENSEEFACE",
    "openseeface_python": "OTHER/bin/python",
    "points": "NAME=FILE.csv",
}
"""What the page shows in the place of paths of one machine, by option."""


def main() -> int:
    """Run the command line."""
    return run_command(peers, "benchmarks.peers")


def peers(
    talking_face: Path | None = None,
    w300: Path | None = None,
    clips: list[Path] | Path | None = None,
    pictures: list[Path] | Path | None = None,
    mediapipe_python: Path | None = None,
    dlib_python: Path | None = None,
    openseeface: Path | None = None,
    openseeface_python: Path | None = None,
    openseeface_model: int = 3,
    points: list[str] | str | None = None,
    report: Path = Path("runs/peers.json"),
    markdown: Path = Path("runs/peers.md"),
) -> None:
    """Measure our models and others on the same frames; a system that is not there is named and left out.

    Args:
        talking_face: the folder of FGNET's talking face, with vid.avi and annot.
        w300: the folder of 300W, of which lfpw/testset is used, as pictures and as pictures that move.
        clips: folders of labelled clips in the layout of 300VW.
        pictures: folders of labelled pictures, NAME.jpg beside NAME.pts.
        mediapipe_python: a Python that has mediapipe 0.10.21; that of runs/mediapipe-0.10.21 if not given.
        dlib_python: a Python that has numpy, dlib and face_recognition_models; that of runs/dlib if not given.
        openseeface: the folder of OpenSeeFace's program, with tracker.py and models.
        openseeface_python: a Python that has what OpenSeeFace needs; that of runs/openseeface if not given.
        openseeface_model: the number of its model.
        points: NAME=FILE.csv, points of the talking face that another program wrote, with the columns of OpenFace or of
            OpenSeeFace's --log-data.
        report: the .json file to write.
        markdown: the page to write.
    """
    for path in (report, markdown):
        check_report(path)
    about = machine()  # before this puts any load on it
    core = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    asked = [
        *systems.our_models(MODELS, core),
        *systems.facemeshes(mediapipe_python, core),
        systems.dlib(dlib_python, core),
        *([systems.openseeface(openseeface, openseeface_python, openseeface_model, core)] if openseeface else []),
        *(systems.point_file(each, frames.TALKING_FACE) for each in _listed(points)),
    ]
    if len(names := {system.name for system in asked}) < len(asked):
        raise TrackerError(f"--points: expected names that differ from one another and from {', '.join(sorted(names))}")
    chosen = list(_frame_sets(talking_face, w300, _listed(clips), _listed(pictures)))
    if not chosen:
        raise TrackerError("expected frames: give --talking-face, --w300, --clips or --pictures")
    if len({frame_set.name for frame_set in chosen}) < len(chosen):
        raise TrackerError("--clips, --pictures: expected folders whose names differ; rename one")
    record: dict[str, Any] = {
        "command": _command(
            talking_face=talking_face,
            w300=w300,
            clips=clips,
            pictures=pictures,
            mediapipe_python=mediapipe_python,
            dlib_python=dlib_python,
            openseeface=openseeface,
            openseeface_python=openseeface_python,
            openseeface_model=openseeface_model if openseeface else None,
            points=points,
        ),
        "date": date.today().isoformat(),
        "machine": about,
        "core": core,
        "systems": {},
        "sets": {},
    }
    for frame_set in chosen:
        measured = measure(frame_set, asked)
        record["sets"][frame_set.name] = measured
        for system in asked:
            if system.name in measured["systems"]:
                record["systems"][system.name] = {
                    "ours": system.ours,
                    "shippable": system.shippable,
                    "licence": system.licence,
                    **measured["systems"][system.name],
                }
    write_report(report, record)
    write_file(markdown, page(record).encode())
    print(page(record), f"report: {report}, page: {markdown}", sep="\n")


def _frame_sets(
    talking_face: Path | None, w300: Path | None, clips: list[Path], pictures: list[Path]
) -> Iterator[frames.FrameSet]:
    if talking_face:
        yield frames.talking_face(talking_face)
    yield from map(frames.labelled_clip, clips)
    if w300:
        yield frames.moving_pictures(w300)
        yield frames.stills(w300)
    yield from map(frames.labelled_pictures, pictures)


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _command(**given: Any) -> str:
    """The command line with these options, and nothing in it that is of this machine."""
    words = ["python -m benchmarks.peers"]
    for name, value in given.items():
        if value is not None:
            shown = [PLACEHOLDERS.get(name, str(each)) for each in _listed(value)]
            words += [f"--{name.replace('_', '-')}", *shown]
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(main())
