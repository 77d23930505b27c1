"""Compiles tracker/engines/tensorrt/crop.cu to crop.fatbin, which the runtime loads: `make kernels`.

The compiler is NVRTC of CUDA 12.2, which is on PyPI, and not the newest: the drivers of CUDA 12, as JetPack 6 has them,
know version 7 of the ABI of GPU code, and CUDA 13 writes version 8. Newer GPUs than it knows, Blackwell and Thor,
compile the PTX in the file when it is first loaded; the driver keeps the result. The same source gives the same file.

    python -m tools.crop_kernel --nvrtc libnvrtc.so.12
"""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from train.extras import needs_extra

with needs_extra(__name__, "tools.crop_kernel", "cpu", "cv2"):
    from tracker.cli.command import run_command
    from tracker.engines.tensorrt.gpu_crop import FATBIN
    from tracker.errors import TrackerError
    from tracker.system.files import write_whole

SOURCE = FATBIN.with_suffix(".cu")
CAPABILITIES = (75, 80, 86, 87, 89, 90)  # 87: Jetson Orin
_OPTIONS = ("--fmad=false",)  # a CPU and every GPU round alike


def build(nvrtc: Path, output: Path = FATBIN) -> None:
    """Compile the crop for every GPU into one file, and write the SHA-256 of it and of its source beside it.

    Args:
        nvrtc: NVIDIA's library that compiles, as nvidia-cuda-nvrtc-cu12==12.2.140 has it.
        output: the fatbin; the .sha256 goes beside it.
    """
    source = SOURCE.read_bytes()
    compiler = _library(nvrtc)
    images = {f"kind=elf,sm={sm}": _compiled(compiler, source, f"sm_{sm}", "CUBIN") for sm in CAPABILITIES}
    images[f"kind=ptx,sm={CAPABILITIES[0]}"] = _compiled(compiler, source, f"compute_{CAPABILITIES[0]}", "PTX")
    fatbin = _packed(images)
    names = {SOURCE.name: source, output.name: fatbin}
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in names.items())
    try:
        write_whole(output, fatbin)
        write_whole(output.with_suffix(".sha256"), sums.encode())
    except OSError as error:
        raise TrackerError(f"cannot write {error.filename or output}: {error.strerror}") from None


def _library(path: Path) -> Any:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise TrackerError(f"expected NVIDIA's NVRTC library, but {error}; `make kernels` fetches it") from None


def _compiled(nvrtc: Any, source: bytes, architecture: str, kind: str) -> bytes:
    """Compile for an architecture to CUBIN or PTX; raise TrackerError with the compiler's message."""
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, SOURCE.name.encode(), 0, None, None)
    options = [option.encode() for option in (f"--gpu-architecture={architecture}", *_OPTIONS)]
    failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    if failed:
        words = _text(nvrtc, program, "ProgramLog").rstrip(b"\0\n").decode()
        raise TrackerError(f"{SOURCE} does not compile for {architecture}: {words}")
    return _text(nvrtc, program, kind)


def _text(nvrtc: Any, program: ctypes.c_void_p, kind: str) -> bytes:
    size = ctypes.c_size_t()
    getattr(nvrtc, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
    content = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, f"nvrtcGet{kind}")(program, content)
    return content.raw


def _packed(images: dict[str, bytes]) -> bytes:
    """Pack the images into one fatbin with CUDA's tool; uncompressed, because older drivers lack some compressions."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["fatbinary", "-64", "--create=crop.fatbin", "--compress=false"]
        for index, (description, image) in enumerate(images.items()):
            (Path(folder) / str(index)).write_bytes(image)
            command.append(f"--image3={description},file={index}")
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        except OSError as error:
            raise TrackerError(f"fatbinary, of CUDA's toolkit, cannot be run: {error.strerror}") from None
        except subprocess.CalledProcessError as error:
            raise TrackerError(f"fatbinary failed: {error.stderr.strip()}") from None
        return (Path(folder) / "crop.fatbin").read_bytes()


def main() -> int:
    """Run the command line."""
    return run_command(build, "tools.crop_kernel")


if __name__ == "__main__":
    sys.exit(main())
