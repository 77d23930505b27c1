"""A command line is a function's signature: options as people write them, mistakes in one sentence each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from tracker.cli import run_command
from tracker.errors import TrackerError

GOT: list[tuple[Any, ...]] = []


def tool(
    max_faces: int = 1,
    scale: float = 1.0,
    kind: Literal["big", "small"] = "big",
    folder: Path | None = None,
    number: int | None = None,
    very_loud: bool = False,
    quiet: bool = True,
) -> None:
    """Do nothing.

    Args:
        max_faces: how many.
    """
    GOT.append((max_faces, scale, kind, folder, number, very_loud, quiet))


def stops_with(error: BaseException) -> Any:
    def function(max_faces: int = 1) -> None:
        raise error

    return function


def call(*arguments: str, function: Any = tool) -> int:
    """The exit status."""
    GOT.clear()
    try:
        return run_command(function, "tool", arguments)
    except SystemExit as stop:
        return int(stop.code or 0)


DEFAULTS = (1, 1.0, "big", None, None, False, True)


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("", {}),
        ("--max-faces 3", {0: 3}),
        ("--max-faces=3", {0: 3}),
        ("--max_faces 3", {0: 3}),
        ("--scale 2 --kind small", {1: 2.0, 2: "small"}),
        ("--folder a-b_c --number -4", {3: Path("a-b_c"), 4: -4}),
        ("--very-loud", {5: True}),
        ("--very_loud --number 1", {4: 1, 5: True}),
        ("--very-loud=false --quiet false", {6: False}),
        ("--max-faces 2 --max-faces 5", {0: 5}),
    ],
)
def test_options_as_people_write_them(line: str, changed: dict[int, Any]) -> None:
    assert call(*line.split()) == 0
    assert [tuple(changed.get(i, value) for i, value in enumerate(DEFAULTS))] == GOT


def test_the_command_line_is_read_where_no_arguments_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tool", "--max-faces", "7"])
    GOT.clear()
    assert run_command(tool, "tool") == 0
    assert GOT[0][0] == 7


def test_options_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "größe.yaml"
    file.write_text("max_faces: 4\nkind: small\n")
    assert call("--config", str(file), "--scale", "3") == 0
    assert [(4, 3.0, "small", *DEFAULTS[3:])] == GOT


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--max-face 2", "unrecognized arguments: --max-face 2; did you mean --max-faces?"),
        ("--max_face=2", "unrecognized arguments: --max-face=2; did you mean --max-faces?"),
        ("--loud", "unrecognized arguments: --loud; did you mean --very-loud?"),
        ("--xyz", "unrecognized arguments: --xyz"),
        ("word", "unrecognized arguments: word"),
        ("--max-faces", "argument --max-faces: expected one argument"),
        ("--max-faces many", "--max-faces: expected a whole number, got many"),
        ("--max-faces 1.5", "--max-faces: expected a whole number, got 1.5"),
        ("--number none", "--number: expected a whole number, got none"),
        ("--scale wide", "--scale: expected a number, got wide"),
        ("--kind middle", "--kind: expected one of big, small, got middle"),
        ("--very-loud=perhaps", "--very-loud: expected true or false, got perhaps"),
    ],
)
def test_a_mistake_is_one_sentence(line: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*line.split()) == 2
    assert GOT == []
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"tool: {sentence} (--help lists the options)\n")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("max_face: 2", "Option 'max_face' is not accepted; did you mean max_faces?"),
        ("max_faces: many", "--max-faces: expected a whole number, got many"),
        ("max_faces: [", "Problems parsing config"),
    ],
)
def test_a_mistake_in_a_file(text: str, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "options.yaml"
    file.write_text(text)
    assert call("--config", str(file)) == 2
    error = capsys.readouterr().err
    assert part in error
    assert error.count("\n") == 1
    assert call("--config", str(tmp_path / "none.yaml")) == 2
    assert "--config: File does not exist" in capsys.readouterr().err


def test_a_file_that_is_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.onnx").write_bytes(bytes(range(128, 256)))
    assert call("--config", str(tmp_path / "model.onnx")) == 2
    assert capsys.readouterr().err.startswith("tool: --config expected a YAML file, got one that is no text")


def test_help_shows_options_with_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    text = capsys.readouterr().out
    assert "--max-faces MAX_FACES" in text
    assert "how many" in text
    assert "--very-loud" in text
    assert "--max_faces" not in text


def test_a_tracker_error_is_its_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(function=stops_with(TrackerError("it is so; do that"))) == 2
    assert capsys.readouterr() == ("", "tool: it is so; do that\n")


def test_ctrl_c_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(function=stops_with(KeyboardInterrupt())) == 130
    assert capsys.readouterr() == ("", "")


def test_a_mistake_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        call(function=stops_with(ZeroDivisionError()))


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX pipes")
def test_nobody_reads_on() -> None:
    """As behind `| head -1`, whose end the command is told of when it writes."""
    code = (
        "from tracker.cli import run_command\n"
        "def function(): print('never read')\n"
        "raise SystemExit(run_command(function, 'tool', []))"
    )
    reading, writing = os.pipe()
    os.close(reading)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, env=environment, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
