"""The comparison with other systems counts what it says it counts, on tracks whose figures are known."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import peers as command
from benchmarks._lib.peers import frames, systems
from benchmarks._lib.peers.figures import ClipTracks, Track, convert, figures, nearest_face, times
from benchmarks._lib.peers.frames import BLOCK, Clip, FrameSet, blocks
from benchmarks._lib.peers.measuring import measure
from benchmarks._lib.peers.page import COLUMNS, comparisons, page, table
from benchmarks._lib.peers.process import Answer, Block, PeerError
from benchmarks._lib.peers.systems import System
from tracker import Frame, Tracker
from tracker.datasets.clips import LABELLINGS
from tracker.datasets.pts_files import write_pts
from tracker.errors import TrackerError
from tracker.face.other_programs import point_numbers
from tracker.face.schemes import IBUG68
from tracker.sinks import OpenFaceCsv
from tracker.sources.demo import DemoClip

Array = np.ndarray[Any, Any]
ALL = tuple(range(68))
INNER = tuple(range(17, 68))


def moving(face68: Array, count: int = 60) -> list[Array]:
    """A face that moves on a curve; its outer eye corners keep their distance."""
    angles = 0.3 * np.arange(count)
    return [face68 + 20 * np.array([np.sin(a), np.cos(0.7 * a)]) for a in angles]


def clip_of(truths: list[Array], **tracks: Sequence[Array]) -> ClipTracks:
    filled = {name: Track(list(points), [1.0] * len(points), [len(points)]) for name, points in tracks.items()}
    return ClipTracks(25.0, truths, filled)


NOTHING = np.full((68, 2), np.nan)


@settings(max_examples=20)
@given(st.floats(-3, 3), st.floats(-3, 3))
def test_a_constant_offset_is_removed(dx: float, dy: float) -> None:
    face68 = np.random.default_rng(0).uniform(0, 100, (68, 2))
    truths = moving(face68)
    eyes = float(np.linalg.norm(face68[45] - face68[36]))
    found = figures([clip_of(truths, one=[truth + (dx, dy) for truth in truths])], ["one"], ALL, still=False)["one"]
    assert found["nme_percent"] == pytest.approx(100 * math.hypot(dx, dy) / eyes, abs=1e-3)
    assert found["offset_removed_percent"] == found["acceleration_error_percent"] == 0
    assert (found["no_face"], found["wrong_face"], found["common"]) == (0, 0, 60)


def test_a_system_that_lags(face68: Array) -> None:
    truths = moving(face68)
    late = [truths[max(0, number - 1)] for number in range(len(truths))]
    found = figures([clip_of(truths, late=late, early=truths)], ["late", "early"], ALL, still=False)
    assert found["late"]["lag_frames"] == pytest.approx(1, abs=0.1)
    assert found["early"]["lag_frames"] == pytest.approx(0, abs=0.1)


def test_lost_and_wrong_faces_leave_the_errors_of_all(face68: Array) -> None:
    """The errors are over the frames in which every system has the face, so that none gains by losing a hard one."""
    truths = moving(face68)
    hard = [truth + (3.0 if number < 10 else 1.0) for number, truth in enumerate(truths)]
    other = [NOTHING if number < 8 else truth + (60.0 if number < 10 else 0.0) for number, truth in enumerate(truths)]
    found = figures([clip_of(truths, hard=hard, other=other)], ["hard", "other"], ALL, still=False)
    assert (found["other"]["lost"], found["other"]["no_face"], found["other"]["wrong_face"]) == (10, 8, 2)
    assert (found["hard"]["no_face"], found["hard"]["wrong_face"]) == (0, 0)
    eyes = float(np.linalg.norm(face68[45] - face68[36]))
    assert found["hard"]["nme_percent"] == pytest.approx(100 * math.sqrt(2) / eyes, abs=1e-3)
    assert found["other"]["nme_percent"] == 0
    assert {each["common"] for each in found.values()} == {50}


def test_a_system_that_mostly_lost_the_face_has_no_errors_and_spoils_nobody_s(face68: Array) -> None:
    truths = moving(face68)
    blind = [truth if number < 20 else NOTHING for number, truth in enumerate(truths)]
    found = figures([clip_of(truths, good=truths, blind=blind)], ["good", "blind"], ALL, still=False)
    assert found["blind"]["no_face"] == 40 and "nme_percent" not in found["blind"]
    assert found["good"]["common"] == 60


def test_frames_without_labels_count_nowhere(face68: Array) -> None:
    truths = moving(face68)
    truths[20:30] = [NOTHING] * 10
    points = moving(face68)
    points[25] = NOTHING
    found = figures([clip_of(truths, one=points)], ["one"], ALL, still=False)["one"]
    assert (found["frames"], found["no_face"], found["wrong_face"], found["common"]) == (50, 0, 0, 50)


def test_clips_are_averaged(face68: Array) -> None:
    """Jitter and offsets are each clip's own: no difference between two clips is taken for one of them."""
    truths = moving(face68)
    clips = [clip_of(truths, one=[truth + shift for truth in truths]) for shift in (0.0, 2.0)]
    found = figures(clips, ["one"], ALL, still=False)["one"]
    assert found["offset_removed_percent"] == found["acceleration_error_percent"] == 0
    eyes = float(np.linalg.norm(face68[45] - face68[36]))
    assert found["nme_percent"] == pytest.approx(100 * math.sqrt(2) / eyes, abs=1e-3)
    assert found["frames"] == 120


