"""Titles and explanations of the metrics in a report on videos."""

from __future__ import annotations

from tracker.evaluation.clip_metrics import LOST
from tracker.evaluation.groups import THRESHOLD
from tracker.evaluation.video import RAW, SMOOTH, TRUE_BOXES
from tracker.metrics.stability import MOST_LAG

ACCURACY = {"nme_percent": "NME %", "failure_percent": "FR %", "auc": "AUC"}
STABILITY = {
    "offset_removed_percent": "offset removed %",
    "acceleration_error_percent": "acceleration error %",
    "acceleration_percent": "acceleration %",
    "truth_acceleration_percent": "truth's acceleration %",
    "lag_frames": "lag, frames",
    "lag_ms": "lag, ms",
    "mean_jitter": "NMJ",
    "fhr_delay": "delay",
    "fhr_accuracy": "accuracy",
    "fhr_smoothness": "smoothness",
    "fhr_deviation": "deviation",
}
TRACKING = {
    "first_found_s": "first found after s",
    "never_found": "never found",
    "lost_percent": "lost %",
    "losses": "losses",
    "not_recovered": "not recovered",
    "recovery_mean_s": "recovery, mean s",
    "recovery_max_s": "longest s",
    "coasting_percent": "coasting %",
    "identity_changes": "identity changes",
    "smoothing_lag_frames": "smoothing adds, frames",
    "smoothing_lag_ms": "ms",
}
TITLES = {
    "A": "Category A",
    "B": "Category B",
    "C": "Category C",
    "all": "All",
    "train": "Training clips",
    "300vw": "300VW",
    "talking-face": "Talking face",
}
HOW = {
    "NME, FR, AUC": (
        "Mean distance of the points to their labels over the distance of the labels' outer eye corners; the share of "
        f"frames with an NME above {THRESHOLD:.0%}; the area under the cumulative distribution up to there. A frame "
        "without a face is a failure; the NME is over the frames with one."
    ),
    "points": "68: all of iBUG's; 51: without the jaw; 49: also without the inner corners of the mouth.",
    TRUE_BOXES: "Each frame independently, in the box of its own labels: the protocol of 300VW.",
    f"{RAW}; {SMOOTH}": (
        "The whole clip with the detector: landmarks as measured, and smoothed. Of several faces the one nearest to "
        "the labels is compared."
    ),
    "offset removed": "The error after subtracting each point's mean offset over the clip.",
    "acceleration error": (
        "Mean norm of the second difference over time of (points - labels), in percent of the outer-eye distance: "
        "jitter. Acceleration: the same of the points; truth's acceleration: of the labels."
    ),
    "lag": (
        f"The shift in time, with sub-frame resolution and up to {MOST_LAG} frames, at which points and labels fit "
        "best. A dash: the face hardly moves, or there are too few frames."
    ),
    "NMJ": "Normalised mean jitter of LDEQ: root mean square change of the error, in 1/100 px of a face of 256 px.",
    "FHR": (
        "Delay in frames behind the labels' last motion; accuracy, smoothness (distance to the mean of the frames "
        "before and after) and deviation (distance to the segment between them) in percent of the labels' larger side."
    ),
    "lost": (
        f"Frames without a face, or with a mean error above {LOST:.0%} of the labels' size, sqrt(width x height). "
        "A loss begins after a frame in which the face was tracked; recovery is the time until it is tracked again. "
        "Coasting: held over a gap without a measurement."
    ),
    "excluded frames": "Frames that 300VW excludes are tracked but not compared; no window of time contains them.",
}
