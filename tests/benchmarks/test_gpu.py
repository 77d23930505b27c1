"""The measurement for a GPU, rehearsed on the CPU: every stage, its limits, its launcher and what it brings back."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tracker.engines.tensorrt.fake_cuda import FakeCuda
from tests.tracker.engines.tensorrt.test_tensorrt_engine import KEY, Setup

torch = pytest.importorskip("torch", reason="needs PyTorch, which the extra train brings")

from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from benchmarks._lib.gpu import engine, nets, summary, training, weights  # noqa: E402
from benchmarks._lib.gpu.device import Device  # noqa: E402
from benchmarks._lib.gpu.stages import REHEARSAL, Record, Stage, Task, run_here, run_stages  # noqa: E402
from benchmarks.gpu import packed  # noqa: E402
from benchmarks.gpu.__main__ import main, stages  # noqa: E402
from benchmarks.gpu.bundle import bundle, check  # noqa: E402
from benchmarks.gpu.weights import join  # noqa: E402
from export.graph import LandmarkGraph  # noqa: E402
from export.run import load  # noqa: E402
from tracker.datasets import w300 as w300_files  # noqa: E402
from tracker.engines.onnx import OnnxEngine  # noqa: E402
from tracker.errors import TrackerError  # noqa: E402
from tracker.face.crop import roi_of_landmarks, warp  # noqa: E402
from tracker.weights.packaged import WEIGHTS, sha256_of  # noqa: E402
from train.datasets import W300  # noqa: E402
from train.loaders import EpochSampler  # noqa: E402

ROOT = Path(__file__).parents[2]
RUN = ROOT / "benchmarks/gpu/run.sh"
SECONDS = 2.0  # for the training: one step


class TimedFakeCuda(FakeCuda):
    """FakeCuda with events."""

    def elapsed_ms(self, work: Callable[[], None]) -> float:
        start = time.perf_counter()
        work()
        self.synchronise()
        return 1000 * (time.perf_counter() - start)


@pytest.fixture(scope="module")
def pictures(w300: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn faces once more, with some of them as LFPW's test set."""
    root = tmp_path_factory.mktemp("pictures")
    shutil.copytree(w300, root, dirs_exist_ok=True)
    shutil.copytree(w300 / "lfpw/trainset", root / "lfpw/testset")
    return root


