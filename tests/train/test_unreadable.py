"""What may not be read: one sentence in training, evaluation and export. Root's privileges are dropped for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tracker.datasets.test_damaged_matlab import mat_of_aflw

ROOT = Path(__file__).parents[2]

WITHOUT_PRIVILEGES = """
import ctypes, os, sys
if os.getuid() == 0:  # root reads everything by these two capabilities, which a new program then no longer gets
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""
CHECKS = """
import json, logging, os, sys
from pathlib import Path
from tracker.datasets.labelled import labelled_faces, read_face
from tracker.datasets.pictures import Pictures
from tracker.datasets.video300 import read_clip
from train.datasets import Aflw19, CustomDataset, W300, Wflw
from train.exported import expect_start
from train.labels.folder import pictures_in
from train.mix import mix
from train.widen import widen

logging.disable(logging.CRITICAL)
os.chdir(sys.argv[1])

def faces(source):  # as train.loaders.Crops, by which training and export have their faces
    samples = source.labelled()
    return len(Pictures(samples, 0).good(samples, source.on_invalid))

checks = {
    "privileges": lambda: len(Path("picture/face1.png").read_bytes()),
    "picture": lambda: faces(CustomDataset(Path("picture"), "ibug68")),
    "picture skipped": lambda: faces(CustomDataset(Path("picture"), "ibug68", on_invalid="skip")),
    "label": lambda: faces(CustomDataset(Path("label"), "ibug68")),
    "label skipped": lambda: faces(CustomDataset(Path("label"), "ibug68", on_invalid="skip")),
    "folder": lambda: faces(CustomDataset(Path("folder"), "ibug68", on_invalid="skip")),
    "folder above": lambda: faces(CustomDataset(Path("folder/deeper"), "ibug68", on_invalid="skip")),
    "table": lambda: faces(CustomDataset(Path("table/faces.csv"), "ibug68", on_invalid="skip")),
    "table above": lambda: faces(CustomDataset(Path("folder/faces.csv"), "ibug68", on_invalid="skip")),
    "300W": lambda: faces(W300(Path("folder"), on_invalid="skip")),
    "WFLW": lambda: faces(Wflw(Path("folder"), on_invalid="skip")),
    "AFLW": lambda: faces(Aflw19(Path("mat"), on_invalid="skip")),
    "clip": lambda: read_clip(Path("folder/clip")),
    "picture evaluated": lambda: [read_face(face)[1].size for face in labelled_faces("folder", Path("picture"))],
    "pictures to label": lambda: pictures_in(Path("folder")),
    "start": lambda: expect_start(Path("folder/last.ckpt")),
    "exported": lambda: expect_start(Path("folder/model.onnx"), "--checkpoint"),
    "mixed": lambda: mix(Path("folder/a.ckpt"), Path("b.ckpt"), Path("folder/m.ckpt")),
    "widened": lambda: widen(Path("a.ckpt"), (8, 8), Path("folder/m.ckpt")),
    "label evaluated": lambda: [read_face(face)[1].size for face in labelled_faces("folder", Path("label"))],
}
found = {}
for name, check in checks.items():
    try:
        found[name] = check()
    except Exception as error:
        found[name] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, w300: Path) -> dict[str, int | str]:
    root = tmp_path_factory.mktemp("unreadable")
    for name in ("picture", "label"):
        shutil.copytree(w300 / "afw", root / name)
    for name in ("folder", "table", "mat"):
        (root / name).mkdir()
    (root / "table/faces.csv").touch()
    mat_of_aflw(root / "mat")
    for secret in ("picture/face1.png", "label/face1.pts", "folder", "table/faces.csv", "mat/AFLWinfo_release.mat"):
        (root / secret).chmod(0)
    command = [sys.executable, "-c", WITHOUT_PRIVILEGES, CHECKS, str(root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    (root / "folder").chmod(0o755)  # so that pytest can remove it
    assert done.returncode == 0, done.stderr
    found: dict[str, int | str] = json.loads(done.stdout)
    if isinstance(found["privileges"], int):
        pytest.skip("root's privileges cannot be dropped here")
    return found


def test_a_picture(found: dict[str, int | str]) -> None:
    sentence = "DatasetError: picture/face1.png cannot be decoded as a picture: Permission denied"
    assert str(found["picture"]).startswith(sentence)
    assert found["picture skipped"] == 3
    assert str(found["picture evaluated"]).startswith(sentence)


def test_a_label(found: dict[str, int | str]) -> None:
    sentence = "label/face1.pts: expected a .pts file, it cannot be read: Permission denied"
    assert str(found["label"]).startswith(f"DatasetError: {sentence}")
    assert found["label skipped"] == 3
    assert str(found["label evaluated"]) == f"TrackerError: {sentence}"


@pytest.mark.parametrize("name", ["folder", "folder above", "table", "table above", "300W", "WFLW", "clip"])
def test_a_folder_or_a_table(found: dict[str, int | str], name: str) -> None:
    assert str(found[name]).startswith("DatasetError: ")
    assert "it cannot be read: Permission denied" in str(found[name])


def test_a_folder_of_pictures_to_label(found: dict[str, int | str]) -> None:
    sentence = "folder: expected a folder of pictures, it cannot be read: Permission denied; correct --images"
    assert found["pictures to label"] == f"TrackerError: {sentence}"


@pytest.mark.parametrize("name", ["start", "exported", "mixed", "widened"])
def test_a_folder_of_checkpoints(found: dict[str, int | str], name: str) -> None:
    assert str(found[name]).startswith("CheckpointError: ")
    if name in ("start", "exported"):
        assert "got one that cannot be looked at (Permission denied)" in str(found[name])


def test_a_file_of_matlab(found: dict[str, int | str]) -> None:
    assert str(found["AFLW"]).startswith("DatasetError: mat/AFLWinfo_release.mat: expected a .mat file")
    assert "Permission" in str(found["AFLW"])