def test_an_offset_in_pictures_turns_with_the_face(face68: Array) -> None:
    """Each picture has another size and roll; a point that lies too far out by as much in each has no error."""
    truths, points = [], []
    for number in range(12):
        turn = np.array([[math.cos(number), -math.sin(number)], [math.sin(number), math.cos(number)]])
        matrix = (1 + number) * turn
        wrong = face68.copy()
        wrong[30] += (4.0, -3.0)
        truths.append(face68 @ matrix.T)
        points.append(wrong @ matrix.T)
    found = figures([clip_of(truths, one=points)], ["one"], ALL, still=True)["one"]
    eyes = float(np.linalg.norm(face68[45] - face68[36]))
    assert found["nme_percent"] == pytest.approx(100 * 5 / 68 / eyes, abs=1e-3)
    assert found["offset_removed_percent"] == pytest.approx(0, abs=1e-3)
    assert found["lag_frames"] is None and found["acceleration_error_percent"] is None


def test_times_are_medians_over_frames_and_turns() -> None:
    track = Track([], [1.0, 2.0, 9.0, 4.0, 4.0, 100.0], [3, 3])
    assert times([track, Track([], [3.0], [1])]) == {
        "ms_p50": 4.0,
        "ms_p95": pytest.approx(np.percentile([1, 2, 9, 4, 4, 100, 3], 95)),
        "ms_p50_by_turn": [2.0, 4.0],
    }
    assert times([Track([], [math.nan], [1])]) == {"ms_p50": None, "ms_p95": None, "ms_p50_by_turn": None}


def test_points_of_a_system_are_put_where_ours_are(face68: Array) -> None:
    mesh = np.random.default_rng(0).uniform(0, 99, (468, 2))
    numbers = systems.facemeshes(None, None)[0].numbers
    ours = convert(mesh, numbers, -0.5)
    assert np.isnan(ours[[0, 7, 9, 16]]).all() and not np.isnan(ours[[8, *INNER]]).any()
    assert (ours[[36, 45, 8]] == mesh[[33, 263, 152]] - 0.5).all()
    assert (numbers[list(INNER)] == point_numbers("mediapipe")[17:]).all()
    assert (convert(face68, systems.dlib(None, None).numbers, 0.0) == face68).all()


def test_the_face_nearest_to_the_labels(face68: Array) -> None:
    far, near = face68 + 50, face68 + 3
    near[60] = np.nan
    assert nearest_face([far, near], face68) is near
    assert nearest_face([far, near], NOTHING) is far
    assert np.isnan(nearest_face([], face68)).all()


class Fake:
    """A fake system in this process: gives the labels moved, or does what fails is for."""

    def __init__(self, truths: list[Array], shift: float = 0.0, fails: Callable[[Block], Any] = lambda block: None):
        self.about: dict[str, Any] = {"versions": {"fake": "1"}, "sha256": {"file": "0123456789"}}
        self.truths, self.shift, self.fails = truths, shift, fails
        self.asked: list[tuple[str, int]] = []
        self.closed = 0

    def step(self, block: Block) -> list[Answer]:
        self.asked.append((block.clip, block.first))
        self.fails(block)
        numbers = range(block.first, block.first + len(block.pictures))
        faces = [[self.truths[number] + self.shift] for number in numbers]
        return [Answer(1.0 + self.shift, {"": face, "raw": face}) for face in faces]

    def close(self) -> None:
        self.closed += 1


