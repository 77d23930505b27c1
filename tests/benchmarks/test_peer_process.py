"""Peers in processes of their own: what is sent arrives, and each way to fail is one sentence."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from benchmarks._lib.peers.figures import convert
from benchmarks._lib.peers.point_files import LAYOUTS, read_point_file
from benchmarks._lib.peers.process import WORKER, Block, PeerError, PeerProcess
from benchmarks._lib.peers.systems import ENVIRONMENTS, System, dlib, environment, facemeshes, point_file
from benchmarks._lib.peers.worker import BGR, read_pictures
from tracker import Frame, Tracker
from tracker.errors import TrackerError
from tracker.sources.demo import DemoClip
from tracker.weights.packaged import landmark_model

ABOUT = 'print(\'{"versions": {}, "sha256": {}}\', flush=True)\n'
READ = "import json, sys\nblock = json.loads(sys.stdin.buffer.readline())\n"
ENTRY = '{"ms": 1.0, "faces": {"": [[[1.0, 2.0]]]}}'
# A fake peer, which answers with the sum of each picture and the header that it was given.
ECHO = (
    ABOUT
    + """
import json, sys
while line := sys.stdin.buffer.readline():
    block = json.loads(line)
    sums = [sum(sys.stdin.buffer.read(3 * h * w)) for h, w in block["shapes"]]
    print(json.dumps([{"ms": block["fps"], "faces": {"": [[[s, block["first"]]]]}} for s in sums]), flush=True)
