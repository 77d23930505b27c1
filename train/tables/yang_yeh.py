"""Yang & Yeh, Heatmap Regression without Soft-Argmax, ICCV 2025: Tables 1 to 6 and A1 to A5."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from train.tables import star
from train.tables.row import (
    AUC,
    FR,
    NME,
    PUPIL_AUC,
    PUPIL_FR,
    PUPIL_NME,
    SCHEMES,
    SHARED_DEPARTURES,
    Options,
    Published,
    Row,
    made,
    over,
    parts_of_300w,
    parts_of_wflw,
    schedule,
    source,
    whole,
)

GAMMA = {"WFLW": 0.2, "300W": 0.2, "COFW": 0.02}
"""In cells. The paper has 0.01 and, for COFW, a tenth of it, in units that it does not state."""
UNAWARE = {"sigma_cells": 0.6}  # as wide as the image-aware labels by the geometric mean, measured on faces of 300W
SCHEDULE = schedule(epochs=200, drops=(), rate=1e-3, batch=128, decay=0.999)  # A1.3
LAMBDA = 5000.0
NO_SMOOTHING, SMOOTHING = (6.68, 4.26, 3.94, 3.93, 4.77, 4.56), (6.58, 4.26, 3.90, 3.89, 4.74, 4.57)
DEPARTURES = (
    *SHARED_DEPARTURES,
    "The rate falls as a cosine: the paper states 0.001 and 200 epochs, but no schedule.",
    "The averaged weights are the result, with a decay of 0.999: the published weights are an average, whose decay is "
    "not stated.",
    "A14 prints the Adaptive Wing loss with the weight 1 and names edge maps alone; here edge maps have the weight 10 "
    "of STAR's code, and so have its point maps, which are learned, too.",
    "Lambda (A14) is the printed 5000, on means over cells and landmarks; the paper does not say what its losses are "
    "divided by. At the start the gradient of the landmarks' loss is then about 1,000 times as long as that of the "
    "edge maps and 4,000 times that of the point maps (net of yy-t4-300w with random weights, four faces of AFW at 256 "
    "pixels; docs/methods/structured.md has the command).",
    "C of Eq. 11 is not stated: there is no weight decay.",
    "Eq. 12 prints the l1 norm of the difference of two cells; here it is the Euclidean norm, and coordinates are in "
    "[-1, 1] over the map as in STAR's code: with alpha 1 the l1 margin of a map of 64 is a 32nd of that in cells.",
    "The stacks weigh 1/8, 1/4, 1/2 and 1 as in STAR's code; the paper does not say.",
    "The attention mask does not enter the scores F, as a mask of at least 0 on scores of both signs has no meaning; "
    "the paper does not say. Its point and edge maps are learned and passed on.",
    "Points are read by a softmax over 7 x 7 cells around the peak; the paper does not say how.",
    "Augmentation is that of STAR's code, which the paper follows.",
)
SAMPLED = ("The 10 labels are drawn from the cells of the map, not from the plane.",)
AWARE = (
    *SAMPLED,
    "Gamma is 0.2 (COFW 0.02) in cells and the patch 17 cells wide: the paper's gamma is 0.01 (COFW 0.001), without a "
    "unit, and it does not state k.",
    "Edges are those of the landmark's own curves: with the edges of all curves, as A1.3 reads, labels follow their "
    "curve at the jaw alone (edges: all).",
)
FAINT = (
    "With gamma 0.02 about 9 of 10 drawn labels are the label's own cell (with 0.2 about 4 of 10): the row is close to "
    "one without smoothing.",
)
ISOTROPIC = (
    *SAMPLED,
    "The width of the image-unaware labels is not stated: 0.6 cells, as wide as the image-aware ones by the geometric "
    "mean, which was measured on faces of 300W; this row is trained on WFLW.",
)
OF_STAR = (
    *star.DEPARTURES,
    *star.OF_STAR,
    "The row is STAR's own training; the paper does not say how it was repeated. It differs from rows (b), (c) and (e) "
    "not in labels and loss alone: here 500 epochs with drops of the rate, batches of 64, no average of the weights, "
    "the weight 1 of the landmarks, and maps after instance normalisation and ReLU under the attention mask; there 200 "
    "epochs along a cosine, batches of 128, an average, the weight 5000, and raw maps without a mask.",
)
STARS_EDGES = ("The edge maps are STAR's lines; those of the other rows are a distance transform.",)


def rows() -> Iterator[Row]:
    """All of them, in the order of the tables."""
    wflw = {NME: whole(3.99), FR: whole(1.84), AUC: whole(0.606)}
    yield _row("t1-wflw", "Table 1", "Ours", "WFLW", wflw)
    yield _row("t2-wflw", "Table 2", "Ours", "WFLW", {NME: parts_of_wflw(*SMOOTHING)})
    cofw = {PUPIL_NME: whole(4.58), PUPIL_FR: whole(0.79), PUPIL_AUC: whole(0.544)}
    yield _row("t3-cofw", "Table 3", "Ours", "COFW", cofw)
    yield _row("t4-300w", "Table 4", "Ours", "300W", {NME: parts_of_300w(2.87, 2.53, 4.27)})
    for margin, (nme, fr, auc) in {
        "none": (4.01, 2.16, 0.605),
        "l2": (4.00, 2.00, 0.606),
        "l1": (4.00, 2.04, 0.606),
        "smooth_l1": (3.99, 1.84, 0.606),
    }.items():
        published = {NME: whole(nme), FR: whole(fr), AUC: whole(auc)}
        options = structured("WFLW", margin=margin)
        yield _row(f"t5-{margin}", "Table 5", f"margin {margin}", "WFLW", published, options)
    yield from _table_6()
    for name, values in (("without", NO_SMOOTHING), ("with", SMOOTHING)):
        options = structured("WFLW", smoothing=None) if name == "without" else structured("WFLW")
        departures = () if name == "without" else AWARE
        published = {NME: parts_of_wflw(*values)}
        yield _row(f"ta1-{name}", "Table A1", f"{name} label smoothing", "WFLW", published, options, departures)
    yield _row("ta2-wflw", "Table A2", "Ours", "WFLW", {FR: parts_of_wflw(9.23, 1.92, 0.86, 1.46, 3.95, 2.33)})
    yield _row("ta3-wflw", "Table A3", "Ours", "WFLW", {AUC: parts_of_wflw(0.370, 0.587, 0.612, 0.619, 0.539, 0.552)})
    cofw = {PUPIL_NME: whole(4.58), PUPIL_FR: whole(0.79), NME: whole(3.15), FR: whole(0.00)}
    yield _row("ta4-cofw", "Table A4", "Ours", "COFW", cofw)
    yield _row("ta5-300w", "Table A5", "Ours", "300W", {PUPIL_NME: parts_of_300w(4.03, 3.51, 6.09)})


def _table_6() -> Iterator[Row]:
    aware = {"half_width": 8, "gamma": GAMMA["WFLW"], "edges": "own"}
    of_star = over(
        star.star_options("WFLW"),
        {"model": {"objective": {"init_args": {"smoothing": aware}}}, "data": {"edges": "distance"}},
    )
    note = (
        "The edge maps are the distance transform of the other rows, for labels and attention alike, not STAR's lines.",
    )
    for name, row, figures, options, departures in (
        ("a", "no smoothing, STAR", (4.02, 2.32, 0.605), star.star_options("WFLW"), OF_STAR + STARS_EDGES),
        ("b", "no smoothing, Eq. 11", (4.02, 2.23, 0.604), structured("WFLW", smoothing=None), DEPARTURES),
        (
            "c",
            "image-unaware, Eq. 11",
            (3.99, 2.12, 0.606),
            structured("WFLW", smoothing=UNAWARE),
            DEPARTURES + ISOTROPIC,
        ),
        ("d", "image-aware, STAR", (4.00, 2.12, 0.602), of_star, OF_STAR + AWARE + note),
        ("e", "image-aware, Eq. 11", (3.99, 1.84, 0.606), structured("WFLW"), DEPARTURES + AWARE),
    ):
        nme, fr, auc = figures
        published = {NME: whole(nme), FR: whole(fr), AUC: whole(auc)}
        yield Row(f"yy-t6{name}", "yang_yeh", "Table 6", f"({name}) {row}", "WFLW", published, options, departures)


def structured(data: str, **options: Any) -> Options:
    """The paper's training on a set, with other options of train.objectives.Structured where they are given."""
    scheme = SCHEMES[data]
    smoothing = {"half_width": 8, "gamma": GAMMA[data], "edges": "own"}
    defaults = {"margin": "smooth_l1", "alpha": 1.0, "epsilon": 1.0, "smoothing": smoothing, "samples": 10}
    chosen = {**defaults, **options}
    if chosen["smoothing"] is None:
        chosen["samples"] = 0  # Eq. 11 is at the label itself
    return over(
        SCHEDULE,
        {
            "model": {
                "net": made(
                    "train.models.hourglass.StackedHourglass", scheme=scheme, activation="none", masking="none"
                ),
                "objective": made("train.objectives.Structured", **chosen),
                "scheme": scheme,
                "weights": {"landmarks": LAMBDA, "points": 10.0, "edges": 10.0},
                "point_sigma_cells": None,
            },
            "data": {**source(data), "edges": "distance"},
        },
    )


def _row(
    name: str,
    table: str,
    row: str,
    data: str,
    published: Published,
    options: Options | None = None,
    departures: tuple[str, ...] = AWARE,
) -> Row:
    options = options or structured(data)
    of_data = FAINT if data == "COFW" else ()
    return Row(f"yy-{name}", "yang_yeh", table, row, data, published, options, (*DEPARTURES, *departures, *of_data))
