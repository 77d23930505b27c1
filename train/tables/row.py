"""What a row of a paper's table is, and what the tables of all papers share."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

Paper = Literal["yang_yeh", "star", "subpixel", "hih"]
Options = dict[str, Any]
TEST = "test"
"""The report on the test faces of the configuration itself."""
Tests = Mapping[str, Mapping[str, str]]
OWN_TEST: Tests = {TEST: {}}
Published = Mapping[str, Mapping[str, float]]
"""By metric, as train.report prints it, then by subset; NME and FR in percent."""

TITLES: Mapping[Paper, str] = {
    "yang_yeh": "Yang & Yeh, Heatmap Regression without Soft-Argmax, ICCV 2025",
    "star": "Zhou et al., STAR Loss, CVPR 2023",
    "subpixel": "Bulat et al., Subpixel Heatmap Regression, BMVC 2021",
    "hih": "Lan et al., HIH: Heatmap in Heatmap, 2021",
}

NME, FR, AUC = "NME ocular", "FR ocular over 0.10", "AUC ocular to 0.10"
PUPIL_NME, PUPIL_FR, PUPIL_AUC = "NME pupil", "FR pupil over 0.10", "AUC pupil to 0.10"
BOX_NME, BOX_AUC = "NME box", "AUC box to 0.07"
WFLW_PARTS = ("largepose", "expression", "illumination", "makeup", "occlusion", "blur")


@dataclass(frozen=True)
class Row:
    """One row, or one cell where each cell is a training of its own.

    Args:
        id: Its name, and that of its configuration.
        paper: Of TITLES.
        table: Such as "Table 3".
        row: What the table calls it.
        data: What it is trained on and tested on, in words.
        published: The paper's figures.
        options: The configuration of train.run, but for the folders of the training and of its report.
        departures: In what the options, or this code, differ from the paper, one sentence each.
        tests: By the name of a report, the options of `train.run test` below data that give the published figures, on
            top of those of the configuration.
        exported: The options of tracker.evaluate where it gives the published figures, of the exported model.
    """

    id: str
    paper: Paper
    table: str
    row: str
    data: str
    published: Published
    options: Options
    departures: tuple[str, ...]
    tests: Tests = field(default_factory=lambda: OWN_TEST)
    exported: Mapping[str, str] = field(default_factory=dict)

    @property
    def start(self) -> str | None:
        """The id of the row whose training it starts from; None for random weights."""
        checkpoint = self.options["model"].get("start")
        return None if checkpoint is None else PurePath(checkpoint).parent.name

    @property
    def figures(self) -> str:
        """What is published, in one line."""
        parts = {
            metric: ", ".join(f"{value:g}" if part == "all" else f"{part} {value:g}" for part, value in by.items())
            for metric, by in self.published.items()
        }
        return "; ".join(f"{metric} {values}" for metric, values in parts.items()) or "none"


def over(*parts: Options) -> Options:
    """Return the options of each part on top of those before; a class_path replaces another with its options."""
    merged: Options = {}
    for part in copy.deepcopy(parts):
        for name, value in part.items():
            before = merged.get(name)
            if isinstance(value, dict) and isinstance(before, dict) and "class_path" not in value:
                merged[name] = over(before, value)
            else:
                merged[name] = value
    return merged


def made(class_path: str, **init_args: Any) -> Options:
    """Return the options of an object of a class.

    Args:
        class_path: of the class.
        **init_args: its arguments.
    """
    return {"class_path": class_path, "init_args": init_args}


def whole(value: float) -> Mapping[str, float]:
    """Return a figure of the whole test set."""
    return {"all": value}


def parts_of_wflw(*values: float, whole: float | None = None) -> Mapping[str, float]:
    """Return figures of WFLW's subsets.

    Args:
        *values: in the papers' order.
        whole: that of the full set, if there is one.
    """
    return {**({} if whole is None else {"all": whole}), **dict(zip(WFLW_PARTS, values, strict=True))}


def parts_of_300w(full: float, common: float, challenging: float) -> Mapping[str, float]:
    """Return figures of 300W's full set and its two halves.

    Args:
        full: of both halves.
        common: of the first.
        challenging: of the second.
    """
    return {"all": full, "common": common, "challenging": challenging}


SCHEMES = {"WFLW": "wflw98", "300W": "ibug68", "COFW": "cofw29", "AFLW-19": "aflw19"}
COUNTS = {"wflw98": 98, "ibug68": 68, "cofw29": 29, "aflw19": 19}


def source(data: str, **options: Any) -> Options:
    """Return all official training faces of a set, so that no weights can be chosen by faces that were held back.

    Args:
        data: the set, as papers name it.
        **options: of the source.
    """
    name, folder = {
        "WFLW": ("Wflw", "wflw"),
        "300W": ("W300", "300w"),
        "COFW": ("Cofw", "cofw"),
        "AFLW-19": ("Aflw19", "aflw"),
        "300W-LP": ("W300Lp", "300w_lp"),
        "Menpo": ("Menpo", "menpo"),
    }[data]
    return {"source": made(f"train.datasets.{name}", root=f"{DATA}/{folder}", validation="none", **options)}


DATA = "data"
"""Stands for the folder that holds the data sets until a configuration is written."""
ON_300VW: Tests = {"300vw": {"source": "train.datasets.Video300", "source.root": f"{DATA}/300vw"}}

SHARED_DEPARTURES = (
    "The crop is a square of 1.25 times the larger extent of the labels; the paper's crop is not published in full.",
    "The last weights are the result; none are chosen by their error on test faces.",
)


def schedule(epochs: int, drops: tuple[int, ...], rate: float, batch: int, decay: float = 0.0) -> Options:
    """Return Adam with a rate that falls to a tenth at each of the epochs; as a cosine to 0 if there are none.

    Without weight decay AdamW, which the task has, is Adam.

    Args:
        epochs: in all.
        drops: where the rate falls.
        rate: at first.
        batch: faces per step.
        decay: of the average of the weights, 0 for none.
    """
    return {
        "seed_everything": 1,
        "trainer": {"precision": "32-true", "sync_batchnorm": True, "max_epochs": epochs, "num_sanity_val_steps": 0},
        "average": {"decay": decay},
        "model": {"learning_rate": rate, "weight_decay": 0.0, "warmup": 0.0, "milestones": [*drops]},
        "data": {"size": 256, "batch": batch, "workers": 8},
    }