def system(name: str, fake: Fake, **options: Any) -> System:
    given: dict[str, Any] = {"numbers": np.arange(68), "licence": "none", "shippable": True, **options}
    return System(name, lambda: fake, **given)


def frame_set(truths: list[Array], sets: dict[int, tuple[int, ...]] | None = None) -> FrameSet:
    def read() -> Iterator[tuple[Any, Array | None]]:
        return ((np.zeros((4, 4, 3), np.uint8), None if np.isnan(truth).any() else truth) for truth in truths)

    return FrameSet("Set", "About it.", False, sets or {68: ALL, 51: INNER}, [Clip("clip", 25.0, read)])


def die(after: int) -> Callable[[Block], None]:
    def fail(block: Block) -> None:
        if block.first >= after:
            raise PeerError("Peer cannot be measured: it has ended: gone")

    return fail


def test_turns_and_warm_up(face68: Array) -> None:
    truths = moving(face68, 60)
    order: list[str] = []
    fakes = {name: Fake(truths, fails=lambda block, name=name: order.append(name)) for name in "abc"}
    record = measure(frame_set(truths), [system(name, fake) for name, fake in fakes.items()])
    assert "".join(order) == "abc" + "abc" + "bca" + "cab"
    starts = [("warm-up", 0), ("Set/clip", 0), ("Set/clip", BLOCK), ("Set/clip", 2 * BLOCK)]
    assert all(fake.asked == starts and fake.closed == 1 for fake in fakes.values())
    assert record["tables"]["68"]["a"]["frames"] == 60
    assert list(record["tables"]) == ["68"]  # 51 points would bring no other system


@pytest.mark.parametrize("after", [0, BLOCK])
def test_a_peer_that_fails_is_left_out_with_its_reason(face68: Array, after: int) -> None:
    truths = moving(face68, 60)
    ours, peer = Fake(truths), Fake(truths, 1.0, die(after))
    record = measure(frame_set(truths), [system("ours", ours, ours=True), system("Peer", peer)])
    assert record["not_measured"] == {"Peer": "Peer cannot be measured: it has ended: gone"}
    assert list(record["tables"]["68"]) == list(record["systems"]) == ["ours"]
    assert peer.closed == ours.closed == 1
    with pytest.raises(PeerError):
        measure(frame_set(truths), [system("ours", Fake(truths, fails=die(after)), ours=True)])


def test_systems_that_do_not_fit(face68: Array) -> None:
    truths = moving(face68, 30)
    few = Fake([truth[:40] for truth in truths])
    other = system("Other", Fake(truths), clip="Another")
    record = measure(frame_set(truths), [system("ours", Fake(truths), ours=True), system("Few", few), other])
    assert record["not_measured"] == {
        "Few": "Few: expected 68 points in a face, got 40",
        "Other": "the points of Other are those of another clip",
    }


def test_tables_are_of_the_most_points_and_of_the_most_systems(face68: Array) -> None:
    truths = moving(face68, 30)
    no_jaw = np.where(np.arange(68) < 17, -1, np.arange(68))
    fewer = np.where(np.isin(np.arange(68), (60, 64)), -1, no_jaw)
    given = [system("ours", Fake(truths, 1.0), ours=True), system("Mesh", Fake(truths), numbers=no_jaw)]
    sets = {68: ALL, 51: INNER, 49: tuple(np.flatnonzero(fewer >= 0).tolist())}

    def tables() -> dict[str, list[str]]:
        found = measure(frame_set(truths, sets), given)["tables"]
        return {number: list(each) for number, each in found.items()}

    assert tables() == {"68": ["ours"], "51": ["ours", "Mesh"]}
    given.append(system("Few", Fake(truths), numbers=fewer))
    assert tables() == {"68": ["ours"], "49": ["ours", "Mesh", "Few"]}
    assert measure(frame_set(truths, sets), given[1:2])["tables"].keys() == {"51"}
    assert measure(frame_set(truths, {68: ALL}), given[1:2])["tables"] == {}


