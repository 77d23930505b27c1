"""python -m tools.provenance: renders docs/provenance.csv as docs/provenance.md, and checks that it is complete.

The table states the origin of the files and constants in the wheel.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tomllib

from tracker.cli.command import run_command
from tracker.errors import TrackerError
from tracker.system.files import write_whole

ROOT = Path(__file__).resolve().parents[1]
TABLE, PAGE = Path("docs/provenance.csv"), Path("docs/provenance.md")
KINDS = {
    "file": "a file of the wheel other than Python code",
    "research": "a file of the repository that is not in the wheel, for research only",
    "fitted": "made from data by a command",
    "chosen": "set by hand; the source gives the reason, and the data that it was tested on",
    "published": "taken from a publication or a format",
}
FILES = ("file", "research")
MEASURING = ("tracker/analysis", "tracker/detectors", "tracker/face", "tracker/metrics", "tracker/tracking")
"""The code that turns pictures into faces. The rest reads, writes and reports; no number in it follows from faces."""
NO_HASH = (".md", ".txt", ".sha256", ".typed", ".cu", ".html")
"""Files that are read by people or are code; every other one has its SHA-256 in the table."""

INTRODUCTION = """\
# Where the wheel's files and constants come from

This page is generated from [provenance.csv](provenance.csv) by `python -m tools.provenance`; edit the table, not this
page. Tests check that the table has every file of the wheel, every constant of the code that measures faces (unless it
is an integer) with its value, and that the commands for fitted constants give the same values.

Nothing in the wheel is fitted to 300W, whose labels are for research only. The numbers in a model's file (weights,
temperature, presence, covariances) were fitted to the faces that its card names. Some constants that were set by hand
were tested with a model that was trained on 300W, or on pictures of 300W: their rows say so.
"""
HEADER = "| name | value | source | licence | made by |\n| --- | --- | --- | --- | --- |\n"


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: a file's path, or a constant's name as in constants().
        value: of a constant, or a file's SHA-256.
        made_by: the command that makes it again.
    """

    name: str
    kind: str
    value: str
    source: str
    licence: str
    made_by: str


def main() -> int:
    """Run the command line."""
    return run_command(provenance, "tools.provenance")


def provenance() -> None:
    """Write docs/provenance.md; the exit status is 2 if the table does not match the wheel."""
    rows = read_table(ROOT)
    write_whole(ROOT / PAGE, page(rows).encode())
    if wrong := [*files_wrong(ROOT, rows), *constants_wrong(ROOT, rows)]:
        raise TrackerError(f"{TABLE} needs correction: " + "; ".join(wrong))


def read_table(root: Path) -> list[Row]:
    """Read the rows of docs/provenance.csv; raise TrackerError if one is incomplete."""
    with (root / TABLE).open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file, strict=True))
    for line in lines:
        if set(line) != set(Row.__dataclass_fields__) or line["kind"] not in KINDS:
            raise TrackerError(f"{TABLE}: expected the columns {', '.join(Row.__dataclass_fields__)}, got {line}")
        if not (line["source"] and line["licence"]) or (line["kind"] == "fitted" and not line["made_by"]):
            raise TrackerError(f"{TABLE}: {line['name']} needs a source, a licence and, if fitted, a command")
    return [Row(**line) for line in lines]


def wheel_files(root: Path) -> dict[str, str]:
    """Return the files that pyproject.toml's package-data puts into the wheel, with their SHA-256 or nothing."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]
    found = {
        path
        for package, globs in patterns.items()
        for pattern in globs
        for path in (root / package.replace(".", "/")).glob(pattern)
        if path.is_file()
    }
    return _with_hashes(root, found)


def research_files(root: Path) -> dict[str, str]:
    """The files beside the wheel's that are for research only, with their SHA-256 or nothing."""
    return _with_hashes(root, (root / "tracker/weights/research").iterdir())


def _with_hashes(root: Path, paths: Iterable[Path]) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): ""
        if path.suffix in NO_HASH
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(paths)
    }


def constants(root: Path) -> dict[str, str]:
    """Return the constants of MEASURING that are not integers, in Python's notation.

    By names such as tracker.detectors.yunet.CALIBRATION; tracker.tracking.smoothing.Kalman.__init__(noise) is a
    parameter's default.
    """
    paths = [path for name in MEASURING for path in sorted((root / name).rglob("*.py") or [root / name])]
    paths += [root / name for name in MEASURING if name.endswith(".py")]
    return {
        f"{path.relative_to(root).with_suffix('').as_posix().replace('/', '.')}.{name}": value
        for path in paths
        for name, value in _constants_in(ast.parse(path.read_text(encoding="utf-8")), "")
    }


def _constants_in(scope: ast.AST, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the assignments of a module or class, and the defaults of its functions' parameters."""
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, ast.ClassDef):
            yield from _constants_in(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args]
            pairs = [*zip(arguments[::-1], node.args.defaults[::-1]), *zip(node.args.kwonlyargs, node.args.kw_defaults)]
            for argument, default in pairs:
                if default is not None and _is_fractional(default):
                    yield f"{prefix}{node.name}({argument.arg})", ast.unparse(default)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None and _is_fractional(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield prefix + ast.unparse(targets[0]).strip("()"), ast.unparse(node.value)


def _is_fractional(value: ast.AST) -> bool:
    """Tell whether an expression contains a float other than 0 or a division."""
    return any(
        (isinstance(node, ast.Constant) and isinstance(node.value, float) and node.value != 0)
        or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div))
        for node in ast.walk(value)
    )


def files_wrong(root: Path, rows: list[Row]) -> list[str]:
    """Describe what the table lacks of the wheel's files and of those for research only, a sentence each."""
    wrong: list[str] = []
    for kind, found in (("file", wheel_files(root)), ("research", research_files(root))):
        wrong += _differences({row.name: row.value for row in rows if row.kind == kind}, found)
    return wrong


def constants_wrong(root: Path, rows: list[Row]) -> list[str]:
    """Describe what the table lacks of the constants, a sentence each."""
    listed = {row.name: row.value for row in rows if row.kind not in FILES}
    return list(_differences(listed, constants(root)))


def _differences(listed: dict[str, str], found: dict[str, str]) -> Iterator[str]:
    for name in sorted({*listed, *found}):
        if name not in listed:
            yield f"{name} = {found[name]} is not listed" if found[name] else f"{name} is not listed"
        elif name not in found:
            yield f"{name} is listed and does not exist"
        elif listed[name] != found[name]:
            yield f"{name} is listed as {listed[name]} and is {found[name]}"


def page(rows: list[Row]) -> str:
    """Format the table as Markdown, grouped by kind."""
    parts = [INTRODUCTION]
    for kind, meaning in KINDS.items():
        parts.append(f"\n## {kind.capitalize()}: {meaning}\n\n{HEADER}")
        parts += [_line(row) for row in rows if row.kind == kind]
    return "".join(parts)


def _line(row: Row) -> str:
    value = f"{row.value[:12]}..." if row.kind in FILES and row.value else row.value
    code = [f"`{text}`" if text else "" for text in (row.name, value, row.made_by)]
    return f"| {code[0]} | {code[1]} | {row.source} | {row.licence} | {code[2]} |\n"


if __name__ == "__main__":
    sys.exit(main())
