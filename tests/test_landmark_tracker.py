"""The command `landmarks`: it starts the right command line, and says in one sentence why one cannot start."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import landmark_tracker
from landmark_tracker import COMMANDS, main
from tests.conftest import ROOT
from tracker import __version__
from tracker.version import UNKNOWN, read_version


def run(*command: str, cwd: Path, path: str = str(ROOT)) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with others on the path of modules."""
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that could not start says."""
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_module_with_a_main(name: str) -> None:
    path = ROOT / f"{COMMANDS[name].module.replace('.', '/')}.py"
    assert re.search(r"^def main\(\) -> (int|None):", path.read_text(encoding="utf-8"), re.M)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        assert main(arguments) == 0
        assert re.findall(r"^  (\w+) ", capsys.readouterr().out, re.M) == [*COMMANDS]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("trak", "; did you mean track?"), ("Doctor", "; did you mean doctor?"), ("", ""), ("--verbose", "")],
)
def test_an_unknown_command(name: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 2
    assert capsys.readouterr().err == (
        "landmarks: expected one of track, evaluate, doctor, train, label, export, "
        f"got {name or 'an empty word'}{hint} (--help lists the commands)\n"
    )


def test_tracking_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, landmark_tracker; status = landmark_tracker.main(['track', '--help']); "
        "print(status, sorted({'torch', 'lightning', 'onnxruntime', 'train', 'export'} & {*sys.modules}))"
    )
    done = run("-c", code, cwd=tmp_path)
    assert done.stdout.splitlines()[0].startswith("usage: landmarks track")
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_version_needs_no_package(command: tuple[str, ...], tmp_path: Path) -> None:
    for package in ("cv2", "numpy", "torch"):
        (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError(name={package!r})")
    done = run("-m", "landmark_tracker", *command, "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{' '.join(['landmarks', *command])} {__version__}\n"), done.stderr


@pytest.mark.parametrize(
    ("absent", "command", "expected"),
    [
        (
            "cv2",
            "track",
            "landmarks track: tracker needs cv2, which is not installed; pip install 'landmark-tracker[cpu]'",
        ),
        ("tqdm", "track", "landmarks track: needs tqdm, which is not installed; pip install 'landmark-tracker[cpu]'"),
        (
            "cv2",
            "doctor",
            "landmarks doctor: tracker needs cv2, which is not installed; pip install 'landmark-tracker[cpu]'",
        ),
        (
            "torch",
            "train",
            "landmarks train: needs torch, which is not installed; pip install 'landmark-tracker[train]'",
        ),
        ("tqdm", "label", "landmarks label: needs tqdm, which is not installed; pip install 'landmark-tracker[train]'"),
        (
            "onnx",
            "export",
            "landmarks export: needs onnx, which is not installed; pip install 'landmark-tracker[export]'",
        ),
    ],
)
def test_a_missing_package(absent: str, command: str, expected: str, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.modules[{absent!r}] = None; sys.argv = ['landmarks', {command!r}]; "
        "from landmark_tracker import main; sys.exit(main())"
    )
    if (absent, command) in (
        ("tqdm", "label"),
        ("onnx", "export"),
    ):  # looked for before anything is imported, which a None would not pass
        code = code.replace(f"sys.modules[{absent!r}] = None", f"import importlib.util as u; f = u.find_spec; "
                            f"u.find_spec = lambda name, *a: None if name == {absent!r} else f(name, *a)")  # fmt: skip
    assert sentence(run("-c", code, cwd=tmp_path)).startswith(expected)


@pytest.mark.parametrize(
    ("command", "file", "package"),
    [
        (("landmark_tracker", "track", "--demo"), "tracker.py", "tracker"),
        (("landmark_tracker", "train"), "train.py", "train"),
        (("landmark_tracker", "train"), "tracker.py", "tracker"),
        (("landmark_tracker", "label"), "train/__init__.py", "train"),
        (("landmark_tracker", "export"), "export.py", "export"),
        (("export.run",), "train.py", "train"),
        (("train.run", "fit"), "tracker.py", "tracker"),
        (("train.label",), "tracker.py", "tracker"),
    ],
)
def test_a_file_of_the_users_own_in_the_way(command: tuple[str, ...], file: str, package: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("print('this ran')")
    done = run("-m", *command, cwd=tmp_path)
    place = path.parent if path.name == "__init__.py" else path
    said = sentence(done)
    assert f"{place} hides the package {package} of landmark-tracker; rename it" in said
    assert "this ran" not in done.stdout


def test_what_is_not_needed_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    (tmp_path / "export").mkdir()  # without __init__.py, as a folder with data
    done = run("-m", "landmark_tracker", "track", "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_doctor_names_files_that_python_m_would_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tracker.py").touch()
    (tmp_path / "export").mkdir()
    monkeypatch.setattr(sys, "argv", sys.argv)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert f"{tmp_path / 'tracker.py'} hides the package for `python -m tracker.run`" in out
    assert "export" not in out.split("hides the package")[1]
    monkeypatch.chdir(ROOT)
    assert main(["doctor"]) == 0
    assert "hides the package" not in capsys.readouterr().out


def test_fit_is_the_first_word_of_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)
    started: list[list[str]] = []

    class Module:
        @staticmethod
        def main() -> None:
            started.append(sys.argv)

    monkeypatch.setattr(landmark_tracker, "import_module", lambda name: Module)
    for words in ([], ["--config", "a.yaml"], ["fit", "--x", "1"], ["test"], ["validate"], ["--help"]):
        assert main(["train", *words]) == 0
    assert [argv[1:] for argv in started] == [
        ["fit"], ["fit", "--config", "a.yaml"], ["fit", "--x", "1"], ["test"], ["validate"], ["fit", "--help"],
    ]  # fmt: skip
    assert {argv[0] for argv in started} == {"landmarks train"}


class TestVersion:
    def test_is_that_of_the_checkout(self) -> None:
        written = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
        assert written
        assert __version__ == read_version() == written[1]

    def test_another_projects_file_is_not_taken(self, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text('[project]\nname = "application"\nversion = "9.9"\n')
        assert read_version(tmp_path) == read_version(tmp_path / "none")

    def test_is_the_metadatas_where_there_is_no_checkout(self, tmp_path: Path) -> None:
        shutil.copytree(ROOT / "tracker", tmp_path / "site/tracker", ignore=shutil.ignore_patterns("*.onnx", "*.tfl*"))
        info = tmp_path / "site/landmark_tracker-7.8.9.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: landmark-tracker\nVersion: 7.8.9\n")
        code = "import tracker; print(tracker.__version__, tracker.__file__)"
        done = run("-c", code, cwd=tmp_path, path=str(tmp_path / "site"))
        assert done.stdout.split()[0] == "7.8.9", done.stderr
        assert str(tmp_path) in done.stdout

    def test_files_without_metadata_have_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tracker.version.DISTRIBUTION", "landmark-tracker-that-nobody-installed")
        assert read_version(tmp_path) == UNKNOWN
