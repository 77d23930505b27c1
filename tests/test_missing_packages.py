"""Without an optional package every command says in one line what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


def run_without(package: str, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run python -m with a package that cannot be imported."""
    (folder / f"{package}.py").write_text(f"raise ModuleNotFoundError('No module named {package}', name={package!r})")
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
        ("cv2", "train.label", "cpu"),
    ],
)
def test_names_what_to_install(tmp_path: Path, package: str, command: str, extra: str) -> None:
    done = run_without(package, tmp_path, command)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert f"needs {package}, which is not installed; pip install 'landmark-tracker[{extra}]'" in line


def test_labelling_names_what_it_needs(tmp_path: Path) -> None:
    done = run_without("tqdm", tmp_path, "train.label")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line == "train.label: needs tqdm, which is not installed; pip install 'landmark-tracker[train]'"
