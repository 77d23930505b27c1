"""Which files are pictures, what they are called, what is left out, and how files written about them are named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker import TrackerError
from tracker.sinks.picture_files import drawn_files
from tracker.sources.picture_files import SUFFIXES, find_pictures, output_names

PNG = cv2.imencode(".png", np.zeros((4, 6, 3), np.uint8))[1].tobytes()
JPEG = cv2.imencode(".jpg", np.zeros((4, 6, 3), np.uint8))[1].tobytes()
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


def put(folder: Path, *names: str, content: bytes = PNG) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def names_of(*given: Path, recursive: bool = False) -> list[str]:
    return [picture.name for picture in find_pictures(given, recursive).pictures]


class TestFinding:
    def test_every_suffix_in_any_case(self, tmp_path: Path) -> None:
        put(tmp_path, *(f"a{suffix}" for suffix in SUFFIXES), *(f"b{suffix.upper()}" for suffix in SUFFIXES))
        assert len(names_of(tmp_path)) == 2 * len(SUFFIXES)
        assert {".gif", ".avif", ".jfif", ".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"} <= {*SUFFIXES}

    def test_by_the_first_bytes_where_the_name_says_nothing(self, tmp_path: Path) -> None:
        put(tmp_path, "a", "b.download", "c.")
        put(tmp_path, "photo.jpg_large", "clip.mjpeg", content=JPEG)  # the latter holds many pictures of one video
        put(tmp_path, "raw.nef", content=b"MM\0*\0\0\0\x08")  # a camera's raw file: a TIFF by its first bytes
        put(tmp_path, "notes", "notes.txt", "face.pts", content=b"BM, P5 and the like begin many a text")
        put(tmp_path, ".hidden.png", "._a.png", "Thumbs.db", content=b"x")
        found = find_pictures([tmp_path])
        assert [picture.name for picture in found.pictures] == ["a", "b.download", "c.", "photo.jpg_large"]
        assert found.others == {".nef": 1, ".mjpeg": 1, "": 1, ".txt": 1, ".pts": 1, ".db": 1}
        for part in ("files that are not pictures", "1 .nef", "1 without a suffix"):
            assert part in found.left_out()

    def test_files_and_folders_are_named_from_the_folder_that_holds_all(self, tmp_path: Path) -> None:
        put(tmp_path, "a/1.png", "a/10.png", "a/2.png", "b/1.png", "c.odd")
        assert names_of(tmp_path / "a") == ["1.png", "2.png", "10.png"]
        assert names_of(tmp_path / "a/1.png") == ["1.png"]
        assert names_of(tmp_path / "a/10.png", tmp_path / "a/2.png") == ["10.png", "2.png"]
        assert names_of(tmp_path / "b", tmp_path / "a/1.png") == ["b/1.png", "a/1.png"]
        assert names_of(tmp_path / "c.odd", tmp_path / "b") == ["c.odd", "b/1.png"]  # named: whatever it ends in

    def test_paths_are_as_they_were_given(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(tmp_path, "a/1.png")
        monkeypatch.chdir(tmp_path)
        for given_as in ("a", "a/", "./a", "a/../a", str(tmp_path / "a")):
            (picture,) = find_pictures([given_as]).pictures
            assert (picture.name, picture.path) == ("1.png", Path(given_as) / "1.png")
        assert find_pictures(["a"]).folder == tmp_path / "a"

    def test_what_is_given_twice_is_taken_once(self, tmp_path: Path) -> None:
        put(tmp_path, "a/1.png", "a/2.png")
        assert names_of(tmp_path / "a/2.png", tmp_path / "a", tmp_path / "a/../a/1.png") == ["2.png", "1.png"]

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("missing", "expected a picture or a folder of pictures, but .*missing does not exist"),
            ("clip.MP4", "clip.MP4 is a video: use --video"),
            ("empty", "empty holds no pictures: expected files such as .jpg"),
            ("texts", r"texts holds no pictures: .*; left out: files that are not pictures \(2 .txt\)"),
            ("nested", "nested holds no pictures: .*--recursive looks into its subfolders"),
            ("a\0b", "a picture or a folder of pictures, but"),
        ],
    )
    def test_nothing_there(self, tmp_path: Path, name: str, sentence: str) -> None:
        put(tmp_path, "clip.MP4", "nested/deep/a.png")
        put(tmp_path, "texts/a.txt", "texts/b.TXT", content=b"x")
        (tmp_path / "empty").mkdir()
        with pytest.raises(TrackerError, match=sentence):
            find_pictures([tmp_path / name])

    def test_none_given(self) -> None:
        with pytest.raises(TrackerError, match="got none"):
            find_pictures([])


class TestRecursive:
    def test_a_folder_s_own_pictures_come_first(self, tmp_path: Path) -> None:
        put(tmp_path, "z.png", "10/a.png", "2/a.png", "2/b/a.png", "d.jpg/x.png", ".git/a.png")
        assert names_of(tmp_path, recursive=True) == ["z.png", "2/a.png", "2/b/a.png", "10/a.png", "d.jpg/x.png"]

    @POSIX
    def test_links_in_a_circle_end(self, tmp_path: Path) -> None:
        put(tmp_path, "in/a/1.png", "in/b/2.png", "out/3.png")
        (tmp_path / "in/a/up").symlink_to("..")
        (tmp_path / "in/a/self").symlink_to(".")
        (tmp_path / "in/a/b").symlink_to("../b")
        (tmp_path / "in/b/a").symlink_to("../a")
        (tmp_path / "in/c").symlink_to("../out")
        (tmp_path / "in/loop").symlink_to("loop")
        (tmp_path / "in/loop.png").symlink_to("loop.png")
        found = find_pictures([tmp_path / "in"], recursive=True)
        assert sorted(p.name for p in found.pictures) == ["a/1.png", "a/b/2.png", "c/3.png", "loop.png"]

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to drop its privileges")
    def test_a_folder_that_may_not_be_read_is_said(self, tmp_path: Path) -> None:
        put(tmp_path, "a.png", "closed/b.png")
        code = (
            "import heapq, os, sys\n"  # which Counter imports late, where others may not read
            "from tracker.sources.picture_files import find_pictures\n"
            "os.chdir(sys.argv[1]); os.chmod('closed', 0); os.chmod('.', 0o755)\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "found = find_pictures(['.'], recursive=True)\n"
            "print([p.name for p in found.pictures], found.left_out())"
        )
        root = Path(__file__).parents[3]
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=False,
        )
        if "PermissionError" in done.stderr:
            pytest.skip("the temporary folder is closed to others")
        assert done.stdout == "['a.png'] the folder closed (Permission denied)\n", done.stderr


SHORT_NAMES = st.text("ab.", min_size=1, max_size=4)
NAMES = st.lists(
    SHORT_NAMES | st.builds("{}.{}".format, SHORT_NAMES, st.sampled_from(["png", "gif", "jpg", "png.png"]))
)


class TestOutputNames:
    @given(NAMES)
    def test_none_is_used_twice(self, names: list[str]) -> None:
        unique = [*dict.fromkeys(name for name in names if name[0] != ".")]
        labels = output_names(unique, lambda name: os.path.splitext(name)[0], lambda name: name)
        drawn = drawn_files(Path("folder"), unique)
        for chosen in (labels, drawn):
            assert [*chosen] == unique
            assert len({*chosen.values()}) == len(unique)
        assert all(drawn[name] == name for name in unique if name.endswith((".png", ".jpg")))

    def test_labels_of_pictures_of_one_name(self) -> None:
        names = ["a.jpg", "a.png", "b/a.jpg", "c.jpg", "d.jpg", "d.jpg.png", "d.png"]
        chosen = output_names(names, lambda name: os.path.splitext(name)[0], lambda name: name)
        assert [*chosen.values()] == ["a.jpg", "a.png", "b/a", "c", "d.jpg", "d.jpg.png", "d.png"]

    def test_drawn_pictures_keep_their_names_where_they_can_be_written(self) -> None:
        names = ["a.JPG", "b/a.jpg", "c.gif", "d.avif", "d.png", "e.gif", "e.avif", "f"]
        drawn = [*drawn_files(Path("out"), names).values()]
        assert drawn == ["a.JPG", "b/a.jpg", "c.png", "d.avif.png", "d.png", "e.gif.png", "e.avif.png", "f.png"]
        assert drawn_files(Path("out.png"), ["a.gif"]) == {"a.gif": ""}
        with pytest.raises(
            TrackerError, match=r"a folder for 8 annotated pictures, got out\.png, which has the name of a"
        ):
            drawn_files(Path("out.png"), names)
