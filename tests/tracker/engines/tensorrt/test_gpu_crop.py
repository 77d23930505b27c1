"""The crop kernel computes what warp does, and the file that is shipped is that kernel.

Nothing here shows that a GPU runs it: its source is compiled for the CPU, and launched by loops.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.tracker.engines.tensorrt.fake_cuda import FakeCuda, crop_on_cpu, launch
from tools.crop_kernel import CAPABILITIES, build
from tracker.engines.tensorrt.check import GREY_LEVELS, compare_gpu_crops
from tracker.engines.tensorrt.gpu_crop import FATBIN, VIEW, CropKernel, views_of
from tracker.errors import TrackerError
from tracker.face.crop import Roi, warp
from tracker.face.geometry import compose
from tracker.gpu_frame import GpuFrame

Image = NDArray[np.uint8]
NVRTC = Path(__file__).parents[4] / ".venv/cuda12/nvidia/cuda_nvrtc/lib/libnvrtc.so.12"
NOISE = np.random.default_rng(0).integers(0, 256, (150, 210, 3), dtype=np.uint8)


def frame_of(image: Image) -> GpuFrame:
    """A picture of the host, as if its memory were a GPU's."""
    height, width = image.shape[:2]
    return GpuFrame(image.ctypes.data, width, height, *image.strides)