"""
)


def fake(script: str, limit_s: float = 20.0) -> PeerProcess:
    return PeerProcess("Fake", [sys.executable, "-c", script], limit_s)


def block(*shapes: tuple[int, int]) -> Block:
    rng = np.random.default_rng(0)
    return Block("clip", False, 25.0, 7, [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes])


def test_pictures_arrive_as_they_are() -> None:
    sent = block((5, 7), (700, 500))
    sent.pictures[0].flags.writeable = False
    turned = Block("clip", False, 25.0, 9, [sent.pictures[1].transpose(1, 0, 2)])
    with fake(ECHO) as peer:
        first, second = peer.step(sent)
        (third,) = peer.step(turned)
    assert [one.faces[""][0].tolist() for one in (first, second)] == [[[p.sum(), 7.0]] for p in sent.pictures]
    assert (first.ms, third.faces[""][0].tolist()) == (25.0, [[sent.pictures[1].sum(), 9.0]])


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import sys; sys.exit('no model here')", "it has ended: no model here"),
        ("", "it has ended: no message"),
        ("print('hello')", "its answer is no JSON"),
        ("print('[1]')", "it does not say its versions"),
        ("import time; time.sleep(60)", "it took longer than 0.7 s"),
        (f"{ABOUT}{READ}raise ValueError('odd frame')", "it has ended: ValueError: odd frame"),
        (f"{ABOUT}{READ}print('[')", "its answer is no JSON"),
        (f"{ABOUT}{READ}print('{{}}')", "does not answer 1 frames"),
        (f"{ABOUT}{READ}print('[{ENTRY}, {ENTRY}]')", "does not answer 1 frames"),
        (f"{ABOUT}{READ}print('[3]')", "its answer is not ms and faces"),
        (f"{ABOUT}{READ}print('[{ENTRY.replace('2.0', 'NaN')}]')", "its answer is not ms and faces"),
        (f"{ABOUT}{READ}print('[{ENTRY.replace('2.0', '2.0, 3.0')}]')", "its answer is not ms and faces"),
        (f"{ABOUT}{READ}print('[{ENTRY.replace('1.0, 2.0', '')}]')", "its answer is not ms and faces"),
        (f"{ABOUT}{READ}print('[{ENTRY.replace('1.0, ', 'null, ', 1)}]')", "its answer is not ms and faces"),
        (f"{ABOUT}{READ}print('[{ENTRY.replace('ms', 'seconds')}]')", "its answer is not ms and faces"),
        (f"{ABOUT}{READ}print('[{ENTRY.replace(chr(34) * 2, chr(34) + 'raw' + chr(34))}]')", "its answer is not ms"),
        (f"{ABOUT}{READ}import time; time.sleep(60)", "it took longer than 0.7 s"),
        (f"{ABOUT}import time; time.sleep(60)", "it took longer than 0.7 s"),  # it does not even read
    ],
)
def test_failures_are_one_sentence(script: str, message: str) -> None:
    limit_s = 0.7 if "longer" in message else 20.0
    with pytest.raises(PeerError, match=r"^Fake cannot be measured: ") as caught:
        fake(script, limit_s).step(block((900, 900)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=r"Fake cannot be started by .*nowhere: No such file"):
        PeerProcess("Fake", [str(tmp_path / "nowhere")])


def test_ours_gives_what_the_tracker_gives() -> None:
    clip = DemoClip((320, 240))
    pictures = [clip.picture(number) for number in range(3)]
    model = landmark_model(Path("edge68_fast"))
    with PeerProcess("ours", [sys.executable, "-m", WORKER, "ours", json.dumps({"model": str(model)})]) as peer:
        assert {model.name} == peer.about["sha256"].keys()
        answers = peer.step(Block("demo", False, 30.0, 0, pictures))
        again = peer.step(Block("another", False, 30.0, 0, pictures))
    tracker = Tracker(model)
    for number, (picture, answer) in enumerate(zip(pictures, answers)):
        (face,) = tracker.step(Frame(picture, number / 30, number)).faces
        assert np.abs(answer.faces[""][0] - face.landmarks.points_px).max() < 0.01
        assert np.abs(answer.faces["raw"][0] - face.raw.points_px).max() < 0.01
        assert answer.ms > 0
    assert [one.faces[""][0].tolist() for one in again] == [one.faces[""][0].tolist() for one in answers]


def test_the_order_of_colours() -> None:
    """OpenSeeFace takes pictures as OpenCV reads them; the pictures of a block follow each other without a gap."""
    pictures = block((3, 5), (2, 4)).pictures
    data = b"".join(picture.tobytes() for picture in pictures)
    for bgr in (False, True):
        read = list(read_pictures(BytesIO(data), [(3, 5), (2, 4)], bgr))
        assert all((one == (sent[..., ::-1] if bgr else sent)).all() for one, sent in zip(read, pictures))
    assert BGR == ("openseeface",)


def error(points: np.ndarray, numbers: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance of our points of a system's face, over that of the outer eye corners."""
    distances = np.linalg.norm(convert(points, numbers, 0.0) - truth, axis=1)
    return float(np.nanmean(distances) / np.linalg.norm(truth[45] - truth[36]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mediapipe", "dlib"])
def test_other_systems_on_a_real_face(kind: str) -> None:
    """Their points, where the tables say ours are, lie near the demo clip's labels; with two exchanged, farther."""
    variable = f"{kind.upper()}_PYTHON"
    if not os.environ.get(variable):
        pytest.skip(f"needs ${variable}, the Python of an environment with {kind}, see benchmarks/README.md")
    python = Path(os.environ[variable])
    clip = DemoClip((640, 480))
    for system in [dlib(python, None)] if kind == "dlib" else facemeshes(python, None):
        peer = system.start()
        (answer,) = peer.step(Block("demo", True, 30.0, 0, [clip.picture(0)]))
        peer.close()
        truth, compared = clip.truth_px(0), system.numbers >= 0
        assert compared.sum() == {"dlib": 68, "mediapipe": 52}[kind]
        (points,) = answer.faces[""]
        known = error(points, system.numbers, truth)
        assert known < 0.08
        for a, b in ((36, 39), (48, 54), (17, 26), (31, 35), (62, 66), (27, 30)):
            swapped = system.numbers.copy()
            swapped[[a, b]] = swapped[[b, a]]
            assert error(points, swapped, truth) > known


@pytest.mark.parametrize("kind", ["mediapipe", "dlib"])
def test_a_python_without_the_system(kind: str) -> None:
    if find_spec(kind):
        pytest.skip(f"needs an environment without {kind}")
    here = Path(sys.executable)
    system: System = dlib(here, None) if kind == "dlib" else facemeshes(here, None)[0]
    with pytest.raises(PeerError, match=f"cannot be measured: it has ended: .*({kind}|face_recognition_models)"):
        system.start()


def test_an_environment_that_is_not_there(tmp_path: Path) -> None:
    assert environment("dlib", Path(sys.executable)) == Path(sys.executable)
    for kind, (folder, packages) in ENVIRONMENTS.items():
        with pytest.raises(PeerError) as caught:
            environment(kind, tmp_path / "python")
        assert f"--{kind}-python" in str(caught.value)
        assert f"python -m venv runs/{folder}" in str(caught.value) and packages in str(caught.value)


@pytest.mark.parametrize("count", [68, 66])
def test_points_of_other_programs(count: int, tmp_path: Path) -> None:
    frame, xs, ys = LAYOUTS[count]
    points = np.random.default_rng(0).uniform(0, 99, (3, count, 2)).round(2)
    rows = [[str(number), *map(str, face[:, 0]), *map(str, face[:, 1])] for number, face in zip((1, 3, 3), points)]
    lines = [",".join(row) for row in ([frame, *xs, *ys], *rows)]
    (tmp_path / "points.csv").write_text("\r\n".join(lines) + "\r\n")
    read = read_point_file(tmp_path / "points.csv")
    answers = read.step(block((2, 2), (2, 2)))  # from frame 7 on
    assert [one.faces for one in answers] == [{"": []}] * 2 and np.isnan(answers[0].ms)
    first, none, third = (one.faces[""] for one in read.step(Block("clip", False, 25.0, 0, [np.zeros((2, 2, 3))] * 3)))
    assert (np.array(first) == points[:1]).all() and none == [] and (np.array(third) == points[1:]).all()
    assert (point_file(f"Other={tmp_path / 'points.csv'}", "clip").numbers >= 0).sum() == {68: 68, 66: 50}[count]


def test_a_log_of_openseeface_puts_the_mouth_where_we_have_it(tmp_path: Path, face68: np.ndarray) -> None:
    """58 and 62 of its points are the corners of the mouth, 30 the tip of the nose, 8 the chin."""
    frame, xs, ys = LAYOUTS[66]
    (tmp_path / "log.csv").write_text(",".join([frame, *xs, *ys]) + "\n1" + ",".join(["", *map(str, range(132))]))
    system = point_file(f"OSF={tmp_path / 'log.csv'}", "clip")
    assert [system.numbers[i] for i in (8, 30, 36, 48, 54, 60, 64, 0)] == [8, 30, 36, 58, 62, -1, -1, -1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns of OpenFace or of OpenSeeFace"),
        ("frame,x,y\n1,2,3\n", "expected the columns of OpenFace or of OpenSeeFace"),
        ("{header}\n", "expected faces, found none"),
        ("{header}\n1,2,3\n", "cannot be read"),
        ("{header}\n0{values}\n", "expected frames from 1 on"),
        ("{header}\none{values}\n", "cannot be read"),
        ("{header}\n1{values}\n".replace("{values}", ",inf" * 136), "finite points"),
        ("\x00\xff", "cannot be read"),
    ],
)
def test_files_that_are_no_points(text: str, message: str, tmp_path: Path) -> None:
    frame, xs, ys = LAYOUTS[68]
    path = tmp_path / "points.csv"
    path.write_bytes(text.format(header=",".join([frame, *xs, *ys]), values=",1" * 136).encode("latin-1"))
    with pytest.raises(TrackerError, match="--points") as caught:
        read_point_file(path)
    assert message in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("option", ["file.csv", "=file.csv", "name="])
def test_points_need_a_name_and_a_file(option: str) -> None:
    with pytest.raises(TrackerError, match="--points: expected NAME=FILE"):
        point_file(option, "clip")
