"""Tables of the documents that repeat what the code knows."""

from __future__ import annotations

import json
import re

from tests.docs.pages import ROOT
from tracker.analysis.blendshapes import CHANNELS
from tracker.face.other_programs import point_numbers
from tracker.rows import COLUMNS
from tracker.sinks.openseeface import PACKET
from tracker.tracking.smoothing import PRESETS
from train.labels.mesh68 import TABLE

AVATARS = (ROOT / "docs/guides/avatars.md").read_text(encoding="utf-8")
MOVING = (ROOT / "docs/guides/moving.md").read_text(encoding="utf-8")


def test_mediapipe_vertices_are_those_of_the_table() -> None:
    rows = re.findall(r"^\| [a-z ]+ \| (\d+) to (\d+) \| ([\d, ]+) \|$", MOVING, re.M)
    shown = {int(first) + i: int(v) for first, _, row in rows for i, v in enumerate(row.split(", "))}
    weights = json.loads(TABLE.read_text(encoding="utf-8"))["points"]
    assert shown == {point: max(pairs, key=lambda pair: pair[1])[0] for point, pairs in enumerate(weights)}


def test_mediapipe_vertices_of_corners() -> None:
    """Vertices that MediaPipe's users know: the corners of the eyes and of the mouth."""
    rows = dict(re.findall(r"^\| (right eye|left eye|outer lips) \| \d+ to \d+ \| ([\d, ]+) \|$", MOVING, re.M))
    right, left, lips = (rows[name].split(", ") for name in ("right eye", "left eye", "outer lips"))
    assert [right[0], right[3], left[0], left[3], lips[0], lips[6]] == ["33", "133", "362", "263", "61", "291"]


def test_nearest_points_of_other_vertices_are_those_of_the_table() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \| .* of the \w+(?: eye)? \| ([\d, ]+) \|$", MOVING, re.M)
    shown = {int(v): int(p) for vs, ps in rows for v, p in zip(vs.split(", "), ps.split(", "), strict=True)}
    weights = json.loads(TABLE.read_text(encoding="utf-8"))["points"]
    weight_of = {v: max(range(68), key=lambda point: dict(weights[point]).get(v, 0.0)) for v in (160, 158, 385, 387)}
    assert shown == {**weight_of, 1: 30}  # vertex 1 is not in the table: on 16 faces it lies nearest to 30


def test_smoothing_presets_are_all_explained() -> None:
    page = (ROOT / "docs/guides/smoothing.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)`", page, re.M)) == set(PRESETS)


def test_columns_of_archives_are_all_explained() -> None:
    page = (ROOT / "docs/archives.md").read_text(encoding="utf-8")
    table = page.split("## The columns", 1)[1].split("The metadata", 1)[0]
    rows = re.findall(r"^\| (`.*) \| (.*) \| .* \|$", table, re.M)
    shown = {name: kind for names, kind in rows for name in re.findall(r"`(\w+)`", names)}
    assert list(shown) == [column.name for column in COLUMNS]
    for column in COLUMNS:
        length = column.per_face + 68 * column.per_point
        kind = f"list of {length} {column.kind}" if length else column.kind
        assert shown[column.name].split(",")[0] == kind, column.name
        assert ("null" in shown[column.name]) == column.nullable, column.name


def test_openface_columns_are_all_explained(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from tracker.face.schemes import IBUG68
    from tracker.sinks import OpenFaceCsv

    OpenFaceCsv(tmp_path / "x.csv", IBUG68).close()
    page = (ROOT / "docs/guides/outputs.md").read_text(encoding="utf-8")
    table = page.split("## CSV", 1)[1].split("## .pts", 1)[0]
    for column in (tmp_path / "x.csv").read_text().strip().split(","):
        name = re.sub(r"_\d+$", "_0", column)
        assert f"`{name}`" in table, column


def test_points_of_openseeface_are_those_of_the_table() -> None:
    numbers = point_numbers("openseeface")
    rows = re.findall(
        r"^\| (\d+)(?: to (\d+))? \| (\d+)(?: to (\d+))? \|$", MOVING.split("## From OpenSeeFace")[1], re.M
    )
    shown = {}
    for first, last, ours, _ in rows:
        for step in range(int(last or first) - int(first) + 1):
            shown[int(first) + step] = int(ours) + step
    assert shown == {int(number): ours for ours, number in enumerate(numbers) if number >= 0}


def test_channels_are_all_listed_with_their_flag() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (observed|weak|none) \|$", AVATARS, re.M)
    assert {name: flag for names, flag in rows for name in re.findall(r"\w+", names)} == dict(CHANNELS)


def test_fields_of_an_openseeface_packet_lie_where_it_is_said() -> None:
    """Each field begins where the one before it ends."""
    table = AVATARS.split("## OpenSeeFace")[1].split("**Turn.**")[0]
    rows = re.findall(r"^\| (\d+) \| (?:(\d+) )?(?:\((\w(?:, \w)*)\) )?(double|int|byte|float)", table, re.M)
    at = 0
    for offset, count, group, kind in rows:
        assert int(offset) == at
        at += {"double": 8, "int": 4, "byte": 1, "float": 4}[kind] * int(count or 1) * (group.count(",") + 1)
    assert at == PACKET.size == 1785
