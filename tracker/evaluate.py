"""python -m tracker.evaluate --dataset 300w --root DIR --split lfpw-test --report out.json"""

from __future__ import annotations

import sys
from pathlib import Path

from tracker.cli import run_command
from tracker.detectors import DetectorName
from tracker.evaluation.labelled import Dataset, Split
from tracker.evaluation.report import expect_report
from tracker.evaluation.stills import evaluate_stills


def evaluate(
    dataset: Dataset,
    root: Path,
    report: Path,
    split: Split = "full",
    model: Path | None = None,
    detector: DetectorName = "auto",
    detector_model: Path | None = None,
) -> None:
    """Measure a model on labelled faces, in the views of their labels and through a detector.

    Args:
        dataset: 300w in its official folders, or one folder of NAME.jpg beside NAME.pts (68 points).
        root: the folder that holds 300W's afw, helen, ibug and lfpw, or that one folder.
        report: the .json file to write; a plot of the errors' distribution goes beside it as .png.
        split: which part of 300w; of no meaning for a folder.
        model: a landmark model (.onnx); the packaged one if not given.
        detector: what finds the faces.
        detector_model: the detector's file.
    """
    expect_report(report)
    evaluate_stills(dataset, root, report, split, model, detector, detector_model)


def main() -> int:
    """Run the command line."""
    return run_command(evaluate, "tracker.evaluate")


if __name__ == "__main__":
    sys.exit(main())
