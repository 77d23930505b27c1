"""Pictures and videos that state absurd sizes are refused by their header, before anything is decoded."""

from __future__ import annotations

import logging
import os
import struct
import sys
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import TrackerError
from tracker.sources import Pictures, Video, read_picture
from tracker.sources.picture_size import MOST_PIXELS, stated_size
from tracker.sources.pictures import MOST_BYTES, decode_picture
from tracker.sources.png import is_overstated

KINDS = [
    ".png",
    ".jpg",
    ".bmp",
    ".tif",
    ".webp",
    ".jp2",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pam",
    ".gif",
    ".avif",
    ".hdr",
    ".ras",
]


def encoded(kind: str, width: int, height: int) -> bytes:
    shape = (height, width) if kind in (".pgm", ".pbm") else (height, width, 3)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    if kind == ".hdr":
        image = image.astype(np.float32) / 255  # type: ignore[assignment]
    try:
        written, content = cv2.imencode(kind, image)
    except cv2.error:
        written = False
    if not written:
        pytest.skip(f"this OpenCV writes no {kind}")
    return content.tobytes()


def png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def jpeg(width: int, height: int) -> bytes:
    return (
        b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + b"\3\1\x22\0\2\x11\1\3\x11\1" + bytes(30)
    )


def tiff(width: int, height: int, tile: int | None = None, big: bool = False, order: str = "<") -> bytes:
    tags = [(256, width), (257, height), *([] if tile is None else [(322, tile), (323, tile)])]
    head = (b"II" if order == "<" else b"MM") + (
        struct.pack(f"{order}HHHQQ", 43, 8, 0, 16, len(tags)) if big else struct.pack(f"{order}HIH", 42, 8, len(tags))
    )
    form = f"{order}HHQQ" if big else f"{order}HHII"
    return head + b"".join(struct.pack(form, tag, 16 if big else 4, 1, value) for tag, value in tags) + bytes(8)


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def webp(width: int, height: int) -> bytes:
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + canvas + bytes(8)


def jp2(width: int, height: int) -> bytes:
    return b"\0\0\0\x0cjP  \r\n\x87\n" + b"\xff\x4f\xff\x51\0\x2f\0\0" + struct.pack(">II", width, height) + bytes(40)


ABSURD = {
    "png": png(100_000, 100_000),
    "png just too large": png(16_385, 16_384),
    "png of one row": png(2**31 - 1, 1),
    "jpg": jpeg(65_000, 65_000),
    "bmp": bmp(100_000, 100_000),
    "bmp from top to bottom": bmp(30_000, -30_000),
    "tif": tiff(100_000, 100_000),
    "tif of large tiles": tiff(10, 10, tile=100_000),
    "tif, big": tiff(2**40, 2**40, big=True),
    "tif, other byte order": tiff(30_000, 30_000, order=">"),
    "webp": webp(100_000, 100_000),
    "jp2": jp2(100_000, 100_000),
    "ppm": b"P6 # made\n100000\n#by hand\n 100000 255\n",
    "pam": b"P7\nWIDTH 100000\nHEIGHT 100000\nDEPTH 3\nMAXVAL 255\nENDHDR\n",
    "hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 100000 +X 100000\n",
    "ras": struct.pack(">8I", 0x59A66A95, 100_000, 100_000, 24, 0, 1, 0, 0),
    "gif": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(30),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(53, 37), (1, 1), (300, 40)])
def test_sizes_of_what_opencv_writes(kind: str, size: tuple[int, int]) -> None:
    content = encoded(kind, *size)
    assert stated_size(content) == size
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None and decoded.shape[1::-1] == size


def test_sizes_of_cameras_pictures(shared: Path) -> None:
    """Their JPEG files hold previews, profiles and comments before the size."""
    for path in sorted((shared / "data/300w/lfpw/testset").glob("*.jpg"))[:60]:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        assert image is not None and stated_size(path.read_bytes()) == image.shape[1::-1]


def test_a_preview_is_passed_over() -> None:
    preview = encoded(".jpg", 8, 8)
    segment = b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview
    content = jpeg(65_000, 64_000)
    assert stated_size(content[:2] + segment + b"\xff\xff" + content[3:]) == (65_000, 64_000)


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_sizes(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / f"a.{name.split()[0].rstrip(',')}"
    path.write_bytes(ABSURD[name])
    with pytest.raises(
        TrackerError, match=r"cannot be decoded as a picture: its header states \d+ x \d+ pixels, at most 268"
    ):
        decode_picture(path)
    assert read_picture(path) is None
    with pytest.raises(TrackerError, match=r"its header states|expected a complete MP4"):
        Video(path)
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((8, 8, 3), np.uint8))
    with caplog.at_level(logging.WARNING):
        assert [frame.index for frame in Pictures(tmp_path)] == [1]
    assert f"{path} cannot be decoded as a picture: its header states" in caplog.text


