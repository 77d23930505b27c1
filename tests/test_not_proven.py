"""The page of what is not proven names every file that says so of itself, and commands that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/not_proven.md").read_text(encoding="utf-8")
SAYS_SO = re.compile(r"not proven so far|not at hand to run|was not at hand\.", re.I)


def test_every_file_that_says_so_is_named() -> None:
    sources = [path for name in ("tracker", "train", "export") for path in (ROOT / name).rglob("*.py")]
    saying = [str(path.relative_to(ROOT)) for path in sources if SAYS_SO.search(path.read_text(encoding="utf-8"))]
    assert "tracker/engines/tensorrt/cuda.py" in saying
    assert [name for name in saying if f"`{name}`" not in PAGE] == []


def test_its_commands_and_files_are_there() -> None:
    modules = set(re.findall(r"python -m ((?:tracker|train|export|benchmarks)[\w.]*)", PAGE))
    assert {"tracker.doctor", "benchmarks.gpu", "train.run"} <= modules
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module
    files = set(re.findall(r"(?:configs|tracker|export|benchmarks|tests)/[\w/]+\.(?:py|md|yaml|onnx|sh)", PAGE))
    assert len(files) > 8
    assert [name for name in files if not (ROOT / name).is_file()] == []


def test_its_options_are_there() -> None:
    """Those of the project's own commands, as their functions name them."""
    for module, options in re.findall(r"python -m ((?:tracker|export|benchmarks)[\w.]*)([^`|\n#]*)", PAGE):
        path = ROOT / module.replace(".", "/")
        source = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__main__.py"
        text = source.read_text(encoding="utf-8")
        for option in set(re.findall(r"--([a-z][a-z-]*)", options)) - {"config"}:  # which all have
            assert re.search(rf"\b{option.replace('-', '_')}: ", text), f"{module} --{option}"
