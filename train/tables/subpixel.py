"""Bulat et al., Subpixel Heatmap Regression, BMVC 2021: Tables 1 to 9; 10 to 13 repeat their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from train.tables.row import (
    AUC,
    BOX_AUC,
    BOX_NME,
    COUNTS,
    DATA,
    FR,
    NME,
    ON_300VW,
    OWN_TEST,
    SCHEMES,
    SHARED_DEPARTURES,
    Options,
    Published,
    Row,
    Tests,
    made,
    over,
    parts_of_300w,
    schedule,
    source,
    whole,
)

SCHEDULE = schedule(epochs=50, drops=(25, 40), rate=1e-4, batch=16)  # section 5.1
NOTHING = dict.fromkeys(("shift", "occlusion", "blur", "gamma", "noise", "gray"), 0.0)
AUGMENTATION = {
    **NOTHING,
    "spread": "uniform",
    "rotation_deg": 30.0,
    "scale": 0.15,
    "colour": 0.4,
    "near": "independent",
}
PRETRAINED = "runs/subpixel-300w-lp/last.ckpt"
DEPARTURES = (
    *SHARED_DEPARTURES,
    "The face is 205 pixels of the crop, the paper's about 220.",
    "The batch is not published: 16 faces. Nor are the share of mirrored faces, 0.5, and sigma, 1 cell.",
    "Colour jitter multiplies each of red, green and blue by its own factor; the paper does not say what it jitters.",
    "Heatmaps have a peak of 1; Eq. 1 prints 1 / (2 pi sigma^2), which tau 10 would read worse.",
    "All points count in every NME; appendix B weighs each point by whether it is visible, v_k.",
)
SIAMESE = (
    "The views are merged by their mean in the frame of the first one, the paper's by their sum in that of the "
    "picture, without saying how high the target is.",
    "Both views of a face are mirrored, or none.",
)
START = (
    "It starts from the weights of subpixel-300w-lp; how long that training was, and at what rate, is not published.",
)
SPLIT_ONE = (
    "Trained on split I of 300W, 3,837 faces, as appendix A and the caption of Table 7 name it; the text of section 6 "
    "names the two splits the other way round.",
)
PRIVATE = ("Tested on the 600 faces of 01_Indoor and 02_Outdoor: data.source.test_root is their folder.",)
MENPO = (
    "Tested on Menpo's near-frontal faces of 68 points by the options of the test command, not by data.source below. "
    "Section 6 follows the protocol of LUVLi, which tests on these after a training on 300W; appendix A says 'we "
    "trained and evaluated', and not on which faces.",
)
COFW_68 = (
    "Tested on COFW's 507 test faces with 68 points by the options of the test command, not by data.source below.",
)


def rows() -> Iterator[Row]:
    """All of them, in the order of the tables, and the training on 300W-LP that others start from."""
    yield _row(
        "300w-lp",
        "Section 6",
        "training on 300W-LP, before that on 300W",
        "300W-LP",
        {},
        siamese("300W-LP"),
        (*SIAMESE, "The schedule of this training is not published: it is that of the others."),
    )
    yield from _table_1()
    yield _row("t2-baseline", "Table 2", "Baseline", "WFLW", {NME: whole(4.20)}, integer("WFLW"), QUARTER)
    one = ("data.views is 1: the row has no Siamese training.",)
    yield _row("t2-heatmaps", "Table 2", "+ proposed hm", "WFLW", {NME: whole(3.90)}, continuous("WFLW"), one)
    quarter = continuous("WFLW", decoder="quarter")
    yield _row("t2-encoding", "Table 2", "+ proposed hm (w/o 3.3)", "WFLW", {NME: whole(4.00)}, quarter, one + QUARTER)
    yield _row("t2-siamese", "Table 2", "+ siamese training", "WFLW", {NME: whole(3.72)}, siamese("WFLW"), SIAMESE)
    for window, value in {0: 2.21, 3: 2.06, 5: 2.04, 7: 2.07}.items():
        options = over(split_one(), _decoder("argmax") if window == 0 else _window(window))
        none = ("The row without a window is taken to be the highest cell.",) if window == 0 else ()
        note = (
            *SIAMESE,
            *START,
            *SPLIT_ONE,
            *PRIVATE,
            "The four rows differ in how one net is read: they are one training, tested four times.",
            *none,
        )
        name = f"{window} x {window}" if window else "none"
        yield _row(f"t3-{window}", "Table 3", f"window {name}", "300W", {BOX_NME: whole(value)}, options, note)
    wflw = {NME: whole(3.72), AUC: whole(0.631), FR: whole(1.55)}
    yield _row("t4a-wflw", "Table 4a", "Ours", "WFLW", wflw, siamese("WFLW"), SIAMESE)
    w300 = {NME: parts_of_300w(2.94, 2.61, 4.13)}
    yield _row("t4b-300w", "Table 4b", "Ours", "300W", w300, siamese("300W"), SIAMESE)
    cofw = {NME: whole(3.02), FR: whole(0.0)}
    yield _row("t5-cofw", "Table 5", "Ours", "COFW", cofw, siamese("COFW"), SIAMESE)
    aflw = {
        "NME face_diagonal": {"all": 1.31, "frontal": 1.12},
        "NME face_box": whole(2.14),
        "AUC face_box to 0.07": whole(0.70),
    }
    yield _row("t6-aflw", "Table 6", "Ours", "AFLW-19", aflw, siamese("AFLW-19"), SIAMESE)
    yield from _other_sets()


def _table_1() -> Iterator[Row]:
    weight = ("The weight of the offsets' loss is not published: 1.",)
    for name, row, value, options, departures in (
        ("l2", "l2 heatmap regression", 2.32, integer("300W"), QUARTER),
        ("static", "coord-correction (static gt)", 2.27, corrected("encoding"), weight),
        ("dynamic", "coord-correction (dynamic gt)", 2.30, corrected("prediction"), weight),
        (
            "global",
            "Global soft-argmax",
            3.19,
            _options("300W", made("train.objectives.SoftArgmax", reading="softmax", kind="l2")),
            ("Maps are read by a softmax of temperature 1; the paper does not say.",),
        ),
        ("local", "Local soft-argmax (Ours)", 2.04, siamese("300W"), SIAMESE),
    ):
        start = (*START, "That training is of the paper's own method.") if name != "local" else START
        all_options = over(options, _split_one())
        if "offsets" in all_options["model"]["net"]["init_args"]:
            del all_options["model"]["start"]
            start = ("It starts from random weights, as its head is not in the training on 300W-LP.",)
        published, note = {BOX_NME: whole(value)}, (*departures, *start, *SPLIT_ONE, *PRIVATE)
        yield _row(f"t1-{name}", "Table 1", row, "300W", published, all_options, note)


def _other_sets() -> Iterator[Row]:
    note = (*SIAMESE, *START, *SPLIT_ONE)
    menpo = {"source": "train.datasets.Menpo", **dict.fromkeys(("source.root", "source.test_root"), f"{DATA}/menpo")}
    cofw = {"source": "train.datasets.Cofw68", "source.root": f"{DATA}/cofw"}
    for name, nme, auc, tested, tests in (
        ("300W", 2.04, 0.711, PRIVATE, OWN_TEST),
        ("Menpo", 1.95, 0.730, MENPO, {"menpo": menpo}),
        ("COFW-68", 2.47, 0.649, COFW_68, {"cofw68": cofw}),
    ):
        data = name if name == "300W" else f"300W, tested on {name}"
        published = {BOX_NME: whole(nme), BOX_AUC: whole(auc)}
        yield _row(f"t7-{name}", "Table 7", f"Ours, {name}", data, published, split_one(), note + tested, tests)
    options, data = siamese("300W"), "300W, tested on 300VW"
    which = (
        "Which of its trainings on 300W the paper tested on videos is not said: that of split II, 3,148 faces.",
        "Tested on 300VW by the options of the test command, not by data.source below. Whether the paper's figure is a "
        "mean over frames or over videos is not said.",
    )
    points = (
        "The 49 inner points are reported by tracker.evaluate on the exported model: in its .json file those of "
        "category C, in the boxes of the labels (true boxes), per frame and per video.",
    )
    table_8 = {"AUC ocular to 0.08, 49 points": {"C": 0.6010}}
    clips = {"dataset": "300vw", "root": f"{DATA}/300vw", "split": "C"}
    yield _row("t8-300vw", "Table 8", "Ours", data, table_8, options, (*SIAMESE, *which, *points), {}, exported=clips)
    yield _row("t9-300vw", "Table 9", "Ours", data, {NME: {"C": 5.84}}, options, (*SIAMESE, *which), ON_300VW)


QUARTER = (
    "Points are read a quarter of a cell towards the higher neighbour, the baseline's heuristic of section 3.3.",
)


def continuous(data: str, **options: Any) -> Options:
    """Heatmaps around the real coordinate, one view of a face."""
    return _options(data, made("train.objectives.Subpixel", sigma_cells=1.0, temperature=10.0, **options))


def siamese(data: str, **options: Any) -> Options:
    """The whole method: continuous heatmaps and Siamese training."""
    weights = {"landmarks": 0.0, "consistency": 0.0, "siamese": 1.0}
    return over(continuous(data, **options), {"model": {"weights": weights}, "data": {"views": 2}})


def integer(data: str) -> Options:
    """The baseline, FAN: a Gaussian on the landmark's cell."""
    return _options(data, made("train.objectives.IntegerHeatmap", sigma_cells=1.0, decoder="quarter"))


