"""Videos of phones and cameras: their names, pipes, display matrices, edit lists, and counts that are estimates."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tracker.sources.video_shared import SOURCE, TONE, make_clip
from tracker.errors import TrackerError
from tracker.sources import Video, open_source
from tracker.sources.container import Container, read_container
from tracker.sources.video import Gaps

ROOT = Path(__file__).parents[3]
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs names of bytes, named pipes and /dev/stdin")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 frames at 25 frames a second, with sound that is longer."""
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mkv", f"{SOURCE} {TONE} -c:v libx264 -c:a aac")


@pytest.fixture(scope="module")
def av1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("av1") / "clip.mp4", f"{SOURCE} -c:v libaom-av1 -cpu-used 8")


def count(path: Path | str) -> int:
    with open_source(path) as video:
        return sum(1 for _ in video)


class TestNames:
    @posix
    @pytest.mark.parametrize(
        "name",
        [b"caf\xe9.mkv", b"\xff", b"v.\xff", b"12:30.mkv", b"http:clip.mkv", b"concat:a|b.mkv", b"-", b"%d.mkv"],
    )
    def test_any_name_is_read(self, clip: Path, name: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        shutil.copy(clip, name)
        assert count("./-" if name == b"-" else os.fsdecode(name)) == 50
        assert os.listdir(os.fsencode(tmp_path)) == [name]

    @posix
    def test_a_folder_whose_name_is_not_utf8(self, clip: Path, tmp_path: Path) -> None:
        folder = os.path.join(os.fsencode(tmp_path), b"\xe9")
        os.mkdir(folder)
        shutil.copy(clip, os.path.join(folder, os.fsencode(clip.name)))
        assert count(os.path.join(os.fsdecode(folder), clip.name)) == 50

    @posix
    @pytest.mark.parametrize("name", ["clip.mkv", "a b.mkv", "100%.mkv", "a%20b.mkv", "größe#1?.mkv"])
    def test_as_urls(self, clip: Path, name: str, tmp_path: Path) -> None:
        shutil.copy(clip, path := tmp_path / name)
        for url in (path.as_uri(), f"file://{path}", path.as_uri().replace("file:///", "FILE://localhost/")):
            with open_source(url) as video:
                assert isinstance(video, Video) and video.path == path
                assert sum(1 for _ in video) == 50
        with pytest.raises(TrackerError, match=r"expected a video file, but .*none 1\.mkv does not exist"):
            open_source((tmp_path / "none 1.mkv").as_uri())

    @posix
    def test_what_is_no_video_there_is_one_sentence(self, tmp_path: Path) -> None:
        name = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"\xe9.mp4"))
        with pytest.raises(TrackerError, match="does not exist"):
            Video(name)
        Path(name).write_bytes(b"x" * 100)
        with pytest.raises(TrackerError, match="could not be opened as a video"):
            Video(name)


@posix
class TestPipes:
    def test_a_named_pipe(self, clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        writer = threading.Thread(target=lambda: pipe.write_bytes(clip.read_bytes()))
        writer.start()
        with open_source(pipe) as video:
            assert isinstance(video, Video) and video.path is None and not video.live
            assert sum(1 for _ in video) == 50
        writer.join()
        assert caplog.messages == []

    READ = "import tracker.sources as f; v = f.open_source('-'); print(v.name, v.path, sum(1 for _ in v))"

    def read(self, stdin: object, code: str = READ) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=stdin, capture_output=True, text=True, cwd=ROOT, check=False
        )  # type: ignore[call-overload]
        return str(done.stdout.strip() or done.stderr.strip().splitlines()[-1])

    def test_standard_input(self, clip: Path) -> None:
        with clip.open("rb") as file:
            assert self.read(file) == f"standard input {clip} 50"
        with subprocess.Popen(["cat", clip], stdout=subprocess.PIPE) as cat:
            assert self.read(cat.stdout) == "standard input None 50"

    def test_standard_input_that_is_none(self) -> None:
        with subprocess.Popen(["echo", "text"], stdout=subprocess.PIPE) as echo:
            assert "standard input could not be opened as a video: of a pipe expected MKV" in self.read(echo.stdout)
        assert "expected a video on standard input from a file or a pipe" in self.read(subprocess.DEVNULL)
        assert "but it is closed" in self.read(subprocess.DEVNULL, f"import os; os.close(0); {self.READ}")

    def test_a_device(self) -> None:
        with pytest.raises(TrackerError, match="/dev/null is a device"):
            Video("/dev/null")


