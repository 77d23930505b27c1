"""Frames are whole, in order, RGB and on time; what cannot be read is said in one sentence."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import TrackerError
from tracker.sources import Frame, Pictures, Video, as_rgb, open_source

RED_BGR = (0, 0, 255)


def write_video(path: Path, codec: str = "mp4v", fps: float = 25.0, count: int = 20) -> Path:
    """Frame i is grey of level 12 i, with a red left half."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (64, 48))
    for index in range(count):
        picture = np.full((48, 64, 3), 12 * index, np.uint8)
        picture[:, :32] = RED_BGR
        writer.write(picture)
    writer.release()
    return path


def write_picture(path: Path, picture: np.ndarray[Any, Any]) -> Path:
    cv2.imencode(path.suffix, picture)[1].tofile(path)
    return path


def cut(path: Path, part: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    return path


class TestAsRgb:
    @pytest.mark.parametrize(
        ("pixel", "expected"),
        [(7, (7, 7, 7)), ([7], (7, 7, 7)), ([1, 2, 3], (3, 2, 1)), ([1, 2, 3, 99], (3, 2, 1))],
    )
    def test_orders_and_counts_channels(self, pixel: Any, expected: tuple[int, ...]) -> None:
        image = np.broadcast_to(np.array(pixel, np.uint8), (5, 4, *np.shape(pixel)))
        rgb = as_rgb(image)
        assert rgb.shape == (5, 4, 3) and rgb.dtype == np.uint8
        assert (rgb == expected).all()

    @given(st.integers(0, 65535))
    def test_16_bit_keeps_black_white_and_rounds_between(self, level: int) -> None:
        rgb = as_rgb(np.full((2, 2), level, np.uint16))
        assert (rgb == round(level / 257)).all()

    def test_takes_mirrored_views(self) -> None:
        image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
        assert (as_rgb(image[:, ::-1]) == image[:, ::-1, ::-1]).all()

    @pytest.mark.parametrize(
        "image",
        [
            np.zeros((4, 4, 2), np.uint8),
            np.zeros((4, 4, 3), np.float32),
            np.zeros((0, 4, 3), np.uint8),
            np.zeros(4, np.uint8),
            np.zeros((), np.uint8),
        ],
    )
    def test_refuses_the_rest(self, image: Any) -> None:
        with pytest.raises(TrackerError, match="got"):
            as_rgb(image)


class TestVideo:
    @pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "mp4v"), (".avi", "MJPG"), (".mkv", "mp4v")])
    def test_every_frame_once_in_order_in_rgb_on_time(self, tmp_path: Path, suffix: str, codec: str) -> None:
        with Video(write_video(tmp_path / f"clip{suffix}", codec, fps=23.976)) as video:
            assert (video.frame_count, video.live) == (20, False)
            frames = list(video)
            assert next(video, None) is None
        assert [frame.index for frame in frames] == list(range(20))
        assert [round(float(frame.image_rgb[:, 40:].mean()) / 12) for frame in frames] == list(range(20))
        assert all(frame.image_rgb[24, 8, 0] > 200 > 60 > frame.image_rgb[24, 8, 2] for frame in frames)
        exact = 0.0005 if suffix == ".mkv" else 1e-6  # Matroska counts in milliseconds
        assert [frame.timestamp_s for frame in frames] == pytest.approx([i / 23.976 for i in range(20)], abs=exact)

    def test_name_beyond_ascii(self, tmp_path: Path) -> None:
        with Video(write_video(tmp_path / "Gesicht_für_日本.mp4")) as video:
            assert len(list(video)) == 20

    def test_cut_short_keeps_what_was_read_and_says_so_once(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with Video(cut(write_video(tmp_path / "clip.avi", "MJPG"), 0.6)) as video:
            count = len(list(video))
            list(video)
        assert 0 < count < 20
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert f"{count} of 20" in record.message and "clip.avi" in record.message

    def test_whole_video_and_early_leave_warn_of_nothing(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = write_video(tmp_path / "clip.mp4")
        with Video(path) as video:
            list(video)
        with Video(path) as video:
            next(video)
        assert next(video, None) is None
        assert not caplog.records

    def test_impossible_frame_rate_falls_back(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with Video(write_video(tmp_path / "clip.avi", "MJPG", fps=1000)) as video:
            assert video.fps == 30 and video.frame_count is None
            assert [frame.timestamp_s for frame in video] == pytest.approx([i / 1000 for i in range(20)])
        assert "frame rate" in caplog.text

    @pytest.mark.parametrize(
        ("name", "content", "reason"),
        [
            ("missing.mp4", None, "does not exist"),
            ("empty.mp4", b"", "could not be opened as a video"),
            ("text.mp4", b"not a video at all\n" * 50, "could not be opened as a video"),
            ("noise.avi", np.random.default_rng(0).bytes(5000), "could not be opened as a video"),
        ],
    )
    def test_not_a_video_is_one_quiet_sentence(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, content: bytes | None, reason: str
    ) -> None:
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(TrackerError, match=reason) as caught:
            Video(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)
        assert capfd.readouterr().err == ""

    def test_half_a_video_without_index_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(TrackerError, match="could not be opened as a video"):
            Video(cut(write_video(tmp_path / "clip.mp4"), 0.6))

    def test_folder_is_told_apart(self, tmp_path: Path) -> None:
        with pytest.raises(TrackerError, match="--images"):
            Video(tmp_path)

    def test_header_without_pictures(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "clip.avi", "MJPG")
        content = path.read_bytes()
        path.write_bytes(content[: content.index(b"movi") + 40])
        with pytest.raises(TrackerError, match=r"could not be opened|no picture could be decoded"):
            list(Video(path))

    def test_real_clip_is_read_whole(self) -> None:
        clip = Path("../shared/data/video/clips/bbaf2n.mpg")
        if not clip.exists():
            pytest.skip("needs ../shared/data/video")
        with Video(clip) as video:
            assert sum(1 for _ in video) == video.frame_count == 75


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 4), np.uint8), np.zeros((4, 5, 3)), np.zeros((0, 5, 3), np.uint8)],
    ids=["grey", "alpha", "float", "empty"],
)
def test_a_frame_refuses_what_is_no_rgb_picture(image: np.ndarray[Any, Any]) -> None:
    with pytest.raises(TrackerError, match=r"must be (an )?RGB"):
        Frame(image, 0.0, 0)


