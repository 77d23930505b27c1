"""python -m tracker.evaluate --dataset 300w --root DIR --split lfpw-test --report out.json"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

from tracker.cli.clashes import Named, files_of_model, refuse_clashes
from tracker.cli.command import run_command
from tracker.cli.config_files import files_read
from tracker.datasets import clips, labelled
from tracker.detectors.loading import DetectorName
from tracker.errors import TrackerError
from tracker.evaluation.report import REPORT_SUFFIXES, expect_report, inputs_below
from tracker.evaluation.stills import evaluate_stills
from tracker.evaluation.video_report import evaluate_videos
from tracker.face.schemes import IBUG68, Scheme, scheme_named
from tracker.weights.packaged import WEIGHTS, url_of_model

Dataset = Literal[labelled.Dataset, clips.VideoDataset]
Split = Literal[labelled.Split, clips.VideoSplit]
Name = TypeVar("Name", bound=str)


def evaluate(
    dataset: Dataset,
    root: Path,
    report: Path | None = None,
    split: Split = "full",
    model: str | None = None,
    detector: DetectorName = "auto",
    detector_model: Path | None = None,
    scheme: str | None = None,
) -> None:
    """Measure a model on labelled stills or videos: in the boxes of their labels, and as the tracker finds them.

    Args:
        dataset: 300w or 300vw in their official folders, one folder of NAME.jpg beside NAME.pts, or talking-face,
            FGNET's clip, in the layout of one clip of 300VW.
        root: the folder that holds 300W's afw, helen, ibug and lfpw, or 300VW's clips; or that one folder.
        report: the .json file to write, DATASET.json if not given; of stills a plot goes beside it as .png, of videos
            a page as .html and a table of the clips as .csv.
        split: which part of 300w, or which category of 300vw, whose full set are the 64 test clips.
        model: a landmark model (.onnx), the name of a packaged one, edge68 if not given, or triton://HOST:PORT/MODEL,
            which Triton Inference Server runs.
        detector: what finds the faces; auto lets YuNet and BlazeFace take turns, as tracker.run does.
        detector_model: a YuNet file of your own, in place of the packaged one.
        scheme: what the labels of --dataset folder mean, such as wflw98; ibug68 if not given. A model of another scheme
            is compared with them where both can be converted to one scheme.
    """
    labels = _scheme(scheme, dataset)
    expect_report(report := report or Path(f"{dataset}.json"))
    written = [(f"--report {suffix}", report.with_suffix(suffix)) for suffix in REPORT_SUFFIXES]
    refuse_clashes(written, _inputs(model, detector_model), (("--root", path) for path in inputs_below(root)))
    if dataset == "300vw" or dataset == "talking-face":
        category = _expected(split, clips.SPLITS, dataset)
        evaluate_videos(dataset, root, report, category, model, detector, detector_model)
    else:
        part = _expected(split, labelled.SPLITS, dataset)
        evaluate_stills(dataset, root, report, part, model, detector, detector_model, labels)


def _scheme(name: str | None, dataset: Dataset) -> Scheme:
    """The scheme of the labels. Raises TrackerError for an unknown one, and for a data set that has its own."""
    if name is None:
        return IBUG68
    if dataset != "folder":
        raise TrackerError(f"--scheme is for --dataset folder; the labels of {dataset} are {IBUG68.name}")
    try:
        return scheme_named(name)
    except ValueError as error:
        raise TrackerError(f"--scheme: {error}") from None


def _inputs(model: str | None, detector_model: Path | None) -> Iterator[Named]:
    """What is read besides the data set, by option."""
    if model is not None and url_of_model(model) is None:
        yield from (("--model", path) for path in files_of_model(Path(model)))
    if detector_model is not None:
        yield "--detector-model", detector_model
    yield from (("--config", path) for path in files_read())
    yield from (("the package", path) for path in WEIGHTS.iterdir())


def _expected(split: str, splits: Iterable[Name], dataset: str) -> Name:
    """The split, of those that the data set has. Raises TrackerError for another."""
    for name in splits:
        if name == split:
            return name
    raise TrackerError(f"--dataset {dataset} has no --split {split}; give one of {', '.join(splits)}")


def main() -> int:
    """Run the command line."""
    return run_command(evaluate, "tracker.evaluate")


if __name__ == "__main__":
    sys.exit(main())
