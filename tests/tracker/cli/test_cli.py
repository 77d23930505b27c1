"""A command line is a function's signature: options as people write them, mistakes in one sentence each."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pytest

from tracker.cli.command import run_command, run_commands
from tracker.cli.config_files import files_read
from tracker.errors import TrackerError
from tracker.version import read_version

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
        ("--very-loud --no-very-loud", {}),
        ("--no-quiet --number 2", {4: 2, 6: False}),
        ("--no_quiet", {6: False}),
        ("--very-loud true --no-quiet", {5: True, 6: False}),
        ("--very-loud False", {}),
    ],
)
def test_options_as_people_write_them(line: str, changed: dict[int, Any]) -> None:
    assert call(*line.split()) == 0
    assert [tuple(changed.get(i, value) for i, value in enumerate(DEFAULTS))] == GOT


@pytest.mark.parametrize("name", ["null", "Null", "~", "# 1", "#1.jsonl", "true", "1e3", "[a]", "a: b", "2020-01-01"])
def test_a_name_that_yaml_reads_otherwise_is_a_name(name: str) -> None:
    """`null` is what `jq -r` prints; taken for no value, another source is tracked, and nothing is written."""
    got: list[tuple[Any, ...]] = []

    def function(video: str | None = None, output: Path | None = None, camera: int | str | None = None) -> None:
        got.append((video, output, camera))

    assert call("--video", name, f"--output={name}", "--camera", name, function=function) == 0
    assert got == [(name, Path(name), name)]


def test_null_in_a_file_is_no_value(tmp_path: Path) -> None:
    (tmp_path / "options.yaml").write_text("folder: null\nnumber: ~\n")
    assert call("--config", str(tmp_path / "options.yaml"), "--max-faces", "2") == 0
    assert [(2, *DEFAULTS[1:])] == GOT


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
        ("--kind bigger", "--kind: expected one of big, small, got bigger; did you mean big?"),
        ("--kind SMALL", "--kind: expected one of big, small, got SMALL; did you mean small?"),
        ("--no-number", "unrecognized arguments: --no-number; did you mean --number?"),
        ("--no-quiet=true", "unrecognized arguments: --no-quiet=true; did you mean --quiet?"),
        ("--number null", "--number: expected a whole number, got null"),
        ("--max-faces ~", "--max-faces: expected a whole number, got ~"),
        ("--folder=", "--folder: expected a value, got an empty one"),
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
        ("max_faces: [", "Problems parsing --config {file}: line "),
    ],
)
def test_a_mistake_in_a_file(text: str, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "options.yaml"
    file.write_text(text)
    assert call("--config", str(file)) == 2
    error = capsys.readouterr().err
    assert part.format(file=file) in error
    assert error.count("\n") == 1
    assert call("--config", str(tmp_path / "none.yaml")) == 2
    assert "--config: File does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: &a {b: *a}", "line 1, column 11: the alias *a refers to itself"),
        ("a: &a [[1, *a]]", "the alias *a refers to itself"),
        ("a: &a\n  <<: *a", "the alias *a refers to itself"),
        ("a: &a [&b [*b]]", "the alias *b refers to itself"),
        (
            "a0: &a0 [1, 2]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)),
            "it holds more than 100,000 values",
        ),
        ("[" * 3000, "nesting depth"),
        ("{a: " * 3000, "nested more than 64 deep"),
        ("- " * 3000 + "1", "nested more than 64 deep"),
        ("\n".join(" " * depth + "a:" for depth in range(500)), "nested more than 64 deep"),
        ('{"a": ' * 1000 + "1" + "}" * 1000, "nested more than 64 deep"),
        ("number: " + "9" * 10_000, "digits"),
        ("? [a, b]\n: 1", "unhashable"),
        ("kind: 'rtsp://anna:SECRET@host", "line 1, column 31: "),
        ("kind: rtsp://anna:SECRET@host", "--kind: expected one of big, small, got rtsp://host"),
    ],
)
def test_a_file_that_would_hang_or_tell_secrets(
    text: str, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "options.yaml"
    file.write_text(text)
    assert call("--config", str(file)) == 2
    error = capsys.readouterr().err
    assert part in error and "SECRET" not in error and error.count("\n") == 1 and len(error) < 500


def test_files_that_are_too_large(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(1 << 40)
    assert call("--config", str(tmp_path / "large.yaml")) == 2
    assert "large.yaml has 1,099,511,627,776 bytes, at most 1,048,576 are read" in capsys.readouterr().err
    if os.path.exists("/dev/zero"):
        assert call("--config", "/dev/zero") == 2
        assert "Path is not a file" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_a_file_of_options_within_the_same_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the shell makes one of --config <(...); its writer may never end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write(text: str) -> None:
        with suppress(BrokenPipeError), pipe.open("w") as file:
            while True:
                file.write(text)
                if len(text) < 100:
                    return

    for text, status in (("max_faces: 3\n", 0), ("max_faces: 3\n" * 1000, 2)):
        writer = threading.Thread(target=write, args=[text])
        writer.start()
        assert call("--config", str(pipe)) == status
        writer.join()
        assert ([(3, *DEFAULTS[1:])] if status == 0 else []) == GOT
    assert "pipe has more than 1,048,576 bytes, at most 1,048,576 are read" in capsys.readouterr().err


def test_files_that_name_files_are_known(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner.yaml", tmp_path / "outer.yaml"
    inner.write_text("max_faces: 3\n")
    outer.write_text(f"config: {inner}\n")
    known: list[Path] = []

    def function(max_faces: int = 1) -> None:
        known.extend(files_read())

    assert call("--config", str(outer), function=function) == 0
    assert known == [outer, inner]
    assert call(function=function) == 0
    assert known == [outer, inner]


def test_aliases_that_repeat_a_little_are_read(tmp_path: Path) -> None:
    (tmp_path / "options.yaml").write_text("max_faces: &n 4\nnumber: *n\n")
    assert call("--config", str(tmp_path / "options.yaml")) == 0
    assert (GOT[0][0], GOT[0][4]) == (4, 4)


@pytest.mark.parametrize(
    "line",
    [
        ["--max-facess", "rtsp://anna:SEC RET@host/x"],
        ["--max-facess=rtsp://anna:SEC RET@host/x"],
        ["--max-faces", "rtsp://anna:SEC/R@ET@host/x"],
        ["--number", "http://host/x?token=SECRET"],
        ["--kind", "rtspsrc user-pw=SECRET ! appsink"],
        ["anna:SECRET@host"],
        ["--folder", "http://anna:SECRET@host", "--print_config"],
    ],
)
def test_messages_hold_no_secrets(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    call(*line)
    shown = "".join(capsys.readouterr())
    assert shown and "SEC" not in shown and "RET" not in shown and "ET@" not in shown


def test_logs_and_errors_hold_no_secrets() -> None:
    code = (
        "import logging\n"
        "from tracker.cli.command import run_command\n"
        "from tracker.errors import TrackerError\n"
        "def function():\n"
        "    logging.getLogger('any').warning('lost %s', 'rtsp://anna:SECRET@host/x')\n"
        "    raise TrackerError('no http://host/x?pwd=SECRET')\n"
        "raise SystemExit(run_command(function, 'tool', []))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "lost rtsp://host/x\ntool: no http://host/x?***\n")


def test_a_file_that_is_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.onnx").write_bytes(bytes(range(128, 256)))
    assert call("--config", str(tmp_path / "model.onnx")) == 2
    assert capsys.readouterr().err.startswith("tool: --config expected a YAML file, got one that is not text")


def test_help_shows_options_with_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    text = capsys.readouterr().out
    assert "--max-faces MAX_FACES" in text
    assert "how many" in text
    assert "--very-loud, --no-very-loud" in text and "{true,false}" not in text
    assert "null" not in text
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
        "from tracker.cli.command import run_command\n"
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


def test_a_long_value_makes_no_long_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(f"--max-faces={'a' * 5000}\x1b[31m") == 2
    message = capsys.readouterr().err
    assert len(message) < 1200 and "\x1b" not in message and message.count("\n") == 1
    assert "--max-faces" in message and "(--help lists the options)" in message


class TestSeveralCommands:
    @staticmethod
    def copy(folder: Path, deep: bool = False) -> None:
        """Copy a folder.

        More about it.
        """
        GOT.append((folder, deep))

    def call(self, *arguments: str) -> int:
        GOT.clear()
        return run_commands({"copy": self.copy, "tool": tool}, "files", arguments, {"copy": "folder"})

    def test_the_first_word_is_the_command(self) -> None:
        assert self.call("tool", "--max-faces", "3") == 0
        assert [(3, *DEFAULTS[1:])] == GOT

    @pytest.mark.parametrize(
        "arguments", [("here",), ("--folder", "here"), ("--deep", "--folder=here"), ("here", "--deep")]
    )
    def test_the_next_word_may_be_an_option(self, arguments: tuple[str, ...]) -> None:
        assert self.call("copy", *arguments) == 0
        assert [(Path("here"), "--deep" in arguments)] == GOT

    @pytest.mark.parametrize("flag", ["-h", "--help"])
    def test_help_lists_the_commands(self, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.call(flag) == 0
        out, err = capsys.readouterr()
        assert out.startswith("usage: files COMMAND [OPTIONS]\n")
        assert "  copy  Copy a folder.\n  tool  Do nothing.\n" in out
        assert err == ""

    def test_help_of_a_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.call("copy", "--help") == 0
        assert capsys.readouterr().out.startswith("usage: files copy FOLDER [OPTIONS]")

    def test_the_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.call("--version") == 0
        assert capsys.readouterr().out == f"files {read_version()}\n"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((), "expected one of copy, tool, got nothing"),
            (("",), "expected one of copy, tool, got nothing"),
            (("cop",), "expected one of copy, tool, got cop; did you mean copy?"),
            (("--deep",), "expected one of copy, tool, got --deep"),
        ],
    )
    def test_a_mistake_is_one_sentence(
        self, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.call(*arguments) == 2
        assert capsys.readouterr() == ("", f"files: {said} (--help lists the commands)\n")
