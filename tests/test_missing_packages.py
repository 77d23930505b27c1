"""Without an optional package every command says in one line what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

ABSENT = """
import sys
class Absent:
    def find_spec(self, name, *_):
        if name == {0!r}:
            raise ModuleNotFoundError("No module named " + name, name=name)
sys.meta_path.insert(0, Absent())
"""


def run_without(package: str, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run python -m with a package that cannot be imported."""
    (folder / "sitecustomize.py").write_text(ABSENT.format(package))
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("package", "command", "extra"),
    [
        ("cv2", "tracker.run", "cpu"),
        ("cv2", "tracker.doctor", "cpu"),
        ("cv2", "tracker.evaluate", "cpu"),
        ("torch", "train.run", "train"),
        ("lightning", "train.run", "train"),
        ("cv2", "train.run", "cpu"),
    ],
)
def test_names_what_to_install(tmp_path: Path, package: str, command: str, extra: str) -> None:
    done = run_without(package, tmp_path, command)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert f"needs {package}, which is not installed; pip install 'landmark-tracker[{extra}]'" in line


@pytest.mark.parametrize("package", ["cv2", "tqdm"])
def test_labelling_names_what_it_needs(tmp_path: Path, package: str) -> None:
    done = run_without(package, tmp_path, "train.label")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line == f"train.label: needs {package}, which is not installed; pip install 'landmark-tracker[train]'"


@pytest.mark.parametrize(
    ("package", "command", "extra"),
    [
        ("torch", "benchmarks.loading", "dev"),
        ("onnx", "benchmarks.decode", "dev"),
        ("hypothesis", "benchmarks.fuzz", "dev"),
        ("jsonargparse", "benchmarks.gpu", "dev"),
        ("cv2", "tools.hand_label", "dev"),
        ("scipy", "tools.fit_mesh68", "dev"),
    ],
)
def test_measurements_and_tools_name_what_they_need(tmp_path: Path, package: str, command: str, extra: str) -> None:
    done = run_without(package, tmp_path, command)
    (line,) = done.stderr.strip().splitlines()
    assert line == f"{command}: needs {package}, which is not installed; pip install 'landmark-tracker[{extra}]'"
    assert done.returncode == 2


def test_a_defect_of_a_measurement_is_no_missing_package(tmp_path: Path) -> None:
    done = run_without("torch", tmp_path, "benchmarks.nothing")
    assert "No module named benchmarks.nothing" in done.stderr
    assert "pip install" not in done.stderr
