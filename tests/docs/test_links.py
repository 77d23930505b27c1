"""Every relative link of the documents leads to a file that git knows, every anchor to a heading."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, name_of, prose

LINK = re.compile(r"\]\(([^)\s]*)\)")


def _slug(heading: str) -> str:
    """As GitHub and MkDocs make it of a plain heading."""
    text = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading.strip()).lower()
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", text).strip())


def _files() -> set[str]:
    """Of the repository, with those that are not committed yet; all that there are where this is no checkout."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return {name_of(path) for path in ROOT.rglob("*") if path.is_file()}
    return set(listed.splitlines())


FILES = _files()
FOLDERS = {parent.as_posix() for name in FILES for parent in Path(name).parents}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(re.sub(r"`[^`\n]*`", "", prose(path))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        aim = (path.parent / name).resolve() if name else path
        known = aim.relative_to(ROOT).as_posix()
        assert known in FILES | FOLDERS, f"{name_of(path)} links {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", aim.read_text(encoding="utf-8"), re.M)
            assert anchor in map(_slug, headings), f"{name_of(path)} links {target}"