def record_of(face68: Array, load: float = 0.0) -> dict[str, Any]:
    truths = moving(face68, 60)
    given = [
        system("`ours`", Fake(truths, 0.5), ours=True, outputs={"": "", "raw": ", not smoothed"}),
        system("Better", Fake(truths, 0.25), shippable=False),
        system("Worse", Fake(truths, 1.0)),
        system("Peer", Fake(truths, 1.0, die(BLOCK))),
    ]
    measured = measure(frame_set(truths), given)
    about = {each.name: {"ours": each.ours, "shippable": each.shippable, "licence": each.licence} for each in given}
    known = {name: {**about[name], **said} for name, said in measured["systems"].items()}
    machine = {"cpu": "a processor", "cores": 2, "system": "Linux", "load": load}
    line = "python -m benchmarks.peers --talking-face TALKING_FACE --w300 300W" + " --clips CLIP" * 9
    head = {"command": line, "date": "2026-01-01", "machine": machine}
    return {**head, "systems": known, "sets": {"Set": measured}}


def test_page_publishes_losses_and_what_is_missing(face68: Array) -> None:
    record = json.loads(json.dumps(record_of(face68)))
    text = page(record)
    rows = {
        line.split(" | ")[0][2:]: line for line in text.split("## Ours against")[0].splitlines() if line[:2] == "| "
    }
    assert "1.25 (1.25 to 1.25)" in rows["Better †"] and "**1.25" in rows["Better †"]
    assert "**" not in rows["`ours`"] and "**" not in rows["Worse"]
    assert record["command"] in text.replace(" \\\n    ", " ")
    assert rows["Peer"].startswith("| Peer | not measured | ")
    assert "Not measured: Peer cannot be measured: it has ended: gone." in text
    assert "- `ours`: 0 won, 3 lost, 4 drawn." in text and "- `ours`, not smoothed: 0 won, 3 lost, 4 drawn." in text
    lost = [each for each in comparisons(record) if each.verdicts["`ours`"] == "**lost**"]
    assert {each.peer for each in lost} == {"Better"}
    assert [each.where for each in lost] == [f"Set, 68 points: {name}" for name in ("NME, %", "ms a frame", "p95, ms")]
    assert f"| {lost[0].ours['`ours`']}, **lost** | " in text and f" | {lost[0].best}, Better † |" in text
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith("|"))


def test_times_of_a_busy_machine_are_not_published(face68: Array) -> None:
    text = page(record_of(face68, load=3.0))
    assert "The machine was busy" in text and "ms a frame |" not in text and "1.25 (" not in text
    assert not any("ms" in each.where for each in comparisons(record_of(face68, load=3.0)))


def test_best_figure_of_each_column() -> None:
    given = {
        "a": {"lost": 3, "no_face": 3, "wrong_face": 0, "nme_percent": 3.004, "lag_frames": -0.1},
        "b": {"lost": 3, "no_face": 1, "wrong_face": 2, "nme_percent": 2.999, "lag_frames": 0.2},
        "c": {"lost": 40, "no_face": 40, "wrong_face": 0, "lag_frames": -0.104},
    }
    assert table(given, {"b": " †"}, ["d"], busy=False) == [
        "|  | lost (no face, wrong face) | NME, % | lag, frames |",
        "| --- | --- | --- | --- |",
        "| a | **3 (3, 0)** | 3.00 | **-0.10** |",
        "| b † | **3 (1, 2)** | 3.00 | 0.20 |",
        "| c | 40 (40, 0) |  | **-0.10** |",
        "| d | not measured |  |  |",
    ]


def test_columns_have_names_of_their_own() -> None:
    assert len({column.key for column in COLUMNS}) == len({column.title for column in COLUMNS}) == len(COLUMNS)


@settings(max_examples=20)
@given(st.integers(0, 70))
def test_blocks_have_every_frame_once(count: int) -> None:
    truths = [np.full((68, 2), float(number)) for number in range(count)]
    (clip,) = frame_set(truths).clips
    seen = [(block, labels) for block, labels in blocks("Set", False, clip)]
    assert [label[0, 0] for _, labels in seen for label in labels] == list(range(count))
    assert [block.first for block, _ in seen] == list(range(0, count, BLOCK))
    assert all(len(block.pictures) == len(labels) for block, labels in seen)


