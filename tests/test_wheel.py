"""The wheel, built from a copy of the repository's files and used outside of it, on every supported Python there is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tracker import __version__
from tracker.weights.packaged import PACKAGED

pytestmark = pytest.mark.slow

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
LEFT_OUT = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "out", "runs", "site", "tests")
CLEAN = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
run = partial(subprocess.run, capture_output=True, text=True, check=False, env=CLEAN)
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")


def expect(done: subprocess.CompletedProcess[str]) -> str:
    """Standard output of a command that must have ended well."""
    assert done.returncode == 0, f"{done.args}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "source", ignore=LEFT_OUT)
    expect(run([sys.executable, *PIP, "wheel", "--no-deps", "--wheel-dir", str(folder), str(folder / "source")]))
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module", params=PYTHONS)
def installed(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of a fresh environment, with nothing but the wheel and its extras cpu and demo."""
    version = request.param
    python = sys.executable if version == f"{sys.version_info[0]}.{sys.version_info[1]}" else f"python{version}"
    if shutil.which(python) is None:
        pytest.skip(f"no python{version} on PATH")
    if (found := run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])).stdout.strip() != version:
        pytest.skip(f"python{version} does not start here: {' '.join(found.stderr.split())[:80]}")
    folder = tmp_path_factory.mktemp(f"python{version}")
    expect(run([python, "-m", "venv", str(folder)]))
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    expect(run([str(programs / "python"), *PIP, "install", f"{wheel}[cpu,demo]"]))
    return programs


def test_holds_the_packages_and_their_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {
        "tracker", "train", "export", "landmark_tracker.py", f"landmark_tracker-{__version__}.dist-info",
    }  # fmt: skip
    for folder in ("tracker", "train", "export"):
        modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py")}
        assert modules == {name for name in names if name.startswith(f"{folder}/") and name.endswith(".py")}
    configs = {f"train/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "configs").rglob("*.yaml")}
    assert configs == {name for name in names if name.endswith(".yaml")}
    schemes = {path.name for path in (ROOT / "tracker/face/scheme_tables").iterdir()}
    assert schemes == {name.rpartition("/")[2] for name in names if name.startswith("tracker/face/scheme_tables/")}
    assert not [name for name in names if "test" in Path(name).stem.split("_")]
    licences = re.findall(r'"([\w/.-]*LICENSE[\w.-]*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert len(licences) > 1
    assert {f"landmark_tracker-{__version__}.dist-info/licenses/{name}" for name in licences} <= {*names}


def test_models_for_research_only_are_in_neither_distribution(wheel: Path) -> None:
    """pyproject.toml's licence must be true of both; SOURCES.txt lists what the source distribution would hold."""
    archive = zipfile.ZipFile(wheel)
    sources = (wheel.parent / "source/landmark_tracker.egg-info/SOURCES.txt").read_text(encoding="utf-8").splitlines()
    for names in (archive.namelist(), sources):
        assert {f"tracker/weights/{name}.onnx" for name in PACKAGED} <= {*names}
        assert [name for name in names if "research" in name or "300w.onnx" in name] == []
    licence = re.findall(r"^License-Expression: (.*)$", read_metadata(archive), re.M)
    assert licence == ["MIT AND Apache-2.0 AND CC-BY-4.0"]


def read_metadata(archive: zipfile.ZipFile) -> str:
    return archive.read(f"landmark_tracker-{__version__}.dist-info/METADATA").decode()


def test_who_asks_for_a_research_model_is_told_where_it_is(installed: Path, tmp_path: Path) -> None:
    done = run([str(installed / "landmarks"), "track", "--demo", "--model", "edge68_300w"], cwd=tmp_path)
    assert done.returncode == 2
    assert "tracker/weights/research/edge68_300w.onnx from the source repository" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_doctor_and_the_demo(installed: Path, tmp_path: Path) -> None:
    landmarks = str(installed / "landmarks")
    assert expect(run([landmarks, "--version"], cwd=tmp_path)) == f"landmarks {__version__}\n"
    told = expect(run([landmarks, "doctor"], cwd=tmp_path))
    assert "model " in told
    assert "FairFace" in told
    assert "research only" not in told
    assert str(ROOT) not in told
    (tmp_path / "tracker.py").write_text("raise SystemExit('a file of the user')")
    told = expect(run([landmarks, "track", "--demo", "--output", "landmarks.jsonl"], cwd=tmp_path))
    error = re.search(r"error ([\d.]+) %", told)
    assert error
    assert float(error[1]) < 6
    lines = (tmp_path / "landmarks.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(json.loads(lines[0])["faces"][0]["points_px"]) == 68


def test_a_training_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    done = run([str(installed / "landmarks"), "train", "--config", "edge68.yaml"], cwd=tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr == "landmarks train: needs torch, which is not installed; pip install 'landmark-tracker[train]'\n"
    )


def test_pyinstaller_is_told_of_the_data(wheel: Path, tmp_path: Path) -> None:
    """The hook that PyInstaller finds by the entry point lists the models, in an environment of its own."""
    expect(run([sys.executable, "-m", "venv", str(tmp_path / "env")]))
    python = str(tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "python")
    expect(run([python, *PIP, "install", "pyinstaller>=6"]))
    expect(run([python, *PIP, "install", "--no-deps", str(wheel)]))
    code = (
        "import runpy; from importlib.metadata import entry_points; "
        "(point,) = [each for each in entry_points(group='pyinstaller40') if each.value.startswith('tracker.')]; "
        "print(point.value)"
    )
    assert expect(run([python, "-c", code], cwd=tmp_path)) == "tracker.pyinstaller:hook_folders\n"
    folder = sysconfig.get_path("purelib", vars={"base": str(tmp_path / "env"), "platbase": str(tmp_path / "env")})
    hook = Path(folder) / "tracker/pyinstaller/hook-tracker.py"
    code = f"import runpy; print(*[path for path, _ in runpy.run_path({str(hook)!r})['datas']], sep='\\n')"
    taken = [Path(line).name for line in expect(run([python, "-c", code], cwd=tmp_path)).splitlines()]
    data = {
        path.name
        for ending in ("onnx", "tflite", "sha256", "csv", "json")
        for path in (ROOT / "tracker").rglob(f"*.{ending}")
        if "research" not in path.parts
    }
    assert len(data) > 12
    assert data <= {*taken}
    assert [name for name in taken if name.endswith(".dist-info")]


def test_a_training_finds_its_configuration(wheel: Path, tmp_path: Path) -> None:
    """The wheel's files with the packages of this environment, where PyTorch is."""
    pytest.importorskip("lightning")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    places = os.pathsep.join([str(tmp_path / "site"), sysconfig.get_path("purelib")])
    (tmp_path / "empty").mkdir()
    told = expect(
        run(
            [sys.executable, "-m", "landmark_tracker", "train", "--config", "edge68.yaml", "--print_config"],
            cwd=tmp_path / "empty", env={**CLEAN, "PYTHONPATH": places},
        )
    )  # fmt: skip
    assert "class_path: train.models.edge.EdgeHourglass" in told
