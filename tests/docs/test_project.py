"""The project files (pyproject, CITATION, changelog and others) agree with the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import tracker.sinks
import tracker.sources
from tests.docs.pages import PAGES, ROOT, name_of
from tracker.engines.onnx import OnnxEngine
from tracker.weights.packaged import BLAZEFACE, PACKAGED, RESEARCH, YUNET, landmark_model


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_readme_is_one_page() -> None:
    assert len(read("README.md").splitlines()) <= 120


def test_versions_agree() -> None:
    version = re.search(r'^version = "(.*)"', read("pyproject.toml"), re.M)
    assert version
    assert yaml.safe_load(read("CITATION.cff"))["version"] == version[1]


def test_the_licence_names_what_is_in_the_wheel() -> None:
    text = read("pyproject.toml")
    expression = re.search(r'^license = "(.*)"', text, re.M)
    assert expression
    of_models = {OnnxEngine(landmark_model(Path(name))).spec.licence.partition(";")[0] for name in PACKAGED}
    assert "CC BY 4.0" in read("train/labels/mesh68.json")[:500]
    assert set(expression[1].split(" AND ")) == {"MIT", "CC-BY-4.0", YUNET.licence, BLAZEFACE.licence, *of_models}
    files = re.search(r"^license-files = \[(.*?)\]", text, re.M | re.S)
    assert files
    assert all((ROOT / name).is_file() for name in re.findall(r'"(.*?)"', files[1]))
    assert "research" not in files[1]
    for name in PACKAGED:
        assert f"{name}.onnx" in read("LICENSE") and f"`{name}`" in read("docs/privacy.md")


@pytest.mark.parametrize("name", RESEARCH)
def test_the_models_trained_on_300w_say_that_they_are_for_research_only(name: str) -> None:
    model = landmark_model(Path(name))
    assert OnnxEngine(model).spec.licence.startswith("research only")
    assert f"{name}.onnx" in read("tracker/weights/research/LICENSE-research-only.txt")
    assert f"{name}.onnx" in read("tracker/weights/research/README.md")


def test_mediapipe_is_no_version_that_sends_telemetry() -> None:
    extra = re.search(r'^mediapipe = \["(.*)"\]', read("pyproject.toml"), re.M)
    assert extra
    wanted = Requirement(extra[1])
    assert not any(wanted.specifier.contains(version) for version in ("0.10.30", "0.10.35", "1.2.3"))
    assert wanted.specifier.contains("0.10.21")
    assert wanted.marker is not None
    assert [wanted.marker.evaluate({"python_version": version}) for version in ("3.12", "3.13")] == [True, False]


def test_tensorrt_stays_off_a_jetson() -> None:
    extra = re.search(r"^tensorrt = \[(.*?)^\]", read("pyproject.toml"), re.M | re.S)
    assert extra
    wanted = [Requirement(text) for text in re.findall(r'"(.*?)"', extra[1])]
    machines = {
        ("aarch64", "linux"): {"pycuda"},
        ("x86_64", "linux"): {"pycuda", "tensorrt"},
        ("AMD64", "win32"): {"pycuda", "tensorrt"},
        ("arm64", "darwin"): set(),
    }
    for (machine, platform), expected in machines.items():
        environment = {"platform_machine": machine, "sys_platform": platform}
        assert {each.name for each in wanted if each.marker and each.marker.evaluate(environment)} == expected


def test_ruff_is_the_same_everywhere() -> None:
    pinned = re.search(r"^ruff==\S+", read("constraints.txt"), re.M)
    assert pinned
    assert set(re.findall(r"ruff==[\d.]+", read(".pre-commit-config.yaml"))) == {pinned[0]}


def test_changelog_has_the_sections_of_keep_a_changelog() -> None:
    text = read("CHANGELOG.md")
    assert re.search(r"^## \[Unreleased\]$", text, re.M)
    sections = set(re.findall(r"^### (.*)$", text, re.M))
    assert sections <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_workflow_runs_the_supported_pythons() -> None:
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    matrix = workflow["jobs"]["runtime"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.10", "3.11", "3.12", "3.13", "3.14"]
    assert {system.split("-")[0] for system in matrix["os"]} == {"ubuntu", "macos", "windows"}
    wanted = re.search(r'requires-python = ">=([\d.]+)"', read("pyproject.toml"))
    assert wanted
    assert wanted[1] == matrix["python"][0]


def test_make_targets_that_are_named_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.M))
    named = {
        target for path in PAGES for target in re.findall(r"(?:^|`|- run: )make ([a-z-]+)", path.read_text("utf-8"))
    }
    named |= set(re.findall(r"run: make ([a-z-]+)", read(".github/workflows/ci.yml")))
    assert {"run", "test", "docs", "dist"} <= named <= targets


def test_every_page_is_in_the_site() -> None:
    def leaves(nav: object) -> list[str]:
        if isinstance(nav, str):
            return [nav]
        parts = nav.values() if isinstance(nav, dict) else nav
        assert isinstance(parts, list) or hasattr(parts, "__iter__")
        return [leaf for part in parts for leaf in leaves(part)]

    shown = set(leaves(yaml.safe_load(read("mkdocs.yml"))["nav"]))
    pages = {
        name_of(path).removeprefix("docs/") for path in PAGES if name_of(path).startswith(("docs/", "benchmarks/"))
    }
    assert pages - shown == set()


def test_no_page_speaks_of_paths_of_one_machine() -> None:
    for path in PAGES:
        assert not re.search(r"(?<![\w.])/(?:work|home|root)/", path.read_text(encoding="utf-8")), name_of(path)


def test_the_api_page_has_everything_that_is_imported_from_the_package() -> None:
    page = read("docs/api.md")
    listed = set(re.findall(r"^::: (tracker[\w.]*)", page, re.M))
    members = {name for names in re.findall(r"members: \[(.*)\]", page) for name in names.split(", ")}
    shown = members | {name.rpartition(".")[2] for name in listed}
    for module in (tracker, tracker.sources, tracker.sinks):
        classes = {name for name in module.__all__ if inspect.isclass(getattr(module, name))}
        assert classes - shown - {"Folder"} == set(), module.__name__  # Folder is the former name of Pictures
    functions = {name for name in tracker.__all__ if inspect.isfunction(getattr(tracker, name))}
    assert functions - shown == set()
    assert {"open_source", "to_supervision", "COLUMNS", "PRESETS", "Engine", "Scheme"} <= shown
