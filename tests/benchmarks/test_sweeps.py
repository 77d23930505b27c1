"""benchmarks.sweeps: each setting is trained, read in each of its ways, and has a row with its gradients."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks import representations
from benchmarks.sweeps import GROUPS, OWN_READING, PUBLISHED, Group, sweeps, table, trained

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(w300: Path, tmp_path: Path) -> Path:
    """Drawn faces with a test set."""
    shutil.copytree(w300, tmp_path / "300w")
    shutil.copytree(w300 / "lfpw/trainset", tmp_path / "300w/lfpw/testset")
    return tmp_path / "300w"


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_every_setting_trains_and_has_its_rows(
    root: Path, tmp_path: Path, group: Group, capsys: pytest.CaptureFixture[str]
) -> None:
    sweeps(group, root, 1, folder=tmp_path)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == sum(1 + len(setting.readings) for setting in GROUPS[group].values())
    assert (tmp_path / f"{group}.json").exists()


@pytest.mark.parametrize("group", GROUPS)
def test_the_page_has_the_figures_of_the_trainings(group: Group) -> None:
    pages = ROOT / "benchmarks"
    runs = json.loads((pages / f"trainings/{group}.json").read_text())["12 epochs"]
    assert table(runs, GROUPS[group]) in (pages / "sweeps.md").read_text()


def test_the_page_of_representations_has_the_figures_of_theirs() -> None:
    record = json.loads((ROOT / "benchmarks/trainings/representations.json").read_text())
    assert (
        representations.table(record["12 epochs"], record["ms"]) in (ROOT / "benchmarks/representations.md").read_text()
    )


def test_readings_read_the_same_maps_otherwise(root: Path) -> None:
    found = trained(GROUPS["subpixel"][PUBLISHED], root, 1, 1)["lfpw_test_nme_percent"]
    assert found["window 5"] == found[OWN_READING]
    assert len({*found.values()}) == len(found) - 1


def test_gradients_are_those_of_each_term(root: Path) -> None:
    settings = GROUPS["weights"]
    one, many = (trained(settings[name], root, 1, 1)["gradients"]["first"] for name in ("1, 10, 10", "100, 10, 10"))
    assert set(one) == {"landmarks_gradient", "points_gradient", "edges_gradient"}
    assert many["landmarks_gradient"] == pytest.approx(100 * one["landmarks_gradient"], rel=0.02)  # of bfloat16
    assert many["edges_gradient"] == pytest.approx(one["edges_gradient"], rel=0.02)


def test_the_table_has_means_and_ranges() -> None:
    def run(error: float) -> dict[str, object]:
        gradients = {"first": {"landmarks_gradient": 2.0}, "last": {"landmarks_gradient": 1.0}}
        return {"validation_nme_percent": 5.0, "lfpw_test_nme_percent": {OWN_READING: error}, "gradients": gradients}

    text = table({"w 5, seed 1": run(4.0), "w 5, seed 2": run(5.0)}, {"w 5": GROUPS["star"]["w 5"]})
    assert text.splitlines()[-1] == "| w 5 | 5.00 (5.00 to 5.00) | 4.50 (4.00 to 5.00) | landmarks 2 | landmarks 1 |"
