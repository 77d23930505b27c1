"""python -m export.run and its kin: outputs that are safe, and one sentence for a mistake."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from export.outputs import check_output
from export.run import joined, main
from export.tensorrt import cached_engine
from export.triton import write_repository
from tracker.engines.onnx import OnnxEngine
from tracker.engines.tensorrt.plan import EngineKey
from tracker.errors import TrackerError

ROOT = Path(__file__).parents[2]
PACKAGED = ROOT / "tracker/weights/edge68_fast.onnx"


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int | str | None, str]]:
    """Runs export.run: the status, and what it says on standard error."""

    def run(*options: object) -> tuple[int | str | None, str]:
        monkeypatch.setattr(sys, "argv", ["export.run", *map(str, options)])
        try:
            status: int | str | None = main()
        except SystemExit as error:
            status = error.code
        return status, capsys.readouterr().err

    return run


Command = Callable[..., tuple[Any, str]]


def python(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


class TestInputsAreKept:
    @pytest.mark.parametrize("how", ["name", "relative", "link", "hard link", "link to its folder"])
    def test_the_checkpoint_is_never_the_output(
        self, checkpoint: Path, tmp_path: Path, how: str, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = tmp_path / "own.onnx"  # a checkpoint may have any name
        shutil.copy(checkpoint, own)
        content, output = own.read_bytes(), tmp_path / "m.onnx"
        if how == "name":
            output = own
        elif how == "relative":
            monkeypatch.chdir(tmp_path)
            output = Path("./own.onnx")
        elif how == "link":
            output.symlink_to(own)
        elif how == "hard link":
            output.hardlink_to(own)
        else:
            (tmp_path / "folder").symlink_to(tmp_path)
            output = tmp_path / "folder/own.onnx"
        before = sorted(os.listdir(tmp_path))
        status, said = command("--checkpoint", own, "--output", output, "--licence", "x", "--allow-untrained")
        assert status == 2 and said == f"export.run: --output {output} is {own}, which is read; give another --output\n"
        assert own.read_bytes() == content and sorted(os.listdir(tmp_path)) == before

    def test_the_options_are_never_the_output(self, checkpoint: Path, tmp_path: Path, command: Command) -> None:
        options = tmp_path / "options.onnx"  # a file of options may have any name, too
        options.write_text(f"checkpoint: {checkpoint}\nlicence: x\nallow_untrained: true\n")
        status, said = command("--config", options, "--output", options)
        assert status == 2 and f"--output {options} is {options}, which is read" in said
        assert "licence: x" in options.read_text()

    def test_a_name_that_is_not_a_models(self, checkpoint: Path, command: Command) -> None:
        """Such as that of a picture or of another checkpoint."""
        status, said = command("--checkpoint", checkpoint, "--output", "face.png", "--licence", "x")
        assert status == 2 and "expected the name of a file that ends in .onnx, got face.png" in said


class TestOutputs:
    @pytest.mark.parametrize("kind", ["link", "link to nothing", "link to a device", "folder", "pipe"])
    def test_only_a_plain_file_is_replaced(self, tmp_path: Path, kind: str) -> None:
        output, other = tmp_path / "m.onnx", tmp_path / "other"
        other.write_bytes(b"of somebody")
        if kind == "folder":
            output.mkdir()
        elif kind == "pipe":
            os.mkfifo(output)
        else:
            output.symlink_to({"link": other, "link to nothing": "gone", "link to a device": "/dev/null"}[kind])
        with pytest.raises(TrackerError, match=f"m.onnx is a {kind.split()[0]}, so it is not replaced"):
            check_output(output, ".onnx")
        assert other.read_bytes() == b"of somebody"

    @pytest.mark.parametrize("name", ["gone/m.onnx", "file/m.onnx", "x" * 300 + ".onnx", "nul\0.onnx"])
    def test_where_nothing_can_be_written(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(TrackerError, match="cannot be written"):
            check_output(tmp_path / name, ".onnx")
        assert os.listdir(tmp_path) == ["file"]

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to drop its privileges")
    def test_a_folder_of_somebody_else(self, tmp_path: Path) -> None:
        code = f"""
            import os
            from pathlib import Path
            from export.outputs import check_output
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
            check_output(Path({str(tmp_path / "m.onnx")!r}), ".onnx")
        """
        for folder in (tmp_path, *tmp_path.parents):
            if folder.stat().st_uid == os.getuid() and folder.is_relative_to("/tmp/"):
                folder.chmod(0o755)
        done = python(code, ROOT)
        assert "m.onnx cannot be written (Permission denied)" in done.stderr, done.stderr
        tmp_path.chmod(0o777)
        assert python(code, ROOT).returncode == 0

    def test_before_any_work(self, tmp_path: Path, command: Command) -> None:
        """The checkpoint is not even looked for."""
        output = tmp_path / "gone/m.onnx"
        status, said = command("--checkpoint=gone.ckpt", f"--output={output}", "--licence=x")
        assert (status, said) == (
            2,
            f"export.run: {output} cannot be written: the folder {output.parent} does not exist\n",
        )

    def test_a_plan_that_is_a_link(self, tmp_path: Path) -> None:
        key = EngineKey("0" * 64, "tensorrt", "10", "12.6", ("sm87",), "Orin", "fp32", (1, 4, 16))
        tmp_path.chmod(0o700)
        (tmp_path / key.file_name()).symlink_to(PACKAGED)
        with pytest.raises(TrackerError, match=r"\.plan is a link, so it is not replaced"):
            cached_engine(PACKAGED, tmp_path, key)

    def test_triton_gets_the_weights_that_lie_beside_the_model(self, tmp_path: Path) -> None:
        pytest.importorskip("tritonclient.grpc", reason="needs Triton's client: pip install 'tritonclient[grpc]'")
        model = tmp_path / "there/m.onnx"
        model.parent.mkdir()
        onnx.save(onnx.load(PACKAGED), str(model), save_as_external_data=True, location="m.data", size_threshold=1024)
        written = write_repository(model, tmp_path / "models", "face")
        assert sorted(os.listdir(written.parent)) == ["m.data", "model.onnx"]
        shutil.rmtree(model.parent)
        assert OnnxEngine(written).spec.size == 96


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ([], "required: checkpoint, output, licence"),
            (["--chekpoint=a"], "did you mean --checkpoint?"),
            (["--precision=fp8"], "--precision: expected one of fp32, fp16, int8, got fp8"),
            (["--deviation-scale=0"], "--deviation-scale: expected a number from 0.01 to 100, got 0"),
            (["--deviation-scale=1e200"], "--deviation-scale: expected a number from 0.01 to 100, got 1e+200"),
            (["--deviation-scale=nan"], "--deviation-scale: expected a number, got nan"),
            (["--budget.p99-px=abc"], "--budget.p99_px: expected a number, got abc"),
            (["--budget=3"], "--budget"),
            (["--allow-untrained=maybe"], "--allow-untrained: expected true or false, got maybe"),
            (["--trust=a b"], "--trust expected the name of a package, such as mynets.small, got 'a b'"),
            (["--trust"], "--trust"),
            (["--to=tensorflow"], "--to"),
        ],
    )
    def test_one_sentence(self, tmp_path: Path, command: Command, options: list[str], words: str) -> None:
        sound = [f"--checkpoint={tmp_path / 'gone.ckpt'}", f"--output={tmp_path / 'm.onnx'}", "--licence=x"]
        status, said = command(*(sound if options and "chek" not in options[0] else []), *options)
        assert status == 2 and words in said
        assert said.startswith("export.run: ") and said.count("\n") == 1

    def test_packages_are_trusted_by_a_list_or_one_by_one(self) -> None:
        assert joined(["--trust", "a", "--output=b", "--trust=c,d"], "--trust") == ["--output=b", "--trust=a,c,d"]
        assert joined(["--output", "b"], "--trust") == ["--output", "b"]
        assert joined(["--trust"], "--trust") == ["--trust"]

    def test_a_foreign_class_is_not_imported_unless_trusted(
        self, checkpoint: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "theirs.py").write_text(
            "open('it ran', 'w').close()\nfrom train.models.edge import EdgeHourglass\nclass Net(EdgeHourglass): pass\n"
        )
        raw = torch.load(checkpoint, weights_only=True)
        raw["hyper_parameters"]["net"]["class_path"] = "theirs.Net"
        torch.save(raw, tmp_path / "theirs.ckpt")
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        options = ["--checkpoint=theirs.ckpt", "--output=m.onnx", "--licence=x", "--allow-untrained"]
        status, said = command(*options)
        assert status == 2 and said.endswith("add --trust theirs\n") and not Path("it ran").exists()
        assert command(*options, "--trust", "other", "--trust", "theirs")[0] == 0
        assert Path("it ran").exists() and OnnxEngine("m.onnx").spec.size == 32
        assert "dims=-1,32,32,3" in Path("m.onnx.modelinfo").read_text()  # what GStreamer asks for

    @pytest.mark.parametrize("change", ["missing", "more", "shape"])
    def test_damaged_weights(self, checkpoint: Path, tmp_path: Path, command: Command, change: str) -> None:
        raw = torch.load(checkpoint, weights_only=True)
        name, tensor = raw["state_dict"].popitem()
        if change != "missing":
            raw["state_dict"][name] = tensor if change == "more" else torch.zeros(3, 3, 3)
        if change == "more":
            raw["state_dict"]["net.more"] = tensor
        torch.save(raw, tmp_path / "damaged.ckpt")
        status, said = command(
            "--checkpoint", tmp_path / "damaged.ckpt", "--output", tmp_path / "m.onnx", "--licence=x"
        )
        assert status == 2 and said.count("\n") == 1 and "its weights do not fit the net: " in said
        assert sorted(os.listdir(tmp_path)) == ["damaged.ckpt"]


class TestMissingPackages:
    """As after `pip install .`; a finder that hides a package stands for its absence."""

    @pytest.mark.parametrize(
        ("module", "package", "extra"),
        [
            *(("run", package, "export") for package in ("torch", "lightning", "onnx", "onnxruntime", "cv2")),
            ("lint", "onnx", "export"),
            ("tensorrt", "cv2", "cpu"),
            ("triton", "cv2", "cpu"),
        ],
    )
    def test_is_said_in_one_sentence(self, tmp_path: Path, module: str, package: str, extra: str) -> None:
        code = f"""
            import runpy, sys

            class Hidden:
                def find_spec(self, name, path=None, target=None):
                    if name.partition(".")[0] == {package!r}:
                        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.partition(".")[0])

            sys.meta_path.insert(0, Hidden())
            sys.argv = ["export.{module}", "--help"]
            runpy.run_module("export.{module}", run_name="__main__", alter_sys=True)
        """
        done = python(code, tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"export.{module}: needs {package}, which is not installed; pip install 'landmark-tracker[{extra}]'\n"
        )

    def test_one_that_is_broken(self, tmp_path: Path) -> None:
        (tmp_path / "onnx.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')\n")
        done = subprocess.run(
            [sys.executable, "-m", "export.lint", "m.onnx"],
            env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert "needs a package, which cannot be imported (libGL.so.1: cannot open" in done.stderr
