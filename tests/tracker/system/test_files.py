"""Files that are whole or not there; nothing that is not a regular file is replaced, and no two runs write one file."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tracker.errors import TrackerError
from tracker.system.files import (
    Replacement,
    expect_replaceable,
    hold,
    is_same,
    is_written_through,
    kind_of,
    open_plain,
    part_of,
    read_plain,
    read_text,
    replace,
    whole_file,
    write_whole,
)

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


@pytest.fixture
def other_run() -> object:
    """Another process that holds a file, or has a Replacement of it, until it is told to end: other_run(what, path)."""
    started: list[subprocess.Popen[str]] = []
    codes = {
        "hold": "from tracker.sinks import JsonLines; held = JsonLines(sys.argv[1])",
        "replace": "from tracker.system.files import Replacement; held = Replacement(sys.argv[1])",
    }

    def start(what: str, path: Path) -> subprocess.Popen[str]:
        code = f"import sys\n{codes[what]}\nprint('held', flush=True)\nsys.stdin.read()"
        command = [sys.executable, "-c", code, str(path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.communicate()


@posix
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("file", "a file"),
        (".", "a folder"),
        ("pipe", "a pipe"),
        ("gone", "no file"),
        ("file/inside", "no file"),
        ("zero\0byte", "no file"),
        (300 * "a", "one that cannot be looked at (File name too long)"),
    ],
)
def test_what_is_at_a_path_never_raises(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert kind_of(tmp_path / name) == kind
    for one, other in ((name, "link"), ("link", name)):
        assert is_same(tmp_path / one, tmp_path / other) == (name == "file")


class TestWriteWhole:
    def test_new_and_old(self, tmp_path: Path) -> None:
        path = tmp_path / "größe.json"
        for content in (b"one", b"two"):
            write_whole(path, content)
            assert path.read_bytes() == content and os.listdir(tmp_path) == [path.name]

    @posix
    def test_permissions_of_an_old_file_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"")
        path.chmod(0o600)
        write_whole(path, b"new")
        assert path.stat().st_mode & 0o777 == 0o600

    @posix
    @pytest.mark.parametrize("target", ["real.json", "../folder/real.json", "missing.json", "link2"])
    def test_a_link_stays(self, target: str, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        folder = tmp_path / "folder"
        (folder / "real.json").write_bytes(b"old")
        (folder / "link2").symlink_to("real.json")
        (folder / "link").symlink_to(target)
        write_whole(folder / "link", b"new")
        assert (folder / "link").is_symlink() and (folder / "link").read_bytes() == b"new"
        assert (folder / "link2").is_symlink()

    @posix
    def test_a_link_to_itself_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("link")
        with pytest.raises(OSError, match="symbolic"):
            write_whole(tmp_path / "link", b"new")

    @posix
    def test_a_pipe_and_a_device_stay(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        read: list[bytes] = []
        reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
        reader.start()
        write_whole(pipe, b"through")
        reader.join()
        assert read == [b"through"] and pipe.is_fifo()
        write_whole("/dev/null", b"gone")
        assert Path("/dev/null").is_char_device()
        (tmp_path / "null").symlink_to("/dev/null")
        assert is_written_through(tmp_path / "null") and not is_written_through(tmp_path / "none")

    @posix
    @pytest.mark.parametrize("stream", [1, 2])
    def test_standard_output_in_a_file_is_not_replaced(self, stream: int, tmp_path: Path) -> None:
        code = (
            "import os, sys\nfrom tracker.system.files import write_whole\n"
            f"os.write({stream}, b'before ')\nwrite_whole('/dev/fd/{stream}', b'stats ')\nos.write({stream}, b'after')"
        )
        with (tmp_path / "log").open("wb") as log:
            streams = {"stdout" if stream == 1 else "stderr": log}
            subprocess.run([sys.executable, "-c", code], check=True, **streams)  # type: ignore[call-overload]
        assert (tmp_path / "log").read_bytes() == b"before stats after"

    def test_a_folder_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match=r"directory|denied"):
            write_whole(tmp_path, b"new")

    def test_a_failure_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "a"
        write_whole(path, b"old")

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space"):
            write_whole(path, b"new")
        assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]

    def test_what_another_run_writes_is_not_replaced(self, tmp_path: Path, other_run: object) -> None:
        path = tmp_path / "out.jsonl"
        process = other_run("hold", path)  # type: ignore[operator]
        with pytest.raises(TrackerError, match=r"out\.jsonl is being written by another run"):
            write_whole(path, b"new")
        process.communicate()
        write_whole(path, b"new")
        assert path.read_bytes() == b"new"


class TestReplacement:
    def test_appears_when_complete(self, tmp_path: Path) -> None:
        file = Replacement(tmp_path / "clip.mp4")
        file.part.write_bytes(b"video")
        assert not file.target.exists() and file.part.name == ".clip.part.mp4"
        file.complete()
        file.discard()
        assert os.listdir(tmp_path) == ["clip.mp4"] and file.target.read_bytes() == b"video"

    @pytest.mark.skipif(os.name != "posix", reason="needs names of up to 255 bytes")
    @pytest.mark.parametrize("stem", ["x" * 251, "é" * 125 + "x", "x" * 250])
    def test_the_longest_names(self, stem: str, tmp_path: Path) -> None:
        path = tmp_path / f"{stem}.mp4"
        file = Replacement(path)
        with pytest.raises(TrackerError, match="is being written by another run"):
            Replacement(path)
        other = Replacement(tmp_path / f"y{stem[1:]}.mp4")
        for each, content in ((file, "new"), (other, "other")):
            each.part.write_text(content)
            each.complete()
            each.discard()
        assert path.read_text() == "new" and len(os.listdir(tmp_path)) == 2

    def test_leaves_nothing_when_discarded(self, tmp_path: Path) -> None:
        file = Replacement(tmp_path / "clip.mp4")
        file.discard()
        file.discard()
        assert os.listdir(tmp_path) == []

    def test_another_run_is_refused_until_the_end(self, tmp_path: Path, other_run: object) -> None:
        path = tmp_path / "clip.mp4"
        process = other_run("replace", path)  # type: ignore[operator]
        with pytest.raises(TrackerError, match=r"clip\.mp4 is being written by another run"):
            Replacement(path)
        process.kill()
        process.wait()
        assert part_of(path).exists()  # what a killed run leaves is taken over
        file = Replacement(path)
        assert file.part.read_bytes() == b""
        file.complete()
        assert os.listdir(tmp_path) == ["clip.mp4"]

    def test_a_second_in_this_process_is_refused(self, tmp_path: Path) -> None:
        file = Replacement(tmp_path / "clip.mp4")
        with pytest.raises(TrackerError, match="another run"):
            Replacement(tmp_path / "clip.mp4")
        file.discard()

    def test_a_target_that_another_run_writes_is_refused(self, tmp_path: Path, other_run: object) -> None:
        path = tmp_path / "out.jsonl"
        other_run("hold", path)  # type: ignore[operator]
        with pytest.raises(TrackerError, match="another run"):
            Replacement(path)

    def test_many_at_once_never_mix(self, tmp_path: Path) -> None:
        """Each of many runs writes its own bytes or is refused; what is there in the end is one run's."""
        code = (
            "import sys\nfrom tracker.system.files import Replacement\nfrom tracker.errors import TrackerError\n"
            "for n in range(15):\n"
            "    try:\n        file = Replacement(sys.argv[1])\n    except TrackerError:\n        continue\n"
            "    with file.part.open('r+b') as part:\n"
            "        for _ in range(50):\n            part.write(sys.argv[2].encode() * 20)\n            part.flush()\n"
            "    file.complete()\n"
        )
        path = tmp_path / "a.bin"
        runs = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "abc"]
        while any(run.poll() is None for run in runs):
            if path.exists():
                content = path.read_bytes()
                assert len(content) == 1000 and len(set(content)) == 1
        assert [run.returncode for run in runs] == [0, 0, 0]
        assert os.listdir(tmp_path) == ["a.bin"]

    @posix
    def test_a_link_stays_and_what_is_no_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        (tmp_path / "clip.mp4").symlink_to(tmp_path / "other/real.mp4")
        file = Replacement(tmp_path / "clip.mp4")
        file.part.write_bytes(b"video")
        file.complete()
        assert (tmp_path / "clip.mp4").is_symlink() and (tmp_path / "other/real.mp4").read_bytes() == b"video"
        os.mkfifo(tmp_path / "pipe.mp4")
        with pytest.raises(TrackerError, match=r"pipe\.mp4 is a pipe, so it is not replaced"):
            Replacement(tmp_path / "pipe.mp4")
        with pytest.raises(TrackerError, match="is a folder"):
            Replacement(tmp_path)

    @posix
    def test_a_link_in_the_place_of_the_part_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "victim").write_bytes(b"precious")
        part_of(tmp_path / "clip.mp4").symlink_to(tmp_path / "victim")
        with pytest.raises(OSError, match="symbolic"):
            Replacement(tmp_path / "clip.mp4")
        assert (tmp_path / "victim").read_bytes() == b"precious"