def test_pictures_that_are_damaged_are_named(w300: Path, tmp_path: Path) -> None:
    """Drawn faces beside their labels, of which one is cut off."""
    folder = tmp_path / "faces"
    shutil.copytree(w300 / "afw", folder)
    (clip,) = frames.labelled_pictures(folder).clips
    assert len(list(clip.read())) == len(list(folder.glob("*.pts"))) == 4
    (folder / "face1.png").write_bytes((folder / "face1.png").read_bytes()[:50])
    with pytest.raises(TrackerError, match=r"face1\.png.*correct it or leave it out"):
        list(clip.read())


def write_talking_face(folder: Path, count: int) -> None:
    """The first frames of the demo clip in the layout of the talking face, whose points have FGNET's order."""
    clip = DemoClip((320, 240))
    shared = LABELLINGS["talking-face"].indices
    for name in ("imgs", "annot"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        truth = clip.truth_px(number)
        points = truth.copy()
        points[list(shared)] = truth[list(shared.values())]
        picture = cv2.cvtColor(clip.picture(number), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"imgs/{number + 1:06d}.png"), picture)
        write_pts(folder / f"annot/{number + 1:06d}.pts", points)


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of our models in its process; the same model's points from its own table are as good to their last digit."""
    write_talking_face(tmp_path / "clip", 30)
    with OpenFaceCsv(tmp_path / "ours.csv", IBUG68) as sink:
        tracker = Tracker("edge68_fast")
        for number, (picture, _) in enumerate(frames.talking_face(tmp_path / "clip").clips[0].read()):
            frame = Frame(picture, number / 25, number)
            sink.write(frame, tracker.step(frame))
    monkeypatch.setattr(command, "MODELS", ("edge68_fast",))
    for kind in ("mediapipe", "dlib"):
        monkeypatch.setitem(systems.ENVIRONMENTS, kind, (f"no-{kind}", "packages"))
    command.peers(
        talking_face=tmp_path / "clip",
        points=f"Table={tmp_path / 'ours.csv'}",
        report=tmp_path / "out/peers.json",
        markdown=tmp_path / "out/peers.md",
    )
    record = json.loads((tmp_path / "out/peers.json").read_text())
    found = record["sets"]["Talking face"]["tables"]["18"]
    assert list(found) == ["`edge68_fast`", "`edge68_fast`, not smoothed", "Table"]
    ours, read = found["`edge68_fast`"], found["Table"]
    assert ours["frames"] == 30 and ours["no_face"] == ours["wrong_face"] == 0 < ours["nme_percent"] < 6
    for key in ("nme_percent", "offset_removed_percent", "acceleration_error_percent", "lag_frames"):
        assert ours[key] == pytest.approx(read[key], abs=0.01)
    assert ours["ms_p50"] > 0 and read["ms_p50"] is None
    assert len(record["sets"]["Talking face"]["not_measured"]) == 3
    text = (tmp_path / "out/peers.md").read_text()
    assert "\npython -m benchmarks.peers --talking-face TALKING_FACE --points NAME=FILE.csv\n" in text
    assert str(tmp_path) not in text and "dlib, 68 points | not measured" in text
    shutil.rmtree(tmp_path / "clip/annot")
    with pytest.raises(TrackerError, match="expected labels"):
        command.peers(talking_face=tmp_path / "clip")


def test_command_without_frames_or_with_equal_names(tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match="expected frames: give --talking-face, --w300, --clips or --pictures"):
        command.peers()
    with pytest.raises(TrackerError, match=r"--w300 .*: expected the folder of 300W with lfpw/testset"):
        command.peers(w300=tmp_path)
    write_talking_face(tmp_path / "clip", 1)
    given = [f"A={tmp_path / 'a.csv'}", f"A={tmp_path / 'a.csv'}"]
    OpenFaceCsv(tmp_path / "a.csv", IBUG68).close()
    with (tmp_path / "a.csv").open() as file:
        columns = file.readline().strip().split(",")
    with (tmp_path / "a.csv").open("a") as file:
        file.write(",".join("1" for _ in columns) + "\n")
    with pytest.raises(TrackerError, match="--points: expected names that differ"):
        command.peers(talking_face=tmp_path / "clip", points=given)