@pytest.mark.parametrize("made", [as_rgb, lambda image: Frame(image, 0.0, 0)], ids=["as_rgb", "Frame"])
def test_what_cv2_imread_returns_for_a_file_it_cannot_read(made: Any, tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match=r"got None: was the file read\? cv2.imread returns None"):
        made(cv2.imread(str(tmp_path / "none.png")))


class TestPictures:
    def test_natural_order_all_kinds_and_times(self, tmp_path: Path) -> None:
        grey = np.full((6, 8), 50, np.uint8)
        write_picture(tmp_path / "pic10.png", np.dstack([grey, grey, grey, grey // 2]))
        write_picture(tmp_path / "pic2.PNG", grey)
        write_picture(tmp_path / "Pic1.png", np.full((6, 8, 3), 50 * 257, np.uint16))
        write_picture(tmp_path / "größe_日本.jpg", np.full((6, 8, 3), 50, np.uint8))
        write_picture(tmp_path / "pic03.bmp", np.full((1, 1, 3), 50, np.uint8))
        (tmp_path / "notes.txt").write_text("not a picture")
        (tmp_path / "._pic1.png").write_bytes(b"what a Mac leaves behind")
        with Pictures(tmp_path) as folder:
            names = [picture.name for picture in folder.pictures]
            frames = list(folder)
        assert names == ["größe_日本.jpg", "Pic1.png", "pic2.PNG", "pic03.bmp", "pic10.png"]
        assert (folder.frame_count, folder.fps, folder.live, folder.losses.unreadable) == (5, 1.0, False, 0)
        assert [(frame.index, frame.timestamp_s) for frame in frames] == [(i, float(i)) for i in range(5)]
        assert all(abs(frame.image_rgb.astype(int) - 50).max() <= 1 for frame in frames)
        assert [frame.image_rgb.shape for frame in frames] == [(6, 8, 3)] * 3 + [(1, 1, 3)] + [(6, 8, 3)]

    def test_colours_are_rgb(self, tmp_path: Path) -> None:
        write_picture(tmp_path / "red.png", np.full((2, 2, 3), RED_BGR, np.uint8))
        assert (next(Pictures(tmp_path)).image_rgb == (255, 0, 0)).all()

    def test_undecodable_is_skipped_counted_and_named(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        write_picture(tmp_path / "a.png", picture)
        cut(write_picture(tmp_path / "b.png", picture), 0.5)
        (tmp_path / "c.jpg").write_bytes(b"")
        (tmp_path / "d.jpg").mkdir()
        write_picture(tmp_path / "e.tiff", np.zeros((4, 4), np.float32))
        write_picture(tmp_path / "f.png", picture)
        folder = Pictures(tmp_path)
        assert [frame.index for frame in folder] == [0, 5]
        assert folder.losses.unreadable == 4
        assert [record.levelname for record in caplog.records] == ["WARNING"] * 4
        assert all(f"{name} " in caplog.text for name in ("b.png", "c.jpg", "d.jpg", "e.tiff"))
        assert "WARN" not in capfd.readouterr().err  # some builds let libpng speak for itself

    def test_exif_orientation_turns_the_picture(self, tmp_path: Path) -> None:
        content = cv2.imencode(".jpg", np.zeros((10, 20, 3), np.uint8))[1].tobytes()
        tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6
        exif = b"Exif\0\0" + tiff
        marker = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
        (tmp_path / "phone.jpg").write_bytes(content[:2] + marker + content[2:])
        assert next(Pictures(tmp_path)).image_rgb.shape == (20, 10, 3)

    def test_nothing_to_show(self, tmp_path: Path) -> None:
        with pytest.raises(TrackerError, match="holds no pictures"):
            Pictures(tmp_path)
        with pytest.raises(TrackerError, match=r"missing does not exist"):
            Pictures(tmp_path / "missing")
        (tmp_path / "a.jpg").write_bytes(b"x")
        for path in (tmp_path, tmp_path / "a.jpg"):
            with pytest.raises(TrackerError, match=r"a\.jpg cannot be decoded as a picture$"):
                list(Pictures(path))
        (tmp_path / "b.jpg").write_bytes(b"x")
        with pytest.raises(TrackerError, match=r"none of the 2 pictures in .* could be decoded; the warnings say why"):
            list(Pictures(tmp_path))


def test_open_source_tells_what_it_is_given(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4")
    (tmp_path / "pictures").mkdir()
    write_picture(tmp_path / "pictures" / "a.png", np.zeros((2, 2), np.uint8))
    assert isinstance(open_source(clip), Video)
    assert isinstance(open_source(str(tmp_path / "pictures")), Pictures)
    with pytest.raises(TrackerError, match="camera 87"):
        open_source(87)
    with pytest.raises(TrackerError, match="does not exist"):
        open_source(tmp_path / "missing.mp4")


def test_opencv_speaks_again_afterwards(tmp_path: Path) -> None:
    logging_of = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4, OpenCV 5
    before = logging_of.setLogLevel(2)
    try:
        (tmp_path / "x.mp4").write_bytes(b"x")
        with pytest.raises(TrackerError):
            Video(tmp_path / "x.mp4")
        write_picture(tmp_path / "x.png", np.zeros((2, 2), np.uint8))
        list(Pictures(tmp_path))
        assert logging_of.getLogLevel() == 2
    finally:
        logging_of.setLogLevel(before)