def corrected(target: str) -> Options:
    """The baseline with offsets by global pooling and a fully connected layer, learned by l2 (section 4.1)."""
    objective = made("train.objectives.OffsetVector", sigma_cells=1.0, target_of=target, distance="l2")
    net = {"model": {"net": made("train.models.fan.FanNet", landmarks=68, stacks=2, offsets=True)}}
    return over(_options("300W", objective), net, {"model": {"weights": {"head": 1.0}}})


def split_one() -> Options:
    """The method on split I of 300W, tested on the private set."""
    return over(siamese("300W"), _split_one())


def _split_one() -> Options:
    private = source("300W", training="split_one", test_split="private", test_root=f"{DATA}/300w_private")
    return {"model": {"start": PRETRAINED}, "data": private}


def _window(window: int) -> Options:
    return {"model": {"objective": {"init_args": {"window": window}}}}


def _decoder(decoder: str) -> Options:
    return {"model": {"objective": {"init_args": {"decoder": decoder}}}}


def _options(data: str, objective: Options) -> Options:
    scheme = SCHEMES.get(data, "ibug68")
    return over(
        SCHEDULE,
        {
            "model": {
                "net": made("train.models.fan.FanNet", landmarks=COUNTS[scheme], stacks=2),
                "objective": objective,
                "scheme": scheme,
            },
            "data": {**source(data), "augmentation": AUGMENTATION},
        },
    )


def _row(
    name: str,
    table: str,
    row: str,
    data: str,
    published: Published,
    options: Options,
    departures: tuple[str, ...],
    tests: Tests = OWN_TEST,
    exported: Mapping[str, str] | None = None,
) -> Row:
    return Row(
        f"subpixel-{name.lower()}",
        "subpixel",
        table,
        row,
        data,
        published,
        options,
        (*DEPARTURES, *departures),
        tests,
        exported or {},
    )