class TestDisplayMatrix:
    """Against ffmpeg, which shows a picture as players do."""

    @pytest.mark.parametrize("turn", ["", "-display_rotation 90", "-display_rotation 180", "-display_rotation 270"])
    @pytest.mark.parametrize("flip", ["", "-display_hflip", "-display_vflip"])
    @pytest.mark.parametrize("suffix", [".mp4", ".mov"])
    def test_pictures_are_as_players_show_them(self, turn: str, flip: str, suffix: str, tmp_path: Path) -> None:
        plain = make_clip(tmp_path / f"plain{suffix}", f"{SOURCE} -frames:v 2 -c:v libx264 -qp 1")
        turned = make_clip(tmp_path / f"turned{suffix}", f"{turn} {flip} -i {plain} -c copy")
        shown = cv2.imread(str(make_clip(tmp_path / "shown.png", f"-i {turned} -frames:v 1")))
        with Video(turned) as video:
            picture = next(video).image_rgb
        assert shown is not None and picture.shape == shown.shape
        assert np.abs(picture[..., ::-1].astype(int) - shown).mean() < 1


@posix
class TestWhatOpencvCannotDecode:
    def test_av1_plays(self, av1: Path, caplog: pytest.LogCaptureFixture) -> None:
        with Video(av1) as video:
            frames = list(video)
        assert [frame.timestamp_s for frame in frames] == pytest.approx([index / 25 for index in range(50)])
        shown = cv2.imread(str(make_clip(av1.with_name("shown.png"), f"-i {av1} -frames:v 1")))
        assert shown is not None
        assert np.abs(frames[0].image_rgb[..., ::-1].astype(int) - shown).mean() < 3
        assert caplog.messages == []

    def test_left_early_it_leaves_nothing(self, av1: Path) -> None:
        with Video(av1) as video:
            next(video)

    def test_from_a_pipe_it_is_one_sentence(self, av1: Path, tmp_path: Path) -> None:
        mkv, pipe = make_clip(tmp_path / "clip.mkv", f"-i {av1} -c copy"), tmp_path / "pipe"
        if cv2.VideoCapture(str(mkv)).grab():
            pytest.skip("this OpenCV decodes AV1")
        os.mkfifo(pipe)
        writer = threading.Thread(target=lambda: pipe.write_bytes(mkv.read_bytes()))
        writer.start()
        with pytest.raises(TrackerError, match=r"from .*pipe \(AV01\): .* no decoder for it; write it to a file"):
            count(pipe)
        writer.join()

    def test_without_ffmpeg_it_is_one_sentence(self, av1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        capture = cv2.VideoCapture(str(av1))
        if capture.grab():
            pytest.skip("this OpenCV decodes AV1")
        monkeypatch.setattr("tracker.sources.ffmpeg_decoder.find_ffmpeg", lambda: None)
        with pytest.raises(TrackerError, match=r"no picture .* \(AV01\): this OpenCV has no decoder for it"):
            list(Video(av1))


@pytest.mark.parametrize("name", ["a.mjpeg", "a.mjpg"])
def test_a_file_of_jpeg_pictures_is_a_video(name: str, tmp_path: Path) -> None:
    assert count(make_clip(tmp_path / name, f"{SOURCE} -f mjpeg")) == 50


class TestEnd:
    """What is said at the end of files that are whole, cut short or damaged."""

    @pytest.mark.parametrize(
        "arguments",
        [
            "a.mkv -c:v libx264 -c:a aac",
            "a.webm -c:v libvpx -c:a libvorbis",
            "a.wmv -c:v wmv2 -c:a wmav2",
            "a.ts -c:v mpeg2video -c:a mp2",
            "a.mpg -c:v mpeg1video -c:a mp2",
            "a.flv -c:v flv1 -c:a aac",
            "a.avi -c:v mpeg4 -c:a mp2",
            "a.mp4 -c:v libx264 -c:a aac",
            "a.mov -c:v libx264 -movflags frag_keyframe+empty_moov -c:a aac",
            "a.3gp -c:v mpeg4 -c:a aac",
            "a.mkv -fps_mode vfr -vf select=not(mod(n\\,7))+gt(n\\,20) -c:v libx264 -c:a aac",
            "a.webm -fps_mode vfr -vf select=not(mod(n\\,7))+gt(n\\,20) -c:v libvpx -c:a libvorbis",
        ],
    )
    def test_whole_files_with_longer_sound_warn_of_nothing(
        self, arguments: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        name, _, options = arguments.partition(" ")
        assert count(make_clip(tmp_path / name, f"{SOURCE} {TONE} {options}")) >= 30
        assert caplog.messages == []

    def test_an_edit_list_that_hides_frames_warns_of_nothing(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        whole = make_clip(tmp_path / "whole.mp4", f"{SOURCE} -c:v libx264")
        edited = make_clip(tmp_path / "edited.mp4", f"-ss 0.5 -i {whole} -c copy")
        with Video(edited) as video:
            frames = list(video)
            assert video.frame_count == 50
        assert len(frames) < 40 and frames[0].timestamp_s == 0
        assert caplog.messages == []

    @pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.wmv", "a.avi", "a.mp4"])
    def test_cut_short_is_said(self, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        codec = {".webm": "libvpx", ".wmv": "wmv2"}.get(Path(name).suffix, "mpeg4")
        moving = "-f lavfi -i testsrc2=s=128x96:r=25:d=2 -g 5 -b:v 2M"
        path = make_clip(tmp_path / name, f"{moving} -c:v {codec} -movflags +faststart")
        assert not read_container(str(path)).cut_short
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
        assert read_container(str(path)).cut_short
        read = count(path)
        assert 10 < read < 45
        (said,) = caplog.messages
        total = (
            "" if name == "a.wmv" else " of 50" if name in ("a.avi", "a.mp4") else " of about 50"
        )  # as they state it
        assert said == f"{path} is cut short: read {read}{total} frames"

    def test_real_clips(self, shared: Path, caplog: pytest.LogCaptureFixture) -> None:
        clips = shared / "data/video/clips"
        for path in (*sorted((clips / "signing").iterdir())[::3], clips / "changeLighting.wmv"):
            assert count(path) > 30
        assert caplog.messages == []

    @given(
        st.binary(max_size=300), st.sampled_from([b"", b"RIFF", b"\x1aE\xdf\xa3", b"\0\0\0\x14ftyp", b"\0\0\0\x08moov"])
    )
    def test_nothing_that_a_file_holds_fails(
        self, tmp_path_factory: pytest.TempPathFactory, content: bytes, head: bytes
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "any"
        path.write_bytes(head + content)
        assert isinstance(read_container(str(path)), Container)


@pytest.mark.parametrize(
    ("times", "missing"),
    [
        ([], 0),
        (range(20), 0),
        ([*range(20), *range(25, 40)], 5),
        ([*range(20), *range(21, 40)], 0),  # a single one
        ([*range(20), *np.arange(23.3, 40)], 0),  # of no grid
        (range(0, 60, 3), 0),  # a slower rate
    ],
)
def test_frames_are_missing_where_a_constant_rate_has_a_gap(times: list[float], missing: int) -> None:
    gaps = Gaps(0.04)
    for time in times:
        gaps.add(0.04 * time)
    assert gaps.missing() == missing
