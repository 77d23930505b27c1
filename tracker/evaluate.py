"""`landmarks evaluate`, python -m tracker.evaluate: measures a model on labelled pictures or videos.

python -m tracker.evaluate --dataset 300w --root DIR --split lfpw-test --report out.json
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

from tracker.cli.clashes import Named, files_of_model, refuse_clashes
from tracker.cli.command import run_command
from tracker.cli.config_files import files_read
from tracker.cli.suggestions import suggest
from tracker.datasets import clips, labelled, video300, w300
from tracker.datasets.registry import SETS
from tracker.detectors.loading import DetectorName
from tracker.errors import TrackerError
from tracker.evaluation.report import REPORT_SUFFIXES, expect_report, inputs_below
from tracker.evaluation.stills import evaluate_stills
from tracker.evaluation.video_report import evaluate_videos
from tracker.face.schemes import IBUG68, SCHEMES, Scheme, scheme_named
from tracker.weights.packaged import WEIGHTS, url_of_model

Dataset = Literal[labelled.Dataset, clips.VideoDataset]
Split = Literal[w300.Split, video300.VideoSplit, "test", "all"]
Name = TypeVar("Name", bound=str)


def evaluate(
    dataset: Dataset,
    root: Path,
    report: Path | None = None,
    split: Split | None = None,
    model: str | None = None,
    detector: DetectorName = "auto",
    detector_model: Path | None = None,
    scheme: str | None = None,
) -> None:
    """Measure a model on labelled pictures or videos, with the boxes of the labels and with detected faces.

    Args:
        dataset: a public data set in its official files, such as 300w or 300vw; one folder of NAME.jpg beside NAME.pts;
            or talking-face, FGNET's clip, in the layout of one clip of 300VW.
        root: the folder that holds 300W's afw, helen, ibug and lfpw, or 300VW's clips; or that one folder.
        report: the .json file to write, DATASET.json if not given. Beside it a plot (.png) is written for pictures, a
            page (.html) and a table of the clips (.csv) for videos.
        split: the part of 300w, full if not given, or the category of 300vw, whose full set is the 64 test clips; test
            or train of other sets.
        model: a landmark model (.onnx), the name of a packaged one, edge68 if not given, or triton://HOST:PORT/MODEL,
            which Triton Inference Server runs. auto depends on this CPU: name the model for figures that others repeat.
        detector: the face detector; auto alternates YuNet and BlazeFace, as tracker.run does.
        detector_model: a YuNet file of your own, in place of the packaged one.
        scheme: the scheme of the labels of --dataset folder, such as wflw98; ibug68 if not given. A model of another
            scheme is compared with them if both can be converted to one scheme.

    Raises:
        TrackerError: if a file or folder is missing or invalid, or cannot be written.
    """
    labels = _scheme(scheme, dataset)
    expect_report(report := report or Path(f"{dataset}.json"))
    written = [(f"--report {suffix}", report.with_suffix(suffix)) for suffix in REPORT_SUFFIXES]
    refuse_clashes(written, _inputs(model, detector_model), (("--root", path) for path in inputs_below(root)))
    if dataset == "300vw" or dataset == "talking-face":
        category = _expected(split or "full", video300.SPLITS, dataset)
        evaluate_videos(dataset, root, report, category, model, detector, detector_model)
    elif dataset == "folder":
        _expected(split or "full", w300.SPLITS, dataset)
        evaluate_stills(dataset, root, report, None, model, detector, detector_model, labels)
    else:
        known = SETS[dataset]
        part = _expected(split or known.test or known.training or "", known.splits, dataset)
        evaluate_stills(dataset, root, report, part, model, detector, detector_model, labels)


def _scheme(name: str | None, dataset: Dataset) -> Scheme:
    """Return the scheme of the labels; raise TrackerError for an unknown one, or if the data set has its own."""
    own = IBUG68 if dataset == "folder" or dataset == "talking-face" else SETS[dataset].scheme
    if name is None:
        return own
    if dataset != "folder":
        raise TrackerError(f"--scheme is for --dataset folder; the labels of {dataset} are {own.name}")
    try:
        return scheme_named(name)
    except ValueError as error:
        raise TrackerError(f"--scheme: {error}{suggest(name, SCHEMES)}") from None


def _inputs(model: str | None, detector_model: Path | None) -> Iterator[Named]:
    """Yield the files that are read besides the data set, by option."""
    if model is not None and url_of_model(model) is None:
        yield from (("--model", path) for path in files_of_model(Path(model)))
    if detector_model is not None:
        yield "--detector-model", detector_model
    yield from (("--config", path) for path in files_read())
    yield from (("the package", path) for path in WEIGHTS.iterdir())


def _expected(split: str, splits: Iterable[Name], dataset: str) -> Name:
    """Return the split if the data set has it; raise TrackerError otherwise."""
    for name in splits:
        if name == split:
            return name
    known = [*splits]
    raise TrackerError(
        f"--dataset {dataset} has no --split {split}; give one of {', '.join(known)}{suggest(split, known)}"
    )


def main() -> int:
    """Run the command line; return the exit status."""
    return run_command(evaluate, "tracker.evaluate")


if __name__ == "__main__":
    sys.exit(main())
