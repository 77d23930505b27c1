"""An overlay has its source's sound, at the same time, where there is an ffmpeg; else it says so and is silent."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.tracker.sinks.sinks_shared import BLACK, play
from tracker.sinks import OverlayVideo
from tracker.sources import Video

FPS, SECONDS = 25, 3
AT_S = 1.6  # the picture turns white and the tone begins


@pytest.fixture(scope="session")
def ffmpeg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an ffmpeg program: the system's, or the one that imageio-ffmpeg carries."""
    if found := shutil.which("ffmpeg"):
        return Path(found).parent
    carried = pytest.importorskip("imageio_ffmpeg", reason="needs ffmpeg, or pip install imageio-ffmpeg")
    folder = tmp_path_factory.mktemp("ffmpeg")
    shutil.copy(carried.get_ffmpeg_exe(), folder / ("ffmpeg.exe" if sys.platform == "win32" else "ffmpeg"))
    return folder


@pytest.fixture
def run_ffmpeg(ffmpeg: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """Puts ffmpeg on the path, and runs it: run_ffmpeg("-i FILE -f null -")."""
    monkeypatch.setenv("PATH", str(ffmpeg), prepend=":")

    def run(arguments: str) -> bytes:
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments.split()]
        return subprocess.run(command, capture_output=True, check=True).stdout

    return run


Ffmpeg = Callable[..., bytes]


def record(run_ffmpeg: Ffmpeg, path: Path, codec: str, video_late_s: float = 0.0, sound_late_s: float = 0.0) -> Path:
    """A clip that turns white when its tone begins, one of its streams starting later than the other."""
    white = f"color=white:s=64x48:r={FPS}:d={SECONDS}"
    black = f"drawbox=t=fill:color=black:enable='lt(t,{AT_S - video_late_s})'"
    tone = f"aevalsrc=gte(t\\,{AT_S - sound_late_s})*sin(5000*t):s=44100:d={SECONDS}"
    run_ffmpeg(
        f"-itsoffset {video_late_s} -f lavfi -i {white},{black} -itsoffset {sound_late_s} -f lavfi -i {tone} "
        f"-c:v mpeg4 -q:v 2 -c:a {codec} {path}"
    )
    return path


def copy_pictures(source: Path, target: Path, keep: Callable[[int], bool] = lambda index: True) -> None:
    """The frames of the source as an overlay, those that are kept."""
    with Video(source) as frames, OverlayVideo(target, frames.fps or 0, source) as sink:
        for frame in frames:
            if keep(frame.index):
                sink.write(frame.image_rgb, frame.timestamp_s)


def times_of(run_ffmpeg: Ffmpeg, path: Path) -> tuple[float, float]:
    """When the picture turns white, and when the tone begins, in seconds of the file's own time."""
    packets = run_ffmpeg(f"-i {path} -map 0:v -f framecrc -").decode().splitlines()
    unit = float(Fraction(next(line.split()[-1] for line in packets if line.startswith("#tb"))))
    times_s = [int(line.split(",")[2]) * unit for line in packets if not line.startswith("#")]
    white = next(i for i, picture in enumerate(play(path)) if picture.mean() > 128)
    sound = run_ffmpeg(f"-i {path} -map 0:a:0 -af aresample=async=1:first_pts=0 -ar 44100 -ac 1 -f f32le -")
    return times_s[white], float((np.abs(np.frombuffer(sound, np.float32)) > 0.2).argmax()) / 44100


def seconds_of_sound(run_ffmpeg: Ffmpeg, path: Path) -> float:
    return len(run_ffmpeg(f"-i {path} -map 0:a:0 -ar 8000 -ac 1 -f u8 -")) / 8000