class TestReading:
    def test_what_may_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"12345")
        (tmp_path / "link").symlink_to("a")
        assert read_plain(tmp_path / "a") == read_plain(tmp_path / "link", 5) == b"12345"
        with open_plain(tmp_path / "a") as file:
            assert file.read(2) == b"12"

    @posix
    def test_what_may_not(self, tmp_path: Path) -> None:
        (tmp_path / "large").write_bytes(bytes(1235))
        (tmp_path / "folder").mkdir()
        os.mkfifo(tmp_path / "pipe")  # nobody writes into it: who waited for it would wait for ever
        (tmp_path / "device").symlink_to("/dev/zero")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "socket"))
            for name, reason in (
                ("large", "it has 1,235 bytes, at most 1,234 are read"),
                ("folder", "it is a folder"),
                ("pipe", "it is a pipe"),
                ("device", "it is a device"),
                ("socket", "it is a socket"),
                ("gone", "No such file or directory"),
                ("large/below", "Not a directory"),
                ("zero\0", "its name holds a zero byte"),
                ("x" * 300, "File name too long"),
            ):
                with pytest.raises(OSError, match=reason):
                    read_plain(tmp_path / name, 1234)

    def test_one_that_grows_beyond_its_limit_while_it_is_opened(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a").write_bytes(b"12345")
        small = os.stat(tmp_path / "a")
        (tmp_path / "a").write_bytes(b"1234567")
        monkeypatch.setattr(os, "stat", lambda *_: small)
        with pytest.raises(OSError, match="it has 7 bytes, at most 5 are read"):
            read_plain(tmp_path / "a", 5)

    def test_text(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"\xef\xbb\xbf\xc3\xbc\r\nb\rc\n\xff")
        assert read_text(tmp_path / "a", 99) == "ü\nb\nc\n\N{REPLACEMENT CHARACTER}"
        for encoding in ("utf-16-le", "utf-16-be"):
            (tmp_path / "a").write_bytes("\ufeff1 2".encode(encoding))
            with pytest.raises(OSError, match="it is in UTF-16; save it as UTF-8"):
                read_text(tmp_path / "a", 99)


class TestWholeFile:
    @pytest.mark.parametrize("before", [None, b"old"])
    def test_takes_its_place_at_the_end_of_the_block(self, tmp_path: Path, before: bytes | None) -> None:
        path = tmp_path / "m.onnx"
        if before is not None:
            path.write_bytes(before)
        with whole_file(path) as part:
            part.write_bytes(b"new")
            assert (path.read_bytes() if path.exists() else None) == before and part.suffix == ".onnx"
        assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["m.onnx"]

    @posix
    @pytest.mark.parametrize("before", [None, b"old"])
    def test_a_full_disk_leaves_nothing_half_written(self, tmp_path: Path, before: bytes | None) -> None:
        """A limit on a file's size stands for the disk."""
        path = tmp_path / "m.onnx"
        if before is not None:
            path.write_bytes(before)
        code = (
            "import resource, sys\nfrom tracker.system.files import whole_file\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
            "with whole_file(sys.argv[1]) as part:\n    part.write_bytes(bytes(100_000))"
        )
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
        assert done.returncode == 1 and "File too large" in done.stderr.splitlines()[-1]
        assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == ({"m.onnx": before} if before else {})

    def test_an_interruption_leaves_nothing(self, tmp_path: Path) -> None:
        def interrupted() -> None:
            with whole_file(tmp_path / "m.onnx") as part:
                part.write_bytes(b"half")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert os.listdir(tmp_path) == []


@posix
def test_a_link_can_be_refused_and_a_device_always_is(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("gone")
    expect_replaceable(tmp_path / "link")
    with pytest.raises(TrackerError, match="link is a link, so it is not replaced; give another name"):
        expect_replaceable(tmp_path / "link", follow_links=False)
    with pytest.raises(TrackerError, match="/dev/null is a device, so it is not replaced"):
        expect_replaceable("/dev/null")


def test_replace_is_refused_while_this_run_holds_it(tmp_path: Path) -> None:
    path, part = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"old")
    part.write_bytes(b"new")
    with path.open("rb") as file:
        hold(file.fileno(), path)
        with pytest.raises(TrackerError, match="another run"):
            replace(part, path)
    replace(part, path)
    assert path.read_bytes() == b"new"


FORKED = """
import os, signal, sys
from tracker.system.files import held_folder
read, write = os.pipe()
with held_folder(sys.argv[1]):
    child = os.fork()
    if child == 0:
        os.read(read, 1)  # until the end, as a loader of faces whose training was killed
        os._exit(0)
with held_folder(sys.argv[1]):
    os.write(write, b"x")
assert os.waitpid(child, 0)[1] == 0
"""


@posix
def test_a_process_that_was_forked_does_not_hold_the_folder(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FORKED, str(tmp_path)], check=True, timeout=60)