def test_a_bomb_is_not_decoded(tmp_path: Path) -> None:
    """0.1 MB that hold 0.9 GB of pixels."""
    resource = pytest.importorskip("resource", reason="needs POSIX")
    (tmp_path / "a.png").write_bytes(png(30_000, 30_000, bytes(30_000 * 3_751)))
    assert (tmp_path / "a.png").stat().st_size < 200_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_picture(tmp_path / "a.png") is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_large_pictures_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(8_000, 1_000, bytes(1_001 * 1_000)))
    image = read_picture(tmp_path / "a.png")
    assert image is not None and image.shape == (1_000, 8_000, 3)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX files")
def test_what_is_no_plain_file_or_too_long(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    with (tmp_path / "long.png").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    for name, why in (("pipe", "it is a pipe"), ("zero", "it is a device"), ("long", "bytes, at most")):
        with pytest.raises(TrackerError, match=why):
            decode_picture(tmp_path / f"{name}.png")
    with pytest.raises(TrackerError, match="none of the 3 pictures"):
        list(Pictures(tmp_path))


HEADS = st.sampled_from([content[:40] for content in ABSURD.values()] + [b"\0\0\0\x1cftypavif", b"", b"P7\n", b"P6\n"])


@given(HEADS, st.binary(max_size=200), st.integers(0, 40))
def test_damaged_headers_are_none_or_a_size(head: bytes, rest: bytes, cut: int) -> None:
    for content in (head[:cut] + rest, head + rest):
        size = stated_size(content)
        assert size is None or (size[0] > 0 and size[1] > 0)


@pytest.mark.parametrize("content", [b"P6" + b" " * 10**6, b"P6" + b"#\n" * 10**6, b"P7\n" + b"A 1\n" * 10**6])
def test_long_headers_take_no_time(content: bytes) -> None:
    start = time.perf_counter()
    assert stated_size(content) is None
    assert time.perf_counter() - start < 1


def test_files_of_other_kinds_are_not_decoded(tmp_path: Path) -> None:
    """Such as PFM or EXR, which OpenCV takes by their content whatever the name: their size is not looked at here."""
    written, content = cv2.imencode(".pfm", np.ones((8, 8, 3), np.float32))
    assert written
    (tmp_path / "a.png").write_bytes(content.tobytes())
    assert read_picture(tmp_path / "a.png") is None


class HugeCapture:
    """Stands for OpenCV's capture of a container that states such a size."""

    released = False

    def __init__(self, *_: object) -> None:
        pass

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def get(self, key: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: 20_000.0, cv2.CAP_PROP_FRAME_HEIGHT: 20_000.0}.get(key, 25.0)

    def release(self) -> None:
        HugeCapture.released = True


def test_a_video_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_PIXELS < 20_000**2
    (tmp_path / "a.avi").write_bytes(b"RIFF")
    monkeypatch.setattr(cv2, "VideoCapture", HugeCapture)
    with pytest.raises(
        TrackerError, match="its header states 20000 x 20000 pixels, at most 268,435,456 in all are decoded"
    ):
        Video(tmp_path / "a.avi")
    assert HugeCapture.released


class EndlessCapture(HugeCapture):
    """Stands for one whose container announces nonsense for a length."""

    def get(self, key: int) -> float:
        return {cv2.CAP_PROP_FRAME_COUNT: float("inf")}.get(key, 25.0)


@pytest.mark.parametrize("count", [float("inf"), float("nan"), -1.0, 1e300])
def test_a_video_of_an_absurd_length(count: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.avi").write_bytes(b"RIFF")
    monkeypatch.setattr(cv2, "VideoCapture", EndlessCapture)
    monkeypatch.setattr(EndlessCapture, "get", lambda self, key: count if key == cv2.CAP_PROP_FRAME_COUNT else 25.0)
    assert Video(tmp_path / "a.avi").frame_count is None


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("place", [2**64 - 1, 2**63, 2**63 - 1, 2**40])
def test_a_big_tiff_whose_tags_lie_nowhere(order: str, place: int) -> None:
    start = b"II+\0" if order == "<" else b"MM\0+"
    assert stated_size(start + struct.pack(f"{order}HHQ", 8, 0, place) + bytes(40)) is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say how much memory was taken")
@pytest.mark.parametrize("at", ["first", "last"])
def test_a_png_that_states_more_than_it_holds_is_not_decoded(at: str, tmp_path: Path) -> None:
    """OpenCV 5 takes 4 GB for such a file of a few hundred bytes."""
    import resource

    content = encoded(".png", 8, 8)
    place = content.index(b"IHDR") + 4 + 13 + 4 if at == "first" else content.index(b"IEND") - 4
    path = tmp_path / "a.png"
    path.write_bytes(content[:place] + b"\x7f\xff\xff\xf0" + content[place + 4 :])
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TrackerError, match="its header states more bytes than the file has"):
        decode_picture(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before_kib + 400_000
    assert not is_overstated(content) and not is_overstated(content[:-20])  # cut short is another thing
