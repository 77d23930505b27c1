"""Every `landmarks` and `python -m` command in the documents names options that exist: it is parsed, not run."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonargparse
import pytest

from landmark_tracker import COMMANDS, SUBCOMMANDS
from tests.docs.pages import PAGES, ROOT, blocks, name_of, prose
from tracker.cli.command import run_command

OURS = ("tracker", "train", "export", "benchmarks", "tools")
WORDS = r"(?:[^`|\n#;)\"]|\"[^\"\n]*\")*"
MODULE = re.compile(rf"python(?:3[.\d]*)? -m ((?:{'|'.join(OURS)})[\w.]*)({WORDS})")
COMMAND = re.compile(rf"(?<![\w.-])landmarks ({'|'.join(COMMANDS)})\b({WORDS})")
END = re.compile(r"\s(?:\||&&|>|<)\s.*|[.,;:]$|\s--help.*")


def commands(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Module and arguments of each command line of a page, in code blocks and in inline code."""
    code = [block.replace("\\\n", " ") for language in ("sh", "text", "") for block in blocks(path, language)]
    lines = [line for block in code for line in block.splitlines()]
    lines += re.findall(r"^    (.*)$", prose(path), re.M)  # indented blocks
    lines += [" ".join(inline.split()) for inline in re.findall(r"`([^`]+)`", prose(path))]
    found = [(module, _words(arguments)) for line in lines for module, arguments in MODULE.findall(line)]
    return found + [_started(name, _words(arguments)) for line in lines for name, arguments in COMMAND.findall(line)]


def _started(name: str, words: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Module and arguments of `landmarks NAME WORDS`."""
    module = COMMANDS[name].module
    return module, ("fit", *words) if module == "train.run" and words and words[0] not in SUBCOMMANDS else words


def _words(arguments: str) -> tuple[str, ...]:
    return tuple(shlex.split(END.sub("", arguments.rstrip()), comments=True))


FOUND = sorted({(module, words): name_of(path) for path in PAGES for module, words in commands(path)}.items())
TRAINING = [(words, page) for (module, words), page in FOUND if module == "train.run" and len(words) > 1]
OTHERS = [(module, words, page) for (module, words), page in FOUND if module != "train.run" and words]
NAMED = sorted({module for (module, _), _ in FOUND})


def test_finds_commands() -> None:
    assert commands(ROOT / "docs/quickstart.md").count(("tracker.run", ("0", "--show"))) == 1
    modules = {module for (module, _), _ in FOUND}
    assert {"tracker.run", "tracker.evaluate", "tracker.doctor", "train.run", "export.run"} <= modules
    assert len(FOUND) > 40


@pytest.mark.parametrize("module", NAMED)
def test_modules_exist(module: str) -> None:
    path = ROOT / module.replace(".", "/")
    assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, tuple[str, ...]], int]:
    """Runs a module's main with arguments up to where its function would be called."""

    def parsed_only(function: Any, args: list[str], **options: Any) -> None:
        parser = jsonargparse.capture_parser(lambda: jsonargparse.auto_cli(function, args=args, **options))
        parser.parse_args(args)

    def run(module: str, arguments: tuple[str, ...]) -> int:
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys.modules[run_command.__module__], "auto_cli", parsed_only)
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        package = (ROOT / module.replace(".", "/")).is_dir()
        status = importlib.import_module(f"{module}.__main__" if package else module).main()
        return int(status or 0)

    return run


@pytest.mark.parametrize(("module", "arguments", "page"), OTHERS, ids=lambda value: str(value))
def test_options_exist(
    module: str,
    arguments: tuple[str, ...],
    page: str,
    parse: Callable[[str, tuple[str, ...]], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert parse(module, arguments) == 0, f"{page}: {capsys.readouterr().err}"


def test_options_that_do_not_exist_are_found(
    parse: Callable[[str, tuple[str, ...]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert parse("tracker.run", ("--nothing", "1")) == 2
    assert parse("export.run", ("--checkpoint", "C")) == 2  # without --output and --licence
    assert "--nothing" in capsys.readouterr().err


@pytest.fixture(scope="module")
def training_parser() -> jsonargparse.ArgumentParser:
    pytest.importorskip("lightning")
    from train.command_line import TrainingCLI

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.run", "fit"])
        return jsonargparse.capture_parser(TrainingCLI.run)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `python -m train.tables write papers` makes, as the documents say."""
    pytest.importorskip("lightning")
    from train.tables import ROWS
    from train.tables.configuration import Places, write_rows

    folder = tmp_path_factory.mktemp("papers")
    write_rows(ROWS.values(), Places(papers=folder))
    return folder


@pytest.mark.parametrize(("arguments", "page"), TRAINING, ids=lambda value: str(value))
def test_training_options_exist(
    arguments: tuple[str, ...],
    page: str,
    training_parser: jsonargparse.ArgumentParser,
    papers: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    try:
        training_parser.parse_args([argument.replace("papers", str(papers)) for argument in arguments])
    except SystemExit:
        pytest.fail(f"{page}: {capsys.readouterr().err}")


def test_training_options_that_do_not_exist_are_found(training_parser: jsonargparse.ArgumentParser) -> None:
    with pytest.raises(SystemExit):
        training_parser.parse_args(["fit", "--config", "configs/train/edge68.yaml", "--data.sauce", "x"])


FOREIGN = {"docs/guides/moving.md"}  # names the options of other programs, too
NAMED_ALONE = sorted(
    {
        (option, name_of(path))
        for path in PAGES
        if name_of(path) not in FOREIGN and not name_of(path).startswith("CHANGELOG")
        for inline in re.findall(r"`(--[^`]+)`", prose(path))
        for option in re.findall(r"--[a-z][\w.-]*", inline)
    }
)
OF_CLASSES = (
    "--model.net.",
    "--model.objective.",
    "--model.terms.",
    "--data.source.",
    "--trainer.callbacks.",
)


def test_options_named_alone_exist(
    parse: Callable[[str, tuple[str, ...]], int],
    training_parser: jsonargparse.ArgumentParser,
    capsys: pytest.CaptureFixture[str],
) -> None:
    known = ""
    for module in sorted(
        {"tracker.run", "tracker.evaluate", "tracker.doctor", *(m for m in NAMED if m != "train.run")}
    ):
        parse(module, ("--help",))
        known += (printed := capsys.readouterr().out)
        for name in re.findall(r"^  (\w+)  ", printed, re.M) if f"{module} COMMAND" in printed else ():
            parse(module, (name, "--help"))
            known += capsys.readouterr().out
    with pytest.raises(SystemExit):
        training_parser.parse_args(["fit", "--help"])
    options = set(re.findall(r"--[a-z][\w.-]*", known + capsys.readouterr().out))
    assert len(NAMED_ALONE) > 40
    assert [
        (option, page) for option, page in NAMED_ALONE if option not in options and not option.startswith(OF_CLASSES)
    ] == []
