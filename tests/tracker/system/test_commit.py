"""The version of the code that runs: the commit of this checkout and of no other, else that of the package."""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path

import pytest

import tracker.system.commit
from tracker.system.commit import commit

ROOT = Path(__file__).parents[3]


def test_of_this_checkout() -> None:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("needs a checkout with git")
    assert commit() == done.stdout[:12]


def test_without_git_it_is_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() == importlib.metadata.version("landmark-tracker")


def test_without_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert commit() == "unknown"


@pytest.mark.parametrize("repository", ["none", "around it", "empty", "of the environment"])
def test_another_repository_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: str) -> None:
    installed = tmp_path / "lib"
    installed.mkdir()
    monkeypatch.setattr(tracker.system.commit, "ROOT", installed)
    if repository == "of the environment":
        monkeypatch.setenv("GIT_DIR", str(ROOT / ".git"))
    elif repository != "none":
        where = installed if repository == "empty" else tmp_path
        subprocess.run(["git", "init", "-q"], cwd=where, check=True)
        if repository == "around it":
            who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
            subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "a"], cwd=where, check=True)
    assert commit() == importlib.metadata.version("landmark-tracker")
