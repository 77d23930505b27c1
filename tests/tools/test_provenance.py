"""docs/provenance.csv lists every file and every measured constant of the wheel, with the value that it has."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("tomllib", reason="needs Python 3.11, which reads pyproject.toml")

from tools.provenance import MEASURING, PAGE, TABLE, constants_wrong, files_wrong, page, read_table
from tracker.errors import TrackerError
from tracker.weights.packaged import PACKAGED, RESEARCH

ROOT = Path(__file__).resolve().parents[2]
ROWS = read_table(ROOT)


def test_every_file_of_the_wheel_is_listed_with_its_hash() -> None:
    assert files_wrong(ROOT, ROWS) == []


def test_every_constant_is_listed_with_its_value() -> None:
    assert constants_wrong(ROOT, ROWS) == []


def test_the_page_is_the_table() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(ROWS), "run python -m tools.provenance"


def test_nothing_is_fitted_on_labels_for_research_only() -> None:
    """Neither a constant nor the packaged models; the models in tracker/weights/research alone are."""
    fitted = [row for row in ROWS if row.kind == "fitted" or row.made_by]
    assert {row.name for row in fitted} >= {
        "tracker.analysis.head_pose.WORST_MM",
        "tracker.detectors.yunet.CALIBRATION",
        "tracker/analysis/head68_mm.csv",
        *(f"tracker/weights/{name}.onnx" for name in PACKAGED),
    }
    of_300w = {row.name for row in fitted if "300W" in row.source or "research only" in row.licence}
    files = (*(f"{name}.onnx" for name in RESEARCH), "300w_mirror.csv")
    assert of_300w == {f"tracker/weights/research/{file}" for file in files}
    assert {row.kind for row in ROWS if row.name in of_300w} == {"research"}


def test_a_new_research_file_is_found(copy: Path) -> None:
    (copy / "tracker/weights/research/new.onnx").write_bytes(b"anything")
    assert [text.split()[0] for text in files_wrong(copy, ROWS)] == ["tracker/weights/research/new.onnx"]


def test_a_fitted_constant_names_its_command_where_it_stands() -> None:
    for row in ROWS:
        if row.kind == "fitted":
            module, _, name = row.name.rpartition(".")
            text = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
            assert row.made_by.split()[2].replace(".", "/") + ".py" in text, f"{name} in {module}"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the table is compared with, to be changed."""
    for name in ("pyproject.toml", str(TABLE)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("tracker", "train/labels"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "engines/*.plan"))
    return tmp_path


def test_a_new_file_and_a_changed_one_are_found(copy: Path) -> None:
    (copy / "tracker/weights/new.onnx").write_bytes(b"anything")
    (copy / "tracker/analysis/head68_mm.csv").write_bytes(b"0,0,0\n")
    (copy / "tracker/datasets/video300_excluded.json").unlink()
    wrong = [text for text in files_wrong(copy, ROWS) if text not in files_wrong(ROOT, ROWS)]
    assert [text.split()[0] for text in wrong] == [
        "tracker/analysis/head68_mm.csv",
        "tracker/datasets/video300_excluded.json",
        "tracker/weights/new.onnx",
    ]
    assert "is listed as" in wrong[0] and "does not exist" in wrong[1] and "is not listed" in wrong[2]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("NEW = 0.3", "NEW"),
        ("_HIDDEN: float = 2 / 7", "_HIDDEN"),
        ("NEW = {'a': (1, 0.5)}", "NEW"),
        ("class A:\n    LIMIT = 0.5", "A.LIMIT"),
        ("def f(x: int, y: float = 0.25) -> None: ...", "f(y)"),
        ("class A:\n    def __init__(self, *, y: float = 3.0) -> None: ...", "A.__init__(y)"),
    ],
)
@pytest.mark.parametrize("module", ["analysis/head_pose", "face/crop"])
def test_a_new_constant_is_found_however_it_is_written(copy: Path, module: str, line: str, name: str) -> None:
    with (copy / f"tracker/{module}.py").open("a", encoding="utf-8") as file:
        file.write(f"\n\n{line}\n")
    (wrong,) = set(constants_wrong(copy, ROWS)) - set(constants_wrong(ROOT, ROWS))
    assert wrong.startswith(f"tracker.{module.replace('/', '.')}.{name} = ") and wrong.endswith("is not listed")


def test_a_changed_and_a_removed_constant_are_found(copy: Path) -> None:
    pose = copy / "tracker/analysis/head_pose.py"
    pose.write_text(pose.read_text(encoding="utf-8").replace("WORST_MM = 10.0", "WORST_MM = 12.0"), encoding="utf-8")
    assert "tracker.analysis.head_pose.WORST_MM is listed as 10.0 and is 12.0" in constants_wrong(copy, ROWS)
    rows = [*ROWS, replace(ROWS[-1], name="tracker.analysis.head_pose.GONE", kind="chosen")]
    assert "tracker.analysis.head_pose.GONE is listed and does not exist" in constants_wrong(copy, rows)


def test_the_code_that_measures_is_there() -> None:
    assert [name for name in MEASURING if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("missing", ["source", "licence", "made_by"])
def test_a_row_without_an_origin_is_refused(copy: Path, missing: str) -> None:
    lines = [
        {**vars(row), missing: ""} if row.name == "tracker.analysis.head_pose.WORST_MM" else vars(row) for row in ROWS
    ]
    with (copy / TABLE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    with pytest.raises(
        TrackerError,
        match=r"tracker\.analysis\.head_pose\.WORST_MM needs a source, a licence and, if fitted, a command",
    ):
        read_table(copy)
