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
LINK = r"(?P<picture>!?)\[(?P<text>(?:[^][]|\[[^]]*\])*)\]\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)"
# Code stays as it is, but a link's text may be code, so whichever begins first counts.
CODE_OR_LINK = re.compile(rf"(?P<code>^```.*?^```|`[^`\n]+`)|{LINK}", re.M | re.S)


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

    def rewrite(match: re.Match[str]) -> str:
        if match["code"]:
            return match["code"]
        path = posixpath.normpath(posixpath.join(folder, match["target"]))
        name = {"README.md": "index.md"}.get(path, path.removeprefix("docs/"))
        if files.get_file_from_path(name) is None:
            return match["text"]
        return f"{match['picture']}[{match['text']}]({posixpath.relpath(name, here or '.')}{match['anchor'] or ''})"

    return CODE_OR_LINK.sub(rewrite, markdown)