def crop_by_kernel(frame: GpuFrame, views: Any, size: int, block: int = 16) -> Image:
    crops = np.full((len(views), size, size, 3), 77, np.uint8)
    records = views_of(frame, views, size)
    tiles = -(-size // block)
    launch((tiles, tiles, len(views)), (block, block, 1), records.ctypes.data, crops.ctypes.data, size)
    return crops


rois = st.builds(
    lambda x, y, side, turn: Roi((x, y), side, turn),
    *(st.floats(-60, 270), st.floats(-60, 210), st.floats(4, 900), st.sampled_from([0.0, 0.3, -1.7, 3.1])),
)


class TestPixels:
    @given(st.lists(rois, min_size=1, max_size=3), st.sampled_from([1, 15, 16, 33]), st.booleans())
    def test_are_those_of_warp(self, rois: list[Roi], size: int, mirrored: bool) -> None:
        """Enlarged and shrunk, turned and mirrored, inside, across the border and outside."""
        views = [roi.crop_from_image(size) for roi in rois]
        if mirrored:
            views = [compose(np.array([[-1.0, 0, size - 1], [0, 1, 0]]), view) for view in views]
        found = crop_by_kernel(frame_of(NOISE), views, size)
        expected = np.stack([warp(NOISE, view, size) for view in views])
        assert np.abs(found.astype(int) - expected).max() <= GREY_LEVELS

    @pytest.mark.parametrize("shrink", [0.3, 1.0, 1.9, 2.0, 2.5, 5.0])
    def test_are_rounded_and_a_fraction_of_a_pixel_off_would_show(self, shrink: float) -> None:
        """Cut off they would be half a level darker; OpenCV rounds the means of 2 x 2 up, which makes an eighth."""
        view = Roi((100.3, 80.2), 40 * shrink, 0.2).crop_from_image(40)
        shifted = compose(np.array([[1, 0, 0.2], [0, 1, 0.0]]), view)
        right, wrong = crop_by_kernel(frame_of(NOISE), [view, shifted], 40).astype(int) - warp(NOISE, view, 40)
        assert abs(right.mean()) < 0.25
        assert np.abs(wrong).max() > GREY_LEVELS + 3

    @pytest.mark.parametrize("shrink", [0.5, 3.0])
    def test_of_any_layout_are_the_same(self, shrink: float) -> None:
        views = [Roi((100, 80), 40 * shrink, 0.2).crop_from_image(40)]
        expected = crop_by_kernel(frame_of(NOISE), views, 40)
        height, width = NOISE.shape[:2]
        pitched = np.full((height, 4 * 256), 99, np.uint8)
        pixels = pitched[:, : 4 * width].reshape(height, width, 4)  # RGBA in rows of 1024 bytes
        pixels[..., :3] = NOISE
        planes = np.ascontiguousarray(NOISE.transpose(2, 0, 1))
        bgr = np.ascontiguousarray(NOISE[..., ::-1])
        upside_down = np.ascontiguousarray(NOISE[::-1])
        frames = {
            "pitched RGBA": GpuFrame(pitched.ctypes.data, width, height, 1024, 4),
            "planes": GpuFrame(planes.ctypes.data, width, height, width, 1, height * width),
            "BGR": GpuFrame(bgr.ctypes.data + 2, width, height, 3 * width, channel_bytes=-1),
            "bottom up": frame_of(upside_down[::-1]),
        }
        for name, frame in frames.items():
            assert np.array_equal(crop_by_kernel(frame, views, 40), expected), name

    def test_of_an_empty_view_are_black_and_of_no_view_none(self) -> None:
        crops, empty = np.full((1, 8, 8, 3), 77, np.uint8), np.zeros(1, VIEW)
        launch((1, 1, 1), (16, 16, 1), empty.ctypes.data, crops.ctypes.data, 8)
        assert not crops.any()
        assert crop_by_kernel(frame_of(NOISE), [], 8).shape == (0, 8, 8, 3)

    @pytest.mark.parametrize("center", [(1e7, 0), (-1e8, 1e8), (0, 1e9)])
    def test_far_outside_are_black(self, center: tuple[float, float]) -> None:
        views = [Roi(center, side, 0.5).crop_from_image(20) for side in (10, 100)]
        assert not crop_by_kernel(frame_of(NOISE), views, 20).any()

    def test_stay_in_their_place(self) -> None:
        """One thread for each pixel, whatever the tiles, and none beside."""
        views = [Roi((100, 80), side).crop_from_image(21) for side in (20, 50, 90)]
        one = crop_by_kernel(frame_of(NOISE), views, 21, block=1)
        for block in (8, 16, 32):
            assert np.array_equal(crop_by_kernel(frame_of(NOISE), views, 21, block), one)

    def test_the_records_are_the_kernels(self) -> None:
        assert crop_on_cpu().view_bytes() == VIEW.itemsize


def images_in(fatbin: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Kind, compute capability and content of each, by the container's headers."""
    magic, version, start, size = struct.unpack_from("<IHHQ", fatbin)
    assert (magic, version, start + size) == (0xBA55ED50, 1, len(fatbin))
    while start < len(fatbin):
        kind, _, header, length = struct.unpack_from("<HHIQ", fatbin, start)
        (capability,) = struct.unpack_from("<I", fatbin, start + 28)
        begin = start + header
        yield {1: "ptx", 2: "elf"}[kind], capability, fatbin[begin : begin + length]
        start = begin + length


class TestFatbin:
    IMAGES = tuple(images_in(FATBIN.read_bytes()))

    def test_is_of_this_source(self) -> None:
        lines = FATBIN.with_suffix(".sha256").read_text().splitlines()
        assert [line.split()[1] for line in lines] == ["crop.cu", "crop.fatbin"]
        for line in lines:
            digest, name = line.split()
            content = (FATBIN.parent / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == digest, f"{name} was changed: `make kernels`"

    def test_holds_code_for_each_gpu_and_ptx_for_those_to_come(self) -> None:
        kinds = [(kind, capability) for kind, capability, _ in self.IMAGES]
        assert kinds == [*(("elf", capability) for capability in CAPABILITIES), ("ptx", min(CAPABILITIES))]

    def test_is_for_drivers_of_cuda_12(self) -> None:
        """They know version 7 of the ABI of GPU code; CUDA 13 writes 8. PTX they know up to their own version."""
        for kind, _, image in self.IMAGES:
            if kind == "elf":
                assert image[:4] == b"\x7fELF" and image[8] == 7
            else:
                assert re.search(rb"^\.version 8\.2$", image, re.M)

    def test_takes_two_addresses_and_an_int(self) -> None:
        ptx = self.IMAGES[-1][2]
        (arguments,) = re.findall(rb"\.visible \.entry crop\((.*?)\)", ptx, re.S)
        assert re.findall(rb"\.param \.(\w+)", arguments) == [b"u64", b"u64", b"u32"]

    def test_comes_out_again(self, tmp_path: Path) -> None:
        if not NVRTC.exists() or shutil.which("fatbinary") is None:
            pytest.skip("needs the compiler that `make kernels` fetches, and CUDA's fatbinary")
        build(NVRTC, tmp_path / "crop.fatbin")
        for name in ("crop.fatbin", "crop.sha256"):
            assert (tmp_path / name).read_bytes() == (FATBIN.parent / name).read_bytes()

    def test_without_the_compiler(self, tmp_path: Path) -> None:
        with pytest.raises(TrackerError, match=r"expected NVIDIA's NVRTC library, but .*`make kernels` fetches it"):
            build(tmp_path / "none.so", tmp_path / "crop.fatbin")
        assert list(tmp_path.iterdir()) == []


class TestKernel:
    """On the fake of the CUDA calls."""

    def test_that_the_gpu_does_not_take(self) -> None:
        cuda = FakeCuda()
        cuda.refuses = "no kernel image is available for execution on the device"
        sentence = r"^the kernel crop cannot .*no kernel image .*; crops on the GPU need compute capability 7\.5"
        with pytest.raises(TrackerError, match=sentence), cuda.active():
            CropKernel(cuda)

    @pytest.mark.parametrize("name", ["crop.fatbin", "crop.sha256"])
    def test_that_is_missing_or_damaged(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setattr("tracker.engines.tensorrt.gpu_crop.FATBIN", tmp_path / "crop.fatbin")
        for path in (FATBIN, FATBIN.with_suffix(".sha256")):
            shutil.copy(path, tmp_path)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:70] + b"x" + content[71:] if "fatbin" in name else b"")
        with pytest.raises(TrackerError, match=r"crop\.fatbin is damaged.*install landmark-tracker again"):
            CropKernel(FakeCuda())
        (tmp_path / name).unlink()
        with pytest.raises(TrackerError, match=f"{name}: No such file.*install landmark-tracker again"):
            CropKernel(FakeCuda())


@pytest.mark.parametrize("shared", [False, True])
def test_the_doctor_finds_no_difference(shared: bool) -> None:
    cuda = FakeCuda(shared)
    words = compare_gpu_crops(cuda)
    assert re.fullmatch(rf"largest difference [0-{GREY_LEVELS}] of 255, mean 0\.\d+", words)
    assert cuda.done == (["crop 4"] if shared else ["upload", "upload", "crop 4", "download"])


def test_the_doctor_finds_a_kernel_that_is_half_a_pixel_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(*arguments: Any) -> Any:
        views = views_of(*arguments)
        views["blocks_from_crop"][:, 0, 2] += 0.5
        return views

    monkeypatch.setattr("tracker.engines.tensorrt.check.views_of", shifted)
    with pytest.raises(TrackerError, match=r"differ from the CPU's by up to \d+ grey levels, \d are allowed"):
        compare_gpu_crops(FakeCuda())


class OnGpu:
    """Stands for an array of CuPy or PyTorch: an array of the host that says it is on the GPU."""

    def __init__(self, array: Any, **more: Any) -> None:
        self.array = array
        self.__cuda_array_interface__ = {**array.__array_interface__, **more}


class TestGpuFrame:
    def test_of_an_array_with_its_strides(self) -> None:
        array = OnGpu(NOISE[::2, 5:-5])
        frame, expected = GpuFrame.of(array), frame_of(NOISE[::2, 5:-5])
        fields = ("address", "width", "height", "row_bytes", "pixel_bytes", "channel_bytes")
        assert [getattr(frame, f) for f in fields] == [getattr(expected, f) for f in fields]
        assert frame.owner is array and frame.stream is None

    @pytest.mark.parametrize("channels", [3, 4])
    def test_of_one_without_strides(self, channels: int) -> None:
        frame = GpuFrame.of(OnGpu(np.zeros((5, 7, channels), np.uint8), stream=2))
        assert (frame.width, frame.height, frame.row_bytes, frame.pixel_bytes) == (7, 5, 7 * channels, channels)
        assert (frame.channel_bytes, frame.stream) == (1, 2)

    @pytest.mark.parametrize(
        ("array", "got"),
        [
            (NOISE, "got ndarray"),
            (OnGpu(NOISE[..., 0]), r"got \(150, 210\) of \|u1: ask the decoder for RGB"),  # as NV12 comes
            (OnGpu(NOISE.transpose(2, 0, 1)), r"got \(3, 150, 210\)"),
            (OnGpu(NOISE.astype(np.float32)), "of <f4"),
            (OnGpu(NOISE[:0]), "got 210 x 0"),
            (OnGpu(NOISE, data=(0, False)), "at 0"),
        ],
    )
    def test_refuses_what_is_none(self, array: Any, got: str) -> None:
        with pytest.raises(TrackerError, match=f"^a frame on the GPU .*{got}"):
            GpuFrame.of(array)
