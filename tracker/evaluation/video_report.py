"""Measures the tracker on labelled videos and writes the report: JSON, a CSV table of clips, an HTML page."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tracker.datasets.clips import LabelledClip, VideoDataset, labelled_clips
from tracker.datasets.video300 import VideoSplit
from tracker.detectors.loading import DetectorName
from tracker.errors import TrackerError
from tracker.evaluation.clip_metrics import ClipFigures, clip_figures
from tracker.evaluation.groups import group_figures
from tracker.evaluation.report import detector_names, model_record, write_report
from tracker.evaluation.video import MODES, SMOOTH, VideoEvaluation
from tracker.evaluation.video_page import text, video_page
from tracker.tracking.tracker import Tracker

log = logging.getLogger(__name__)

MAX_FACES = 4
"""Some clips show other faces than the labelled one; a tracker of one face would keep the first that it finds."""


def evaluate_videos(
    dataset: VideoDataset,
    root: Path,
    report: Path,
    split: VideoSplit,
    model: str | None,
    detector: DetectorName,
    detector_model: Path | None,
) -> None:
    """Measure a model on labelled clips, and write the report's files.

    The arguments are those of tracker.evaluate.evaluate.
    """
    clips, missing = labelled_clips(dataset, root, split)
    if missing:
        log.warning("%d of %d clips are missing: %s", len(missing), len(missing) + len(clips), ", ".join(missing))
    tracker = Tracker(model, detector, detector_model, MAX_FACES)
    evaluation = VideoEvaluation(tracker, clips[0].labelling.scheme)
    compared = list(measured(evaluation, clips))
    if not compared:
        raise TrackerError(f"no frame in {root} can be compared; clip {clips[0].name}: {'; '.join(clips[0].problems)}")
    record = {
        "dataset": dataset,
        "split": split if dataset == "300vw" else None,
        "model": model_record(tracker.engine),
        "detector": detector_names(tracker),
        "max_faces": MAX_FACES,
        "missing_clips": missing,
        "problems": {clip.name: clip.problems for clip in clips if clip.problems},
        "categories": {name: group_figures(group) for name, group in categories(compared).items()},
        "by_clip": {clip.name: _clip_record(clip) for clip in compared},
    }
    contents = {
        ".html": video_page(record, compared, categories(compared)),
        ".csv": clips_csv(record),
        ".json": json.dumps(plain(record), indent=1, allow_nan=False).encode(),
    }
    for suffix, content in contents.items():
        write_report(report.with_suffix(suffix), content)
    print(text(record), *(f"report: {report.with_suffix(suffix)}" for suffix in contents), sep="\n")


def measured(evaluation: VideoEvaluation, clips: Sequence[LabelledClip]) -> Iterator[ClipFigures]:
    """Yield the metrics of the clips with a compared frame; the reason for the others is added to their problems.

    Args:
        evaluation: runs the clips.
        clips: to run.
    """
    for clip in clips:
        try:
            figures = clip_figures(evaluation.run(clip))
        except TrackerError as error:
            clip.problems.append(str(error))
            log.warning("clip %s: %s", clip.name, error)
        else:
            if figures.frames:
                yield figures
            else:
                clip.problems.append("none of its frames is compared")


def _clip_record(clip: ClipFigures) -> dict[str, Any]:
    return {"category": clip.category, "fps": clip.fps, **group_figures([clip])}


def categories(clips: Sequence[ClipFigures]) -> dict[str, list[ClipFigures]]:
    """Group the clips by category, with a group of all clips if there are several categories."""
    groups: dict[str, list[ClipFigures]] = {}
    for clip in clips:
        groups.setdefault(clip.category, []).append(clip)
    return {**groups, "all": list(clips)} if len(groups) > 1 else groups


def clips_csv(record: Mapping[str, Any]) -> bytes:
    """Return a CSV table with a row for each clip and mode; undefined values are empty."""
    rows = [_row(name, clip, mode) for name, clip in record["by_clip"].items() for mode in MODES]
    writer = csv.DictWriter(content := io.StringIO(), list(rows[-1]))
    writer.writeheader()
    writer.writerows(rows)
    return content.getvalue().encode()


def _row(name: str, clip: Mapping[str, Any], mode: str) -> dict[str, Any]:
    accuracy = {
        f"{figure}_{points}": value
        for points, averages in clip["accuracy"][mode].items()
        for figure, value in averages["per_frame"].items()
    }
    tracking = clip["tracking"] if mode == SMOOTH else {}
    cells = {**accuracy, **clip["stability"][mode], **tracking}
    about = {"clip": name, "category": clip["category"], "mode": mode, "frames": clip["frames"], "fps": clip["fps"]}
    return {**about, **plain(cells)}


def plain(value: Any) -> Any:
    """Convert a value for JSON: floats have 5 decimals, those that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value