@pytest.fixture(scope="module")
def rehearsed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of all stages, run one after the other in this process with a fake of CUDA."""
    output = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        for module in ("crop", "speed"):
            patch.setattr(f"benchmarks._lib.gpu.{module}.open_cuda", lambda: (TimedFakeCuda(), "a fake of CUDA", []))
        for stage in stages(8):
            run_here(stage, Task(REHEARSAL, output, pictures, time.monotonic() + SECONDS))
    summary.write_summary(output)
    return output


def found_in(folder: Path, stage: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / f"{stage}.json").read_bytes())
    return content


@pytest.mark.slow
class TestRehearsal:
    def test_every_stage_is_done(self, rehearsed: Path) -> None:
        states = {s.name: found_in(rehearsed, s.name) for s in stages(8)}
        assert {name: (s["state"], s.get("error")) for name, s in states.items()} == dict.fromkeys(
            states, ("done", None)
        )

    def test_the_crops_are_those_of_opencv(self, rehearsed: Path) -> None:
        found = found_in(rehearsed, "crop")
        assert found["crops_against_opencv"].startswith("largest difference")
        assert found["graph"]["lost"] == 0
        assert found["2 crops of 128 px, enlarged"]["kernel_ms"] > 0
        assert found["card"]["torch"] == torch.__version__

    def test_edge68_on_the_device_answers_as_the_packaged_model(self, rehearsed: Path) -> None:
        found = found_in(rehearsed, "edge")
        assert found["against_onnx_runtime_px"]["p99"] < 0.1  # the budget of half precision
        assert found["frame_to_landmarks"]["batch 2"]["from ONNX Runtime, largest px"] < 0.5
        assert found["gflop_per_picture"] == pytest.approx(0.1664, abs=0.001)  # twice the 83.2 M products of the README

    @pytest.mark.parametrize(("stage", "prefix"), [("edge", ""), ("hourglass", ""), ("compiled", "blocks, ")])
    def test_times_are_there_for_each_batch(self, rehearsed: Path, stage: str, prefix: str) -> None:
        for batch in REHEARSAL.batches:
            timed = found_in(rehearsed, stage)[f"{prefix}batch {batch}"]
            assert 0 < timed["p50_ms"] <= timed["p95_ms"]
            assert timed["pictures/s"] > 0 and "share of the matrix rate" in timed

    def test_half_precision_moves_the_hourglass_maps_little(self, rehearsed: Path) -> None:
        assert found_in(rehearsed, "hourglass")["maps_against_fp32"] < 0.01
        assert found_in(rehearsed, "compiled")["blocks_against_plain"] < 0.01

    def test_the_training_brings_back_a_checkpoint(self, rehearsed: Path, pictures: Path, tmp_path: Path) -> None:
        """The weights that are joined again make the error that was measured on the GPU."""
        found = found_in(rehearsed, "training")
        assert found["steps"] > 0 and found["curve"] and found["lfpw_test_faces"] == 4
        options = [option for option in found["options"] if "root" not in option and "config" not in option]
        join(rehearsed, pictures, tmp_path / "joined.ckpt", options)
        task, data, _ = load(tmp_path / "joined.ckpt")
        data.source.test_split = "lfpw"
        data.setup("test")
        loader = torch.utils.data.DataLoader(data.testing, 2)
        error = training.error_percent(task, loader, Device("cpu"))
        assert error == pytest.approx(found["lfpw_test_nme"], abs=1e-3)

    def test_the_summary_has_the_goals_beside_the_figures(self, rehearsed: Path) -> None:
        page = (rehearsed / "summary.md").read_text()
        assert "| four-stack FP16, batch 64, pictures/s | at least 6000 | not measured | |" in page
        assert "| edge step from a frame on the GPU, batch 1, p50 ms | at most 0.5 |" in page
        assert json.loads((rehearsed / "results.json").read_bytes())["rate"]["state"] == "done"


def test_a_goal_is_met_or_missed() -> None:
    results = {"training": {"lfpw_test_nme": 3.2}, "compiled": {"blocks, batch 64": {"pictures/s": 7000.0}}}
    lines = [goal.line(results) for goal in summary.GOALS]
    assert "| four-stack FP16, batch 64, pictures/s | at least 6000 | 7000 | met |" in lines
    assert "| 300W lfpw/testset after the training, NME % | at most 3 | 3.2 | missed |" in lines


class TestTraining:
    def test_the_loop_learns(self, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a small net, by steps instead of seconds: the averaged weights fit the faces they were shown."""
        steps = 60
        monkeypatch.setattr(training.Training, "share", property(lambda self: self.steps / steps))
        monkeypatch.setattr(training, "VALIDATIONS", 3)
        small = ("channels=[16,16]", "stem=8")
        still = ("flip", "shift", "rotation_deg", "scale", "occlusion", "blur", "gamma", "noise", "gray")
        options = ("--data.size=32", "--model.learning_rate=0.01", *(f"--data.augmentation.{name}=0" for name in still))
        options = (*options, *(f"--model.net.init_args.{option}" for option in small))
        source = ("--data.source=train.datasets.W300", f"--data.source.root={pictures}")
        learner, data = nets.configured(nets.EDGE, *options, *source)
        data.setup("fit")
        plain, device = data.training.crops, Device("cpu")
        before = training.error_percent(learner, torch.utils.data.DataLoader(plain, 9), device)
        batches = training.EndlessBatches(data.training, 1, 3)
        faces = training.loader_of(data.training, batches, 0, 1)
        record = Record(tmp_path / "training.json")
        task = Task(REHEARSAL, tmp_path, pictures, time.monotonic())
        run = training.Training(learner, device, faces, batches.steps, plain, task, record)
        run.train()
        found = found_in(tmp_path, "training")
        assert (found["steps"], found["epoch"]) == (steps, steps // 3 - 1)
        errors = [entry["val_nme"] for entry in found["curve"].values()]
        assert len(errors) == 4 and errors[-1] < 0.5 * before
        rates = [training.rate(share, 0.03) for share in (0, 0.02, 0.03, 0.5, 1, 1.1)]
        assert rates[0] < rates[1] < rates[2] == 1 > rates[3] > rates[4] == rates[5] == 0

    def test_batches_are_those_of_the_trainings(self, pictures: Path) -> None:
        """Epoch after epoch the faces that EpochSampler gives, without those that do not fill a batch."""
        faces = list(range(10))
        batches = training.EndlessBatches(faces, seed=4, batch=3)
        found = [*itertools.islice(batches, 6)]
        sampler = EpochSampler(faces, 1, 0, seed=4, drop_last=True)
        for epoch in range(2):
            sampler.set_epoch(epoch)
            expected = [*sampler][:9]
            assert [place for batch in found[3 * epoch : 3 * epoch + 3] for place in batch] == expected

    @pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # it is not started
    def test_the_loader_keeps_to_the_shared_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = type("Usage", (), {"free": 100 * 2**20})
        monkeypatch.setattr(training.shutil, "disk_usage", lambda path: usage)
        monkeypatch.setattr(training.os.path, "isdir", lambda path: True)
        faces = list(range(64))
        batches = training.EndlessBatches(faces, seed=1, batch=64)
        for face_bytes, workers in ((2**20 // 3, 3), (10, 15), (2**30, 1)):
            loader = training.loader_of(faces, batches, 15, face_bytes)
            assert loader.num_workers == workers
            fits = loader.num_workers * loader.prefetch_factor * 64 * face_bytes <= usage.free
            assert fits or (loader.num_workers, loader.prefetch_factor) == (1, 1)


class TestNets:
    def test_folding_changes_nothing(self) -> None:
        """With BatchNorms that have learned something, on both kinds of net."""
        for config, size in ((nets.EDGE, 64), (nets.HOURGLASS, 64)):
            options = ("--model.net.init_args.width=16",) if config == nets.HOURGLASS else ()
            task, _ = nets.configured(config, f"--data.size={size}", *options)
            for module in task.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    for values in (module.running_mean, module.running_var, module.weight, module.bias):
                        torch.nn.init.uniform_(values, 0.5, 1.5)
            net = LandmarkGraph(task).eval().net
            folded = nets.fold_norms(copy.deepcopy(net))
            left = [module for module in folded.modules() if isinstance(module, torch.nn.BatchNorm2d)]
            assert len(left) == 0
            pictures = torch.rand(1, 3, size, size)
            with torch.no_grad():
                expected = net(pictures)
                assert (folded(pictures) - expected).norm() < 1e-4 * expected.norm()

    def test_a_captured_call_brings_nothing_from_the_host(self) -> None:
        """A CUDA graph refuses such copies. From the second call on constants are the tensors of the first."""
        graph = nets.Deployed(nets.hourglass_graph(REHEARSAL), Device("cpu"))
        crops = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)

        class Watch(TorchDispatchMode):
            def __init__(self) -> None:
                super().__init__()
                self.made: list[str] = []
                self.places: list[int] = []

            def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                self.made += ["lift_fresh"] * ("lift_fresh" in str(func))
                if "index.Tensor" in str(func):
                    constants = [index for index in args[1] if index is not None and index.dim() == 1]
                    self.places += [
                        index.data_ptr() for index in constants
                    ]  # peaks, (N, K), are computed on the device
                return func(*args, **(kwargs or {}))

        seen = []
        for _ in range(3):
            with torch.no_grad(), Watch() as watch:
                graph(crops)
            seen.append((len(watch.made), watch.places))
        assert seen[0][0] > 0
        assert seen[1] == seen[2] == (0, seen[1][1])


@pytest.mark.skipif(not torch.backends.cuda.is_built(), reason="PyTorch is built without CUDA")
@pytest.mark.parametrize("kind", ["edge", "hourglass"])
def test_everything_that_a_net_computes_with_moves_to_the_device(kind: str) -> None:
    """With fake tensors of a GPU, which refuse operations on two devices and questions that wait for an answer."""
    full, size = (nets.edge_graph(), 128) if kind == "edge" else (nets.hourglass_graph(REHEARSAL), 64)
    graph = nets.Deployed(full, Device("cpu"))
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        for module in graph.modules():
            for kept in (module._parameters, module._buffers):
                for name, value in kept.items():
                    if value is not None:
                        kept[name] = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="cuda")
        for _ in range(2):  # constants are kept from the second call on
            maps = graph.maps(torch.zeros(2, size, size, 3, dtype=torch.uint8, device="cuda"))
            assert maps.dtype == torch.float16 and maps.is_contiguous(memory_format=torch.channels_last)
            assert [answer.device.type for answer in graph.decode(maps)] == ["cuda"] * 3
        host = torch.empty(maps.shape, dtype=maps.dtype)
        assert [answer.device.type for answer in graph.decode(host)] == ["cpu"] * 3


@pytest.mark.slow
def test_a_stage_that_hangs_crashes_or_fails_costs_no_other(tmp_path: Path) -> None:
    names = ("hangs", "crashes", "fails", "works")
    listed = [Stage(name, f"tests.benchmarks.example_stages:{name}", 60.0) for name in names]
    ends: list[int] = []
    before, begun = tmp_path / "before", time.monotonic()
    before.mkdir()
    run_stages(listed[-1:], REHEARSAL, before, None, 200)
    limit = 1 + 3 * (time.monotonic() - begun)  # a busy machine takes long to start a process
    listed[0] = dataclasses.replace(listed[0], limit_s=limit)
    run_stages(listed, REHEARSAL, tmp_path, None, 200, after=lambda: ends.append(len(ends)))
    found = {name: found_in(tmp_path, name) for name in names}
    assert [found[name]["found"] for name in names] == [1, 2, 3, 4]
    assert [found[name]["state"] for name in names] == ["cut", "failed", "failed", "done"]
    assert found["hangs"]["error"] == f"ended at its limit of {limit:.0f} s"
    assert found["crashes"]["error"] == "its process ended with status 7"
    assert "illegal memory access" in found["fails"]["error"]
    assert len(ends) == 4


def test_a_part_that_fails_costs_no_other(tmp_path: Path) -> None:
    run_here(Stage("half", "example_stages:half", None), Task(REHEARSAL, tmp_path, None, 0))
    found = found_in(tmp_path, "half")
    assert found["state"] == "failed" and "first: ZeroDivisionError" in found["error"]
    assert found["first"].startswith("ZeroDivisionError") and found["second"] == {"found": 5}


@pytest.mark.parametrize(("first", "started_by"), [("works", "ForkServerProcess"), ("fails", "SpawnProcess")])
def test_the_first_stage_says_whether_processes_can_be_forked(tmp_path: Path, first: str, started_by: str) -> None:
    """Where CUDA, say, cannot be used in a forked one, the stages have processes that import for themselves."""
    listed = [Stage("counts", "example_stages:counts", 60.0)]
    run_stages(listed, REHEARSAL, tmp_path, None, 200, first=Stage("start", f"example_stages:{first}", 60.0))
    found = found_in(tmp_path, "counts")
    assert (found["state"], found["started_by"]) == ("done", started_by)


def test_a_second_call_keeps_what_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = [Stage(name, f"example_stages:{name}", 60.0) for name in ("counts", "fails")]
    for _ in range(2):
        run_stages(listed, REHEARSAL, tmp_path, None, 200)
    assert (tmp_path / "calls").read_text() == "x"
    assert "counts: done by an earlier call, kept; to measure it again delete counts.json" in capsys.readouterr().out
    run_stages(listed, dataclasses.replace(REHEARSAL, device="another"), tmp_path, None, 200)
    assert (tmp_path / "calls").read_text() == "xx"  # a rehearsal is no measurement
    Record(tmp_path / "fails.json").update(found=6)  # as of a call that was killed
    run_stages(listed, REHEARSAL, tmp_path, None, seconds=0)  # without time nothing is overwritten
    found = {name: found_in(tmp_path, name) for name in ("counts", "fails")}
    assert found["counts"]["state"] == "done"
    assert (found["fails"]["state"], found["fails"]["found"]) == ("cut", 6)


def test_a_summary_that_fails_costs_no_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ValueError("no summary")

    run_stages([Stage("works", "example_stages:works", 60.0)], REHEARSAL, tmp_path, None, 200, after=fail)
    assert found_in(tmp_path, "works")["state"] == "done" and "no summary" in capsys.readouterr().err


def test_a_stage_without_time_is_left_out(tmp_path: Path) -> None:
    run_stages([Stage("late", "none:none", None)], REHEARSAL, tmp_path, None, seconds=5, reserve_s=6)
    assert found_in(tmp_path, "late")["state"] == "left out"


class TestPacked:
    def test_crops_are_those_of_the_pictures(self, pictures: Path, tmp_path: Path) -> None:
        packed.pack(pictures, tmp_path / "pictures.zip")
        folder = packed.unpack(tmp_path / "pictures.zip", tmp_path / "unpacked")
        read = [w300_files.read_split(root, "train") for root in (pictures, folder)]
        for before, after in zip(*read, strict=True):
            rois = [roi_of_landmarks(sample.points_px) for sample in (before, after)]
            crops = [warp(s.read_image(), roi.crop_from_image(64), 64) for s, roi in zip((before, after), rois)]
            assert rois[0].side_px == pytest.approx(rois[1].side_px, abs=1e-3)
            difference = crops[0].astype(int) - crops[1]
            assert abs(difference.mean()) < 1 and np.abs(difference).mean() < 15  # WebP loses noise above all
        sides = [[len(side) for side in W300(root).faces()] for root in (pictures, folder)]
        assert sides[0] == sides[1] == [9, 3]

    def test_large_faces_are_shrunk_and_their_points_with_them(self, pictures: Path) -> None:
        """A bright square's middle is where the point says, to a fraction of a pixel."""
        (sample, *_) = w300_files.read_split(pictures, "train")
        scale = 6.0
        points = (sample.points_px + 0.5) * scale - 0.5
        image = np.zeros((700, 700, 3), np.uint8)
        x, y = points[30].round().astype(int)
        image[y - 4 : y + 5, x - 4 : x + 5] = 255
        large = type("Large", (), {"read_image": lambda self: image, "points_px": points})()
        part, moved = packed.cut(large)
        assert roi_of_landmarks(moved).side_px == pytest.approx(packed.SIDE_PX, abs=1)
        rows, columns = np.indices(part.shape[:2])
        weights_of = part[..., 0].astype(float)
        middle = [(axis * weights_of).sum() / weights_of.sum() for axis in (columns, rows)]
        shift = (np.array([x, y]) - points[30]) * packed.SIDE_PX / roi_of_landmarks(points).side_px
        assert np.abs(np.array(middle) - moved[30] - shift).max() < 0.1

    def test_the_same_pictures_make_the_same_file(self, pictures: Path, tmp_path: Path) -> None:
        for name in ("a.zip", "b.zip"):
            packed.pack(pictures, tmp_path / name)
        assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()

    def test_300w_fits(self, shared: Path, tmp_path: Path) -> None:
        """Of a sample: the whole takes a minute. That the whole fits is checked whenever it is packed."""
        root = shared / "data/300w"
        samples = [*w300_files.read_split(root, "train"), *w300_files.read_split(root, "lfpw-test")]
        chosen = samples[::60]
        packed.write_packed(root, chosen, tmp_path / "sample.zip")
        size = (tmp_path / "sample.zip").stat().st_size / len(chosen) * len(samples)
        assert 20 * 2**20 < size < 0.95 * packed.MOST_BYTES

    def test_a_file_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "no.zip").write_bytes(b"no")
        with pytest.raises(TrackerError, match=r"no\.zip: expected a \.zip file of"):
            packed.unpack(tmp_path / "no.zip", tmp_path / "folder")

    def test_a_folder_that_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(TrackerError, match="expected the 300W folders"):
            packed.pack(tmp_path, tmp_path / "pictures.zip")


