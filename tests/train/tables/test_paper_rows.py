"""The papers' figures and settings, copied from the papers with their table and row, against train.tables."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from train.models.hih import HihNet
from train.models.hourglass import StackedHourglass
from train.tables import ROWS, Row
from train.tables.configuration import distinct

PARTS = ("all", "largepose", "expression", "illumination", "makeup", "occlusion", "blur")


def figures(row: str, metric: str, parts: tuple[str, ...] = ("all",)) -> list[float]:
    """What the table says of a row."""
    return [ROWS[row].published[metric][part] for part in parts]


def of(paper: str) -> Iterator[Row]:
    return (row for row in ROWS.values() if row.paper == paper)


def init_args(row: str, part: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = ROWS[row].options["model"][part]["init_args"]
    return found


# Zhou et al., CVPR 2023, Table 3: basic, +DR and +AAM, NME without / with STAR by l1, smooth-l1, l2 and Wing.
STAR_TABLE_3 = {
    "cofw": """
        5.00/4.76 5.02/4.78 5.59/4.89 4.94/4.79
        4.78/4.70 4.76/4.70 5.06/4.73 4.76/4.67
        5.01/4.77 4.88/4.62 5.44/4.77 4.95/4.70
    """,
    "300w": """
        3.13/2.98 3.12/3.00 3.45/3.05 3.12/3.02
        3.04/2.94 3.02/2.96 3.20/2.99 3.04/2.96
        2.97/2.89 2.93/2.87 3.08/2.91 2.93/2.88
    """,
    "wflw": """
        4.35/4.16 4.34/4.17 4.79/4.31 4.32/4.17
        4.17/4.13 4.18/4.10 4.29/4.21 4.18/4.12
        4.19/4.05 4.14/4.02 4.37/4.11 4.15/4.05
    """,
}

# Lan et al., Table V: NME, FR, AUC on WFLW; full, pose, expression, illumination, make-up, occlusion, blur.
HIH_TABLE_5 = {
    "baseline": "4.53 7.91 4.72 4.74 4.32 5.48 5.23  4.00 19.02 3.82 3.15 3.88 7.74 4.27"
    "  0.568 0.291 0.547 0.579 0.574 0.497 0.516",
    "wsm": "4.35 7.68 4.54 4.56 4.14 5.33 5.07  3.64 18.10 3.18 3.01 3.88 7.61 3.62"
    "  0.586 0.310 0.565 0.596 0.591 0.511 0.531",
    "dark": "4.33 7.45 4.44 4.65 4.11 5.21 5.02  3.16 16.87 1.91 2.58 2.91 6.52 3.49"
    "  0.587 0.328 0.571 0.599 0.594 0.518 0.539",
    "wov": "4.34 7.50 4.50 4.56 4.12 5.17 4.98  3.20 15.33 2.55 2.58 1.94 6.39 3.88"
    "  0.585 0.320 0.570 0.594 0.593 0.517 0.538",
    "wom": "4.44 7.83 4.61 4.79 4.15 5.33 5.20  3.28 15.95 2.55 3.01 2.91 6.25 4.27"
    "  0.579 0.308 0.559 0.586 0.590 0.507 0.526",
    "hih": "4.27 7.38 4.33 4.59 4.01 5.16 5.00  2.92 13.80 2.54 2.43 3.39 6.38 3.62"
    "  0.593 0.337 0.578 0.606 0.600 0.524 0.545",
}

# Lan et al., Table VI: NME on 300W; full, common, challenging, private test.
HIH_TABLE_6 = {
    "baseline": "3.581 3.157 5.321 4.132",
    "wsm": "3.420 2.988 5.193 3.999",
    "dark": "3.404 2.962 5.221 3.908",
    "wov": "3.448 3.014 5.228 4.010",
    "wom": "3.640 3.127 5.745 4.445",
    "hih-l2": "3.356 2.946 5.038 3.835",
    "hih-csc": "3.296 2.891 4.956 3.832",
}

# Lan et al., Tables I, VII, VIII, IX and X: NME on WFLW, in the order of Table V.
HIH_WFLW = {
    "hih-t1-t": "4.27 7.38 4.33 4.59 4.01 5.16 5.00",
    "hih-t1-s": "4.13 7.20 4.18 4.38 3.90 4.98 4.71",
    "hih-t1-b": "4.08 6.87 4.06 4.34 3.85 4.85 4.66",
    "hih-t7-hard-t": "4.96 8.29 5.19 5.19 4.65 5.78 5.57",
    "hih-t7-soft-t": "4.27 7.38 4.33 4.59 4.01 5.16 5.00",
    "hih-t7-hard-s": "4.79 7.89 4.93 5.09 4.56 5.59 5.38",
    "hih-t7-soft-s": "4.13 7.20 4.18 4.38 3.90 4.98 4.71",
    "hih-t8-mse-t": "4.31 7.40 4.36 4.52 4.08 5.17 5.00",
    "hih-t8-mse-s": "4.18 7.20 4.19 4.45 3.97 5.00 4.81",
    "hih-t8-mse-b": "4.12 6.99 4.20 4.45 3.93 4.88 4.71",
    "hih-t8-csc-b": "4.08 6.87 4.06 4.34 3.85 4.85 4.66",
    "hih-t9-4": "4.389 7.553 4.471 4.613 4.152 5.201 5.023",
    "hih-t9-8": "4.273 7.388 4.330 4.595 4.005 5.158 4.997",
    "hih-t9-16": "4.307 7.438 4.337 4.576 4.051 5.198 5.029",
    "hih-t10-0.5": "4.21 7.05 4.34 4.54 4.04 4.90 4.73",
    "hih-t10-0.75": "4.20 6.97 4.38 4.46 4.04 4.88 4.81",
    "hih-t10-1": "4.08 6.87 4.06 4.34 3.85 4.85 4.66",
    "hih-t10-1.5": "4.14 7.02 4.24 4.45 3.93 4.84 4.70",
}

# Yang & Yeh, Tables 1, 5 and 6: NME, FR, AUC on WFLW.
YANG_YEH = {
    "yy-t1-wflw": "3.99 1.84 0.606",
    "yy-t5-none": "4.01 2.16 0.605",
    "yy-t5-l2": "4.00 2.00 0.606",
    "yy-t5-l1": "4.00 2.04 0.606",
    "yy-t5-smooth_l1": "3.99 1.84 0.606",
    "yy-t6a": "4.02 2.32 0.605",
    "yy-t6b": "4.02 2.23 0.604",
    "yy-t6c": "3.99 2.12 0.606",
    "yy-t6d": "4.00 2.12 0.602",
    "yy-t6e": "3.99 1.84 0.606",
}


def numbers(text: str) -> list[float]:
    return [float(cell) for cell in text.split()]


class TestPublishedFigures:
    @pytest.mark.parametrize("data", STAR_TABLE_3)
    def test_star_table_3(self, data: str) -> None:
        metric = "NME pupil" if data == "cofw" else "NME ocular"
        for trick, line in zip(("basic", "dr", "aam"), STAR_TABLE_3[data].split("\n")[1:-1], strict=True):
            for kind, cell in zip(("l1", "smooth_l1", "l2", "wing"), line.split(), strict=True):
                for name, value in zip(("without", "with"), cell.split("/"), strict=True):
                    assert figures(f"star-t3-{data}-{trick}-{kind}-{name}", metric) == [float(value)]

    def test_star_other_tables(self) -> None:
        assert figures("star-t1-wflw", "NME ocular") == [4.02]
        assert figures("star-t1-wflw", "FR ocular over 0.10") == [2.32]
        assert figures("star-t1-wflw", "AUC ocular to 0.10") == [0.605]
        assert figures("star-t1-cofw", "NME pupil") == [4.62]
        assert figures("star-t1-300w", "NME ocular", ("all", "common", "challenging")) == [2.87, 2.52, 4.32]
        table_2 = {"l1": "4.08/4.08 3.33/3.37 8.71/8.55", "l2": "4.16/3.96 3.48/3.35 8.44/8.27"}
        table_2["smooth_l1"] = "4.00/3.97 3.40/3.39 8.69/8.42"
        for kind, line in table_2.items():
            for name, values in zip(("without", "with"), zip(*(cell.split("/") for cell in line.split()), strict=True)):
                found = figures(f"star-t2-{kind}-{name}", "NME ocular", ("A", "B", "C"))
                assert found == [float(value) for value in values]
        for w, value in zip((1, 2, 3, 5, 10, 20), numbers("4.17 4.20 4.18 4.18 4.18 4.20"), strict=True):
            assert figures(f"star-t4-{w}", "NME ocular") == [value]
        table_5 = {"baseline": "4.34 4.14", "none": "4.60 4.61", "value": "4.17 4.02", "detach": "4.20 4.05"}
        for restriction, line in table_5.items():
            assert [figures(f"star-t5-{restriction}-{t}", "NME ocular")[0] for t in ("basic", "aam")] == numbers(line)
        assert figures("star-t6-adl", "NME ocular", PARTS) == numbers("4.14 6.96 4.38 4.09 4.05 5.06 4.79")
        assert figures("star-t6-star", "NME ocular", PARTS) == numbers("4.02 6.76 4.27 3.97 3.84 4.80 4.58")
        assert figures("star-s54-mahalanobis", "NME ocular") == [4.32]

    @pytest.mark.parametrize("row", YANG_YEH)
    def test_yang_yeh_on_wflw(self, row: str) -> None:
        metrics = ("NME ocular", "FR ocular over 0.10", "AUC ocular to 0.10")
        assert [figures(row, metric)[0] for metric in metrics] == numbers(YANG_YEH[row])

    def test_yang_yeh_elsewhere(self) -> None:
        pupil = ("NME pupil", "FR pupil over 0.10", "AUC pupil to 0.10")
        assert [figures("yy-t3-cofw", metric)[0] for metric in pupil] == [4.58, 0.79, 0.544]
        halves = ("all", "common", "challenging")
        assert figures("yy-t4-300w", "NME ocular", halves) == [2.87, 2.53, 4.27]
        assert figures("yy-ta5-300w", "NME pupil", halves) == [4.03, 3.51, 6.09]
        assert [figures("yy-ta4-cofw", m)[0] for m in ("NME ocular", "FR ocular over 0.10")] == [3.15, 0.00]
        parts = PARTS[1:]
        assert figures("yy-t2-wflw", "NME ocular", parts) == numbers("6.58 4.26 3.90 3.89 4.74 4.57")
        assert figures("yy-ta1-without", "NME ocular", parts) == numbers("6.68 4.26 3.94 3.93 4.77 4.56")
        assert figures("yy-ta2-wflw", "FR ocular over 0.10", parts) == numbers("9.23 1.92 0.86 1.46 3.95 2.33")
        assert figures("yy-ta3-wflw", "AUC ocular to 0.10", parts) == numbers("0.370 0.587 0.612 0.619 0.539 0.552")

    def test_subpixel(self) -> None:
        box = {"l2": 2.32, "static": 2.27, "dynamic": 2.30, "global": 3.19, "local": 2.04}
        assert {name: figures(f"subpixel-t1-{name}", "NME box")[0] for name in box} == box
        wflw = {"baseline": 4.20, "heatmaps": 3.90, "encoding": 4.00, "siamese": 3.72}
        assert {name: figures(f"subpixel-t2-{name}", "NME ocular")[0] for name in wflw} == wflw
        windows = {0: 2.21, 3: 2.06, 5: 2.04, 7: 2.07}
        assert {window: figures(f"subpixel-t3-{window}", "NME box")[0] for window in windows} == windows
        table_4 = ("NME ocular", "AUC ocular to 0.10", "FR ocular over 0.10")
        assert [figures("subpixel-t4a-wflw", metric)[0] for metric in table_4] == [3.72, 0.631, 1.55]
        assert figures("subpixel-t4b-300w", "NME ocular", ("common", "challenging", "all")) == [2.61, 4.13, 2.94]
        assert [figures("subpixel-t5-cofw", m)[0] for m in ("NME ocular", "FR ocular over 0.10")] == [3.02, 0.0]
        assert figures("subpixel-t6-aflw", "NME face_diagonal", ("all", "frontal")) == [1.31, 1.12]
        assert figures("subpixel-t6-aflw", "NME face_box") == [2.14]
        assert figures("subpixel-t6-aflw", "AUC face_box to 0.07") == [0.70]
        table_7 = {"300w": (2.04, 0.711), "menpo": (1.95, 0.730), "cofw-68": (2.47, 0.649)}
        for data, expected in table_7.items():
            found = tuple(figures(f"subpixel-t7-{data}", m)[0] for m in ("NME box", "AUC box to 0.07"))
            assert found == expected
        assert figures("subpixel-t8-300vw", "AUC ocular to 0.08, 49 points", ("C",)) == [0.601]
        assert figures("subpixel-t9-300vw", "NME ocular", ("C",)) == [5.84]

    @pytest.mark.parametrize("row", HIH_WFLW)
    def test_hih_on_wflw(self, row: str) -> None:
        assert figures(row, "NME ocular", PARTS) == numbers(HIH_WFLW[row])

    @pytest.mark.parametrize("solution", HIH_TABLE_5)
    def test_hih_table_5(self, solution: str) -> None:
        metrics = ("NME ocular", "FR ocular over 0.10", "AUC ocular to 0.10")
        found = [value for metric in metrics for value in figures(f"hih-t5-{solution}", metric, PARTS)]
        assert found == numbers(HIH_TABLE_5[solution])

    @pytest.mark.parametrize("solution", HIH_TABLE_6)
    def test_hih_table_6(self, solution: str) -> None:
        row = f"hih-t6-{solution}"
        found = figures(row, "NME ocular", ("all", "common", "challenging"))
        assert [*found, *figures(row, "NME ocular, private set")] == numbers(HIH_TABLE_6[solution])

    def test_hih_tables_2_3_and_4(self) -> None:
        metrics = ("NME ocular", "FR ocular over 0.10", "NME pupil", "FR pupil over 0.10")
        table_2 = {"t": "3.35 0.00 4.83 0.59", "s": "3.25 0.00 4.69 0.59", "b": "3.21 0.00 4.63 0.39"}
        table_3 = {"t": "3.29 2.89 4.95", "s": "3.15 2.75 4.80", "b": "3.09 2.65 4.89"}
        failures = {"t": "2.92 13.80 2.54 2.43 3.39 6.38 3.62", "s": "2.80 13.49 1.59 2.57 1.94 5.29 3.23"}
        failures["b"] = "2.60 12.88 1.27 2.43 1.45 5.16 3.10"
        areas = {"t": "0.593 0.337 0.578 0.606 0.600 0.524 0.545", "s": "0.602 0.346 0.592 0.613 0.612 0.535 0.558"}
        areas["b"] = "0.605 0.358 0.601 0.613 0.618 0.539 0.561"
        for size in "tsb":
            assert [figures(f"hih-t2-{size}", metric)[0] for metric in metrics] == numbers(table_2[size])
            halves = ("all", "common", "challenging")
            assert figures(f"hih-t3-{size}", "NME ocular", halves) == numbers(table_3[size])
            assert figures(f"hih-t4-{size}", "FR ocular over 0.10", PARTS) == numbers(failures[size])
            assert figures(f"hih-t4-{size}", "AUC ocular to 0.10", PARTS) == numbers(areas[size])


# Epochs, where the rate drops to a tenth, the first rate, and the batch over all GPUs, as the papers state them.
SCHEDULES: dict[str, tuple[int, list[int], float, int]] = {
    "yang_yeh": (200, [], 1e-3, 128),  # A1.3; a schedule is not stated
    "star": (500, [200, 350, 450], 1e-3, 4 * 16),  # section 5.1
    "subpixel": (50, [25, 40], 1e-4, 16),  # section 5.1; the batch is not stated
    "hih": (60, [30, 50], 5e-6, 16),  # section IV-A3
}


class TestSettings:
    @pytest.mark.parametrize("paper", SCHEDULES)
    def test_schedules(self, paper: str) -> None:
        for row in of(paper):
            expected = SCHEDULES[paper]
            if "objectives.Star" in row.options["model"]["objective"]["class_path"]:
                expected = SCHEDULES["star"]  # rows of Yang & Yeh that are STAR's
            model, data = row.options["model"], row.options["data"]
            found = (
                row.options["trainer"]["max_epochs"],
                model["milestones"],
                model["learning_rate"],
                data["batch"],
            )
            assert found == expected, row.id
            assert (model["weight_decay"], model["warmup"], data["size"]) == (0.0, 0.0, 256), row.id

    def test_all_official_faces_are_trained_on_and_nothing_is_chosen(self) -> None:
        assert {row.options["data"]["source"]["init_args"]["validation"] for row in ROWS.values()} == {"none"}

    def test_star(self) -> None:
        """Section 5.3: DR of sigma 1; Table 4: w; Table 5: restrictions; default: value, w 1, smooth-l1."""
        for row in of("star"):
            net, weights = row.options["model"]["net"]["init_args"], row.options["model"]["weights"]
            attention = net["masking"] == "multiply"
            assert (weights["points"], weights["edges"]) == ((10.0, 10.0) if attention else (0.0, 0.0)), row.id
            assert row.options["data"]["edges"] == ("star" if attention else None), row.id
            assert init_args(row.id, "objective").get("regularisation", 0) == (1.0 if "-dr-" in row.id else 0.0)
            assert ("augmentation" in row.options["data"]) is False  # the default is STAR's code
        for w in (1, 2, 3, 5, 10, 20):
            assert init_args(f"star-t4-{w}", "objective")["weight"] == w
        assert init_args("star-t5-none-aam", "objective")["weight"] == 0
        assert init_args("star-t5-detach-aam", "objective")["restriction"] == "detach"
        assert ROWS["star-t3-wflw-aam-smooth_l1-with"].options == ROWS["star-t1-wflw"].options
        assert ROWS["star-t4-1"].options["model"]["net"] == ROWS["star-t3-wflw-basic-l1-with"].options["model"]["net"]

    def test_yang_yeh(self) -> None:
        """A1.3: alpha 1, epsilon 1, lambda 5000, 10 samples; gamma of COFW a tenth; Table 6 differs in nothing else."""
        for row in of("yang_yeh"):
            objective = row.options["model"]["objective"]
            if "objectives.Star" in objective["class_path"]:
                continue
            found = objective["init_args"]
            assert (found["alpha"], found["epsilon"]) == (1.0, 1.0)
            assert found["samples"] == (10 if found["smoothing"] else 0)
            assert row.options["model"]["weights"]["landmarks"] == 5000
            assert row.options["data"]["edges"] == "distance"
            net = row.options["model"]["net"]["init_args"]
            assert (net["activation"], net["masking"]) == ("none", "none")
        gammas = [init_args(row, "objective")["smoothing"]["gamma"] for row in ("yy-t3-cofw", "yy-t1-wflw")]
        assert 10 * gammas[0] == pytest.approx(gammas[1])
        plain, unaware, aware = (ROWS[f"yy-t6{letter}"].options["model"] for letter in "bce")
        for other in (unaware, aware):
            assert {**other, "objective": None} == {**plain, "objective": None}

    def test_what_yang_yeh_vary(self) -> None:
        """Table 5: the margin. Table 6: (a) and (d) by STAR, the others by Eq. 11; (c) isotropic, (d) and (e) aware."""
        margins = ("none", "l2", "l1", "smooth_l1")
        assert [init_args(f"yy-t5-{margin}", "objective")["margin"] for margin in margins] == [*margins]
        assert init_args("yy-t1-wflw", "objective")["margin"] == "smooth_l1"
        learned = [ROWS[f"yy-t6{letter}"].options["model"]["objective"] for letter in "abcde"]
        names = [objective["class_path"].rpartition(".")[2] for objective in learned]
        assert names == ["Star", "Structured", "Structured", "Star", "Structured"]
        widths = [objective["init_args"].get("smoothing") for objective in learned]
        assert [width and "half_width" in width for width in widths] == [None, None, False, True, True]

    def test_what_star_varies(self) -> None:
        """Tables 2 and 3: the distance, with STAR and without. Table 6 and section 5.4: what stands in its place."""
        kinds = {"l1": "l1", "smooth_l1": "smooth_l1", "l2": "l2", "wing": "wing_star"}
        names = {"with": "Star", "without": "SoftArgmax"}
        for row in of("star"):
            if row.table in ("Table 2", "Table 3"):
                kind, _, name = row.id.rpartition("-")
                objective = row.options["model"]["objective"]
                assert objective["class_path"] == f"train.objectives.{names[name]}", row.id
                assert objective["init_args"]["kind"] == kinds[kind.rpartition("-")[2]], row.id
        assert ROWS["star-t6-adl"].options["model"]["objective"] == {
            "class_path": "train.objectives.AnisotropicDirection",
            "init_args": {"reading": "linear", "anisotropy": 2.0},  # Huang et al., ICCV 2021: lambda 2
        }
        mahalanobis = init_args("star-s54-mahalanobis", "objective")
        assert (mahalanobis["restriction"], mahalanobis["weight"]) == ("value", 1.0)

    def test_what_subpixel_varies(self) -> None:
        """Table 1: what is regressed. Table 2: how it is encoded and read. Table 3: the window."""
        learned = {
            name: ROWS[f"subpixel-{name}"].options["model"]["objective"]
            for name in ("t1-l2", "t1-static", "t1-global", "t1-local", "t2-baseline", "t2-encoding", "t3-0")
        }
        assert {name: objective["class_path"].rpartition(".")[2] for name, objective in learned.items()} == {
            **dict.fromkeys(("t1-l2", "t2-baseline"), "IntegerHeatmap"),
            "t1-static": "OffsetVector",
            "t1-global": "SoftArgmax",
            **dict.fromkeys(("t1-local", "t2-encoding", "t3-0"), "Subpixel"),
        }
        found = {name: objective["init_args"].get("decoder") for name, objective in learned.items()}
        assert found == {
            **dict.fromkeys(("t1-l2", "t2-baseline", "t2-encoding"), "quarter"),
            **dict.fromkeys(("t1-static", "t1-global", "t1-local"), None),
            "t3-0": "argmax",
        }
        assert (learned["t1-global"]["init_args"]["reading"], learned["t1-global"]["init_args"]["kind"]) == (
            "softmax",
            "l2",
        )
        assert learned["t1-static"]["init_args"]["distance"] == "l2"

    def test_rows_that_differ_in_how_maps_are_read_are_one_training(self) -> None:
        """Subpixel's Table 3 and "w/o 3.3"; HIH's baseline, WSM and DARK are after-treatments of the same maps."""
        together = [{row.id for row in rows} for rows in distinct(ROWS.values())]
        for ids in (
            {"subpixel-t3-0", "subpixel-t3-3", "subpixel-t3-5", "subpixel-t3-7", "subpixel-t1-local"},
            {"subpixel-t2-heatmaps", "subpixel-t2-encoding"},
            {"hih-t5-baseline", "hih-t5-wsm", "hih-t5-dark"},
        ):
            assert any(ids <= rows for rows in together), ids
        assert not any({"hih-t5-wov", "hih-t5-wom"} <= rows for rows in together)
        assert not any({"yy-t5-none", "yy-t5-l1"} <= rows for rows in together)

    def test_rows_whose_training_compares_points_are_not(self) -> None:
        """The term consistency reads the points of two views, so what is learned depends on the window."""
        rows = []
        for window in (3, 5):
            row = copy.deepcopy(ROWS[f"subpixel-t3-{window}"])
            row.options["model"]["weights"]["consistency"] = 1.0
            rows.append(row)
        assert len(distinct(rows)) == 2

    def test_subpixel(self) -> None:
        """Section 5.1: rotation within 30 degrees, scale 0.85 to 1.15, colour 0.6 to 1.4, mirrored; no other step."""
        for row in of("subpixel"):
            augmentation = row.options["data"]["augmentation"]
            found = [augmentation[name] for name in ("spread", "rotation_deg", "scale", "colour", "near")]
            assert found == ["uniform", 30.0, 0.15, 0.4, "independent"]
            assert {augmentation[name] for name in ("shift", "occlusion", "blur", "gamma", "noise", "gray")} == {0.0}
            assert init_args(row.id, "net")["stacks"] == 2
            is_siamese = row.options["data"].get("views") == 2
            assert is_siamese is (row.options["model"].get("weights", {}).get("siamese") == 1.0)
        assert init_args("subpixel-t4a-wflw", "objective")["temperature"] == 10
        assert [init_args(f"subpixel-t3-{w}", "objective").get("window") for w in (3, 5, 7)] == [3, 5, 7]
        targets = [init_args(f"subpixel-t1-{name}", "objective")["target_of"] for name in ("static", "dynamic")]
        assert targets == ["encoding", "prediction"]
        private = ROWS["subpixel-t7-300w"].options["data"]["source"]["init_args"]
        assert (private["training"], private["test_split"]) == ("split_one", "private")

    def test_hih(self) -> None:
        """Section IV-A3: sigma 1.5, 1 on 300W; alpha 0.1 for T, 0.05 for S and B; flip, rotation, occlusion, blur."""
        for row in of("hih"):
            assert init_args(row.id, "objective")["sigma_cells"] == (1.0 if row.data == "300W" else 1.5), row.id
            augmentation = row.options["data"]["augmentation"]
            shares = [augmentation[name] for name in ("flip", "rotation_deg", "rotated", "occlusion", "blur")]
            assert shares == [0.5, 30.0, 0.5, 0.5, 0.3]
            stacks = init_args(row.id, "net")["stacks"]
            assert row.options["model"]["weights"]["head"] == (0.1 if stacks == 1 else 0.05), row.id
        assert [init_args(f"hih-t1-{size}", "net")["stacks"] for size in "tsb"] == [1, 2, 4]
        assert [init_args(f"hih-t9-{n}", "net")["decimals"] for n in (4, 8, 16)] == [4, 8, 16]
        assert [init_args(f"hih-t10-{s}", "objective")["sigma_decimals"] for s in ("0.5", "0.75", "1", "1.5")] == [
            0.5,
            0.75,
            1.0,
            1.5,
        ]
        assert [init_args(f"hih-t7-{label}-t", "objective")["sigma_decimals"] for label in ("hard", "soft")] == [0, 1]
        assert {init_args(f"hih-t5-{name}", "net")["width"] for name in ("baseline", "wsm", "dark")} == {280}
        decoders = [init_args(f"hih-t5-{name}", "objective")["decoder"] for name in ("baseline", "wsm", "dark")]
        assert decoders == ["argmax", "quarter", "dark"]
        assert init_args("hih-t5-wom", "objective")["everywhere"] is True  # appendix B
        losses = [init_args(f"hih-t8-{name}-b", "objective")["decimal_loss"] for name in ("mse", "csc")]
        assert losses == ["l2", "csc"]


def test_every_departure_is_a_sentence_and_every_row_has_some() -> None:
    for row in ROWS.values():
        assert row.departures
        assert len({*row.departures}) == len(row.departures), row.id
        for departure in row.departures:
            assert (departure[0].isupper() or departure.startswith("data.")) and departure.endswith("."), departure


def header(row: str) -> str:
    return " ".join(ROWS[row].departures)


class TestWhatHeadersClaim:
    """Figures in the departures, computed again."""

    @pytest.mark.parametrize("row", ["star-t1-wflw", "star-t1-cofw", "star-t1-300w"])
    def test_parameters_of_stars_net(self, row: str) -> None:
        with torch.device("meta"):
            net = StackedHourglass(**init_args(row, "net"))
        millions = sum(p.numel() for p in net.parameters() if p.requires_grad) / 1e6
        points = {"ibug68": "With 68 points that gives the published ", "wflw98": "98 points ", "cofw29": "29 points "}
        assert f"{points[init_args(row, 'net')['scheme']]}{millions:.2f} M" in header(row)

    @pytest.mark.parametrize(("row", "published"), [("baseline", 6.67), ("wov", 6.91), ("wom", 6.85), ("hih-l2", 6.93)])
    def test_multiplications_of_hih(self, row: str, published: float) -> None:
        """Table VI is of 300W's 68 points."""
        counter = FlopCounterMode(display=False)
        with torch.device("meta"), counter, torch.no_grad():
            HihNet(**init_args(f"hih-t6-{row}", "net")).eval().fused()(torch.zeros(1, 3, 256, 256))
        found = counter.get_total_flops() / 2e9
        assert found / published == pytest.approx(0.99, abs=0.001)
        if row == "hih-l2":
            for other in ("baseline", "wov", "wom"):
                assert f"({found:.2f} for {published})" in header(f"hih-t6-{other}")
        else:
            assert all(f"{number:.2f}" in header(f"hih-t6-{row}") for number in (found, published))

    def test_the_weight_of_the_adaptive_wing_loss_is_a_departure(self) -> None:
        """Eq. A14 prints 1, and the text names edge maps alone."""
        for row in of("yang_yeh"):
            if "Structured" in row.options["model"]["objective"]["class_path"]:
                weights = row.options["model"]["weights"]
                assert (weights["points"], weights["edges"]) == (10.0, 10.0)
                assert "names edge maps alone; here edge maps have the weight 10" in header(row.id)

    def test_rows_of_star_in_table_6_say_what_else_they_differ_in(self) -> None:
        """From those of Eq. 11, besides the loss and the labels."""
        for star, other in (("a", "b"), ("d", "e")):
            of_star, of_other = (ROWS[f"yy-t6{letter}"].options for letter in (star, other))
            text = header(f"yy-t6{star}")
            here, there = (text.partition("; there ")[i] for i in (0, 2))
            for part, name, words in (
                ("trainer", "max_epochs", "{} epochs"),
                ("data", "batch", "batches of {}"),
            ):
                assert of_star[part][name] != of_other[part][name]
                assert words.format(of_star[part][name]) in here
                assert words.format(of_other[part][name]) in there
            assert (of_star["average"]["decay"], of_other["average"]["decay"]) == (0.0, 0.999)
            assert "no average of the weights" in here and "an average" in there
            masks = [options["model"]["net"]["init_args"]["masking"] for options in (of_star, of_other)]
            assert masks == ["multiply", "none"]
            assert "under the attention mask" in here and "raw maps without a mask" in there
            weights = [options["model"]["weights"]["landmarks"] for options in (of_star, of_other)]
            assert weights == [1, 5000]
            assert "the weight 1 of the landmarks" in here and "the weight 5000" in there
            edges = {options["data"]["edges"] for options in (of_star, of_other)}
            assert (len(edges) == 2) is ("The edge maps are STAR's lines" in text)

    def test_the_width_of_unaware_labels_is_said_to_be_of_another_set(self) -> None:
        assert ROWS["yy-t6c"].data == "WFLW"
        assert "measured on faces of 300W; this row is trained on WFLW" in header("yy-t6c")

    def test_star_names_its_restrictions_as_the_paper_does(self) -> None:
        rows = [ROWS[f"star-t5-{name}-basic"].row for name in ("baseline", "none", "value", "detach")]
        names = ("baseline", "wo. restriction", "w. value restriction", "w. detach restriction")
        assert rows == [f"{name}, basic" for name in names]