@pytest.mark.skipif(sys.platform == "win32", reason="needs names of up to 255 bytes")
def test_the_longest_name(run_ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    source = record(run_ffmpeg, tmp_path / "clip.mp4", "aac")
    copy_pictures(source, target := tmp_path / f"{'x' * 251}.mp4")
    target.rename(short := tmp_path / "overlay.mp4")
    assert seconds_of_sound(run_ffmpeg, short) == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize(
    ("source", "codec", "video_late_s", "sound_late_s", "target"),
    [
        ("both.mp4", "aac", 0, 0, "out.mp4"),
        ("late video.mov", "pcm_s16le", 0.4, 0, "out.mp4"),
        ("late video.mkv", "ac3", 0.4, 0, "out.mkv"),
        ("late sound.mkv", "flac", 0, 0.4, "out.mp4"),
        ("-both.avi", "pcm_s16le", 0, 0, "größe 1:2.avi"),
    ],
)
def test_picture_and_tone_stay_together(
    run_ffmpeg: Ffmpeg,
    tmp_path: Path,
    source: str,
    codec: str,
    video_late_s: float,
    sound_late_s: float,
    target: str,
) -> None:
    plain = record(run_ffmpeg, tmp_path / f"plain{Path(source).suffix}", codec, video_late_s, sound_late_s)
    seen_s, heard_s = times_of(run_ffmpeg, plain)
    assert abs(seen_s - AT_S) < 1.5 / FPS and abs(heard_s - AT_S) < 0.05  # the clip is what it should be
    clip, overlay = plain.rename(tmp_path / source), tmp_path / target
    copy_pictures(clip, overlay)
    seen_s, heard_s = times_of(run_ffmpeg, overlay.rename(tmp_path / f"overlay{overlay.suffix}"))
    assert abs(seen_s - heard_s) < 1.5 / FPS
    assert len(list(tmp_path.iterdir())) == 2


def test_sound_is_copied_as_it_is(run_ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    clip = record(run_ffmpeg, tmp_path / "clip.mp4", "aac")
    copy_pictures(clip, tmp_path / "out.mp4")
    was, now = (
        [line.split(",")[-1] for line in run_ffmpeg(f"-i {path} -map 0:a -c copy -f framemd5 -").decode().splitlines()]
        for path in (clip, tmp_path / "out.mp4")
    )
    assert len(now) > 100 and now == was[: len(now)] and len(was) - len(now) < 4


def test_sound_that_the_container_cannot_hold_is_encoded_anew(run_ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    clip = record(run_ffmpeg, tmp_path / "clip.mkv", "wmav2")
    copy_pictures(clip, tmp_path / "out.mp4")
    seen_s, heard_s = times_of(run_ffmpeg, tmp_path / "out.mp4")
    assert abs(seen_s - heard_s) < 2 / FPS
    assert len(play(tmp_path / "out.mp4")) == FPS * SECONDS


def test_sound_ends_with_the_pictures(run_ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    """As when a window is closed, or a video is cut short."""
    clip = record(run_ffmpeg, tmp_path / "clip.mp4", "aac")
    copy_pictures(clip, tmp_path / "out.mp4", keep=lambda index: index < FPS)
    assert len(play(tmp_path / "out.mp4")) == FPS
    assert seconds_of_sound(run_ffmpeg, tmp_path / "out.mp4") == pytest.approx(1.0, abs=0.1)


def test_dropped_frames_do_not_part_them(run_ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    clip = record(run_ffmpeg, tmp_path / "clip.mp4", "aac")
    copy_pictures(clip, tmp_path / "out.mp4", keep=lambda index: not 3 < index < 20 and index % 5)
    seen_s, heard_s = times_of(run_ffmpeg, tmp_path / "out.mp4")
    assert abs(seen_s - heard_s) < 2.5 / FPS


def test_a_varying_rate_keeps_time(run_ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    """A still screen at one frame a second, then 25, as a screen recorder writes."""
    clip = record(run_ffmpeg, tmp_path / "all.mp4", "aac")
    varying = tmp_path / "clip.mp4"
    run_ffmpeg(f"-i {clip} -fps_mode vfr -vf select='gt(t,1)+not(mod(n,25))' -c:v libx264 -c:a copy {varying}")
    copy_pictures(varying, tmp_path / "out.mp4")
    seen_s, heard_s = times_of(run_ffmpeg, tmp_path / "out.mp4")
    assert abs(seen_s - heard_s) < 1.5 / FPS
    assert len(play(tmp_path / "out.mp4")) == len(play(varying)) < 2.2 * FPS


def test_an_edit_list_keeps_time(run_ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    """Its hidden frames are not those that begin the overlay."""
    clip = record(run_ffmpeg, tmp_path / "all.mp4", "aac")
    run_ffmpeg(f"-ss 0.5 -i {clip} -c copy {tmp_path / 'clip.mp4'}")
    copy_pictures(tmp_path / "clip.mp4", tmp_path / "out.mp4")
    seen_s, heard_s = times_of(run_ffmpeg, tmp_path / "out.mp4")
    assert abs(seen_s - heard_s) < 1.5 / FPS


def test_a_clip_without_sound(run_ffmpeg: Ffmpeg, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run_ffmpeg(f"-f lavfi -i color=white:s=64x48:r={FPS}:d=1 -c:v mpeg4 {tmp_path / 'clip.mp4'}")
    copy_pictures(tmp_path / "clip.mp4", tmp_path / "out.mp4")
    assert len(play(tmp_path / "out.mp4")) == FPS
    assert caplog.records == []


def test_a_real_clip(run_ffmpeg: Ffmpeg, tmp_path: Path, shared: Path) -> None:
    """MPEG-1 with MPEG sound, of the GRID corpus."""
    clip = shared / "data/video/clips/bbaf2n.mpg"
    copy_pictures(clip, tmp_path / "out.mp4")
    was, now = (seconds_of_sound(run_ffmpeg, path) for path in (clip, tmp_path / "out.mp4"))
    assert now == pytest.approx(was, abs=0.1)


def silent(folder: Path, caplog: pytest.LogCaptureFixture) -> str:
    """Writes a complete overlay without sound into the folder; the one sentence that says why."""
    source, before = folder / "clip.mp4", len(list(folder.iterdir()))
    with OverlayVideo(folder / "out.mp4", FPS, source) as sink:
        for index in range(5):
            sink.write(BLACK, index / FPS)
    assert len(play(folder / "out.mp4")) == 5
    assert len(list(folder.iterdir())) == before + 1
    (entry,) = caplog.records
    assert entry.levelno == logging.WARNING and "\n" not in entry.getMessage()
    assert entry.getMessage().startswith(f"{folder / 'out.mp4'} has no sound, of {source}: ")
    return entry.getMessage().rpartition(": ")[2]


def test_without_ffmpeg(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert silent(tmp_path, caplog) == "ffmpeg is not installed"


@pytest.mark.skipif(sys.platform == "win32", reason="a script of the shell stands for ffmpeg")
@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("echo one >&2; echo No space left on device >&2; printf half > $last; exit 1", "No space left on device"),
        ("exit 3", "status 3"),
        ("kill -9 $$", "status -9"),
        ("printf half > $last", "ffmpeg left pictures out"),
    ],
)
def test_an_ffmpeg_that_fails(
    does: str, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A FakeFfmpeg that finds streams in every file, and then does that instead of joining them."""
    program = tmp_path / "bin/ffmpeg"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\ncase "$*" in *framecrc*) printf "#tb 0: 1/25\\n0,0,0,1,9,0x0\\n"; exit 0;; esac\n'
        f'for last in "$@"; do :; done\nlast=${{last#file:}}\n{does}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    assert silent(tmp_path, caplog) == reason


def test_ctrl_c_while_the_sound_is_copied_leaves_the_silent_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("tracker.sinks.video.add_sound", interrupt)
    sink = OverlayVideo(tmp_path / "out.mp4", FPS, tmp_path / "clip.mp4")
    sink.write(BLACK, 0.0)
    with pytest.raises(KeyboardInterrupt):
        sink.close()
    assert len(play(tmp_path / "out.mp4")) == 1
    assert len(list(tmp_path.iterdir())) == 1
