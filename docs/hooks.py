"""MkDocs hook: adds pages that lie outside docs/ to the site, and makes links work in the repository and in the site.

Benchmark pages, model cards and the files of the repository's root stay where they are. The site shows them under the
same path. A link to a file that is no page of the site, such as a configuration, becomes plain text there.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "benchmarks/*.md",
    "benchmarks/*.png",
    "tracker/weights/**/*.md",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
)
LINK = re.compile(r"(!?)\[((?:[^][]|\[[^]]*\])*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.M | re.S)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages outside docs/."""
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Point relative links, which hold in the repository, at pages of the site."""
    here = posixpath.dirname(page.file.src_uri)
    inside = Path(page.file.abs_src_path).is_relative_to(ROOT / "docs")
    folder = posixpath.join("docs", here) if inside else here

    def rewritten(link: re.Match[str]) -> str:
        picture, text, target, anchor = link.groups()
        path = posixpath.normpath(posixpath.join(folder, target))
        name = {"README.md": "index.md"}.get(path, path.removeprefix("docs/"))
        if files.get_file_from_path(name) is None:
            return text
        return f"{picture}[{text}]({posixpath.relpath(name, here or '.')}{anchor or ''})"

    parts, last = [], 0
    for code in CODE.finditer(markdown):
        parts += [LINK.sub(rewritten, markdown[last : code.start()]), code[0]]
        last = code.end()
    return "".join([*parts, LINK.sub(rewritten, markdown[last:])])
