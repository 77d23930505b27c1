"""The project files (pyproject, CITATION, changelog and others) agree with the code."""

from __future__ import annotations

import re

import yaml

from tests.docs.pages import PAGES, ROOT, name_of


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_readme_is_one_page() -> None:
    assert len(read("README.md").splitlines()) <= 120


def test_versions_agree() -> None:
    version = re.search(r'^version = "(.*)"', read("pyproject.toml"), re.M)
    assert version
    assert yaml.safe_load(read("CITATION.cff"))["version"] == version[1]


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