class TestBundle:
    def test_holds_what_was_asked_for(self, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the downloads only written down; a wheel of PyCUDA takes the place of its source."""
        asked: list[str] = []

        def download(folder: str, output: Path, *arguments: str) -> None:
            (output / folder).mkdir()
            asked.extend(arguments)

        monkeypatch.setattr("benchmarks.gpu.bundle._download", download)
        bundle(pictures, tmp_path / "a")
        assert "pycuda" in asked and "jsonargparse" in asked
        assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["pictures.zip", "sources", "wheels"]
        wheel = tmp_path / "pycuda-1.0-cp312-cp312-linux_x86_64.whl"
        with pytest.raises(TrackerError, match=r"--pycuda expected a file pycuda-\*\.whl, got"):
            bundle(pictures, tmp_path / "b", wheel)
        wheel.write_bytes(b"wheel")
        asked.clear()
        bundle(pictures, tmp_path / "b", wheel)
        assert "pycuda" not in asked and not (tmp_path / "b/sources").exists()
        assert (tmp_path / "b/wheels" / wheel.name).read_bytes() == b"wheel"

    def test_its_size_is_checked_with_the_repository(self, tmp_path: Path) -> None:
        (tmp_path / "wheels").mkdir()
        (tmp_path / "wheels/a.whl").write_bytes(bytes(2**20))
        assert "wheels 1.0" in check(tmp_path) and "of 64" in check(tmp_path)
        with (tmp_path / "pictures.zip").open("wb") as file:
            file.truncate(63 * 2**20)
        with pytest.raises(TrackerError, match=r"at most 64 MiB can be carried, got .*pictures\.zip 63\.0"):
            check(tmp_path)

    @pytest.mark.slow
    def test_the_launcher_collects_what_there_is(self, pictures: Path, tmp_path: Path) -> None:
        """With a limit that leaves no stage its time: whatever ends it, what was found is brought back."""
        bundle, results = tmp_path / "bundle", tmp_path / "results"
        (bundle / "wheels").mkdir(parents=True)
        wheel = bundle / "wheels/carried_thing-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as file:
            file.writestr("carried_thing.py", "")
            head = "carried_thing-1.0.dist-info"
            file.writestr(f"{head}/METADATA", "Metadata-Version: 2.1\nName: carried-thing\nVersion: 1.0\n")
            file.writestr(f"{head}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            file.writestr(f"{head}/RECORD", "")
        packed.pack(pictures, bundle / "pictures.zip")
        command = ["bash", str(RUN), str(bundle), str(results), "0.02", "--rehearse"]
        environment = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "HOME": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        assert sorted(path.name for path in results.iterdir()) == ["results.tar"]
        with tarfile.open(results / "results.tar") as archive:
            names = {Path(name).name for name in archive.getnames()}
        assert {"summary.md", "results.json", "log.txt", *(f"{stage.name}.json" for stage in stages(1))} <= names


class TestWeights:
    def test_of_the_four_stack_net_fit_what_can_be_brought_back(self, tmp_path: Path) -> None:
        task, _ = nets.configured(nets.HOURGLASS)
        paths = weights.write_halves(task.state_dict(), tmp_path, 3)
        assert len(paths) <= 3 and all(path.stat().st_size < 16 * 2**20 for path in paths)
        read, epoch = weights.read_halves(tmp_path)
        assert epoch == 3
        own = weights.halved(task.state_dict())
        assert read.keys() < own.keys() and all(torch.equal(read[name], own[name]) for name in read)

    def test_parts_of_two_epochs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(weights, "MOST_BYTES", 5000)
        state = {str(i): torch.rand(1000) for i in range(4)}
        first = weights.write_halves(state, tmp_path, 1)
        assert len(first) == 4
        kept = first[0].read_bytes()
        weights.write_halves(state, tmp_path, 2)
        first[0].write_bytes(kept)
        with pytest.raises(TrackerError, match="of different epochs, 1 and 2: the training was cut between"):
            weights.read_halves(tmp_path)
        first[1].unlink()
        with pytest.raises(TrackerError, match=r"weights\.1\.pt: expected a part of the weights, there is no such"):
            weights.read_halves(tmp_path)


class TestCommand:
    def run(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: object) -> str:
        """The error of a command that ends with status 2."""
        monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", *map(str, options)])
        assert main() == 2
        return capsys.readouterr().err

    def test_without_a_gpu(self, monkeypatch: Any, capsys: Any, tmp_path: Path) -> None:
        monkeypatch.setattr("benchmarks.gpu.__main__.first_gpu", lambda: None)
        error = self.run(monkeypatch, capsys, "--output", tmp_path)
        assert "expected an NVIDIA GPU with its driver, found none; --rehearse" in error

    def test_mistakes(self, monkeypatch: Any, capsys: Any, tmp_path: Path) -> None:
        model = WEIGHTS / "edge68.onnx"
        assert "--model belongs to --engine" in self.run(monkeypatch, capsys, "--output", tmp_path, "--model", model)
        minutes = ("--output", tmp_path, "--rehearse", "--minutes", "-1")
        assert "--minutes expected a number above 0" in self.run(monkeypatch, capsys, *minutes)
        missing = ("--output", tmp_path, "--engine", tmp_path / "none.plan")
        assert "none.plan" in self.run(monkeypatch, capsys, *missing)


class TestEngine:
    """The fake of TensorRT computes with ONNX Runtime, so its landmarks are the same."""

    @pytest.fixture
    def setup(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
        model = OnnxEngine(WEIGHTS / "edge68.onnx")
        setup = Setup(tmp_path, model.spec, monkeypatch, model)
        setup.use(TimedFakeCuda())
        setup.write(dataclasses.replace(KEY, onnx_sha256=sha256_of(WEIGHTS / "edge68.onnx"), faces=(1, 2, 2)))
        monkeypatch.setattr(engine, "open_cuda", lambda: (setup.cuda, "a fake of CUDA", []))
        monkeypatch.setattr(engine, "first_gpu", lambda: "a fake of a GPU")
        monkeypatch.setattr(engine, "WARM_UP_S", 0)
        return setup

    def test_is_timed_and_compared(self, setup: Setup, tmp_path: Path) -> None:
        (tmp_path / "rate.json").write_text(json.dumps({"matrix_tflops": 0.001}))
        engine.measure_engine(setup.path, tmp_path, WEIGHTS / "edge68.onnx", calls=2)
        found = found_in(tmp_path, f"engine.{setup.path.stem}")
        assert found["state"] == "done" and found["builder"] == "TensorRT 10.3.0"
        for faces in (1, 2):
            timed = found[f"batch {faces}"]
            assert 0 < timed["p50_ms"] <= timed["p95_ms"] and timed["frame on the GPU"]["p50_ms"] > 0
            assert timed["from ONNX Runtime, p99 px"] < 1e-3
            assert timed["share of the matrix rate"] > 0
        assert f"crop {2}" in setup.cuda.done

    def test_without_a_gpu(self, setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine, "first_gpu", lambda: None)
        with pytest.raises(TrackerError, match="timing it needs an NVIDIA GPU and its driver, which were not found"):
            engine.measure_engine(setup.path, tmp_path)
        assert not list(tmp_path.glob("engine*.json"))

    def test_of_another_model(self, setup: Setup, tmp_path: Path) -> None:
        with pytest.raises(TrackerError, match="was built from another model than"):
            engine.measure_engine(setup.path, tmp_path, WEIGHTS / "edge68_fast.onnx")


def test_operations_of_the_file_are_those_of_the_net() -> None:
    found = engine.operations_in(WEIGHTS / "edge68.onnx")
    assert found == nets.operations(nets.edge_graph(), OnnxEngine(WEIGHTS / "edge68.onnx").spec.size)
