"""The gate: sound engines pass, whatever happens at ties, and others are refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.graph import LandmarkGraph, Precision
from export.mean_face import mean_face_px
from export.onnx import write_onnx
from export.run import export, load, main
from export.verify import ANYTHING, BUDGETS, NOISE, Budget, Difference, Reference
from tracker.datasets.pts_files import read_pts
from tracker.engines.spec import ModelSpec
from tracker.errors import TrackerError
from tracker.face.schemes import IBUG68
from train.objectives import Structured
from train.task import LandmarkTask

SPEC = ModelSpec(64, "ibug68", 0.5, "", "", {}, "")
NONE = Difference(3, 0, 0, 0, 0, 0, 0, 0, (30, 1, 2), 4.0, 0, 0, 0)
LANDMARK, FIRST, OTHER = 30, (3, 3), (12, 12)  # cells, row and column, 4 px each
FACES = 24


class Drawn(nn.Module):
    """Stands for a net: the maps follow from the picture, and one landmark of one face has two peaks.

    ahead: by how much the second is above the first where the net is traced for ONNX, as a share of their height.
    """

    stride = 4

    def __init__(self, ahead: float = 0.0, behind: float = 0.0) -> None:
        super().__init__()
        self.ahead, self.behind = ahead, behind
        generator = torch.Generator().manual_seed(0)
        self.weights = nn.Parameter(torch.randn(68, 3, 1, 1, generator=generator))
        self.mark = nn.Parameter(torch.full((1,), 255.0))

    def fused(self) -> nn.Module:
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        maps = nn.functional.conv2d(nn.functional.avg_pool2d(pixels, 4), self.weights) * 8
        marked = (pixels[:, :, 0, 0].sum(-1) == 3).float()[:, None, None]  # a white first pixel
        tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        peaks = torch.zeros(16, 16)
        peaks[FIRST], peaks[OTHER] = 20.0, 20.0 * (1 - self.behind + (self.ahead if tracing else 0.0))
        one = torch.arange(68)[None, :, None, None] == LANDMARK
        return torch.where(one & (marked[..., None] > 0), peaks, maps)


def graph_of(net: nn.Module, precision: Precision = "fp32") -> LandmarkGraph:
    task = LandmarkTask(net, Structured(), size=64).eval()
    return LandmarkGraph(task, precision).eval()


def crops() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    made = torch.randint(0, 255, (FACES, 64, 64, 3), dtype=torch.uint8, generator=generator)
    made[7, 0, 0] = 255
    return made


def reference(graph: LandmarkGraph) -> Reference:
    truth = np.random.default_rng(0).uniform(5, 59, (1, 68, 2)).repeat(FACES, 0)
    return Reference(graph, crops(), truth, IBUG68)


class TestTies:
    LOOSE = Budget(nme_percent=99)  # a tie of cells so far apart is seen in the NME of so few faces

    def test_a_near_tie_does_not_refuse_a_sound_model(self, tmp_path: Path) -> None:
        graph = graph_of(Drawn(ahead=1e-6))
        difference = write_onnx(graph, SPEC, reference(graph), tmp_path / "m.onnx", self.LOOSE)
        assert difference.ties == 1
        assert difference.largest_tie_px == pytest.approx(9 * 4 * 2**0.5, rel=0.01)  # nine cells, both ways
        assert difference.largest_px < 0.001 and difference.p999_px < 0.001
        assert "1 have two peaks of the same height, largest distance 5.1e+01" in str(difference)

    def test_nor_where_largest_px_is_asked_for(self, tmp_path: Path) -> None:
        graph = graph_of(Drawn(ahead=1e-6))
        write_onnx(graph, SPEC, reference(graph), tmp_path / "m.onnx", Budget(largest_px=0.01, nme_percent=99))

    def test_peaks_that_differ_are_no_tie(self, tmp_path: Path) -> None:
        graph = graph_of(Drawn(ahead=0.02, behind=0.01))
        with pytest.raises(
            TrackerError,
            match=r"largest distance of a landmark with a clear peak is 5.* px.*; the worst .* are 30",
        ):
            write_onnx(graph, SPEC, reference(graph), tmp_path / "m.onnx", Budget(largest_px=0.01, nme_percent=99))

    @pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
    def test_what_counts_as_one_follows_the_precision(self, precision: Precision) -> None:
        for behind, tie in ((NOISE[precision] / 2, precision != "int8"), (NOISE[precision] * 2 + 1e-6, False)):
            found = reference(graph_of(Drawn(behind=behind))).ties(precision)
            assert found[7, LANDMARK] == (tie or behind == 0)


class TestRefused:
    def test_a_landmark_in_a_hundred_that_is_off(self, tmp_path: Path) -> None:
        class Off(LandmarkGraph):
            def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
                points, scores, covariances = super().forward(crops)
                if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
                    points = points + 0.02 * (torch.arange(68) % 50 == 0).float()[:, None]
                return points, scores, covariances

        graph = graph_of(Drawn())
        graph.__class__ = Off
        with pytest.raises(
            TrackerError, match=r"the distance of 99 % of the landmarks is 0\.0283 px, the budget 0\.01"
        ):
            write_onnx(graph, SPEC, reference(graph), tmp_path / "m.onnx", Budget())
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("which", [0, 1, 2])
    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_answers_that_are_no_numbers(self, tmp_path: Path, which: int, value: float) -> None:
        class Broken(LandmarkGraph):
            """Traced, one answer of the marked face is no number."""

            def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
                answers = [*super().forward(crops)]
                if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
                    marked = (crops[:, 0, 0].float().sum(-1) == 3 * 255)[:, None]
                    spot = marked & (torch.arange(68) == LANDMARK)
                    spot = spot[..., None] if which != 1 else spot
                    answers[which] = torch.where(spot, value, answers[which])
                return answers[0], answers[1], answers[2]

        graph = graph_of(Drawn())
        graph.__class__ = Broken
        with pytest.raises(TrackerError, match=r"m\.onnx: not written: 1 of its 1632 landmarks are not finite"):
            write_onnx(graph, SPEC, reference(graph), tmp_path / "m.onnx", ANYTHING)
        assert not list(tmp_path.iterdir())

    def test_weights_that_are_no_numbers(self) -> None:
        net = Drawn()
        net.weights.data[3] = torch.nan
        with pytest.raises(TrackerError, match="the weights are damaged"):
            reference(graph_of(net))

    def test_no_faces(self) -> None:
        graph = graph_of(Drawn())
        with pytest.raises(TrackerError, match="expected validation faces"):
            Reference(graph, crops()[:0], np.zeros((0, 68, 2)), IBUG68)

    def test_labels_without_a_length(self) -> None:
        graph = graph_of(Drawn())
        with pytest.raises(TrackerError, match="the labels of a validation face are wrong"):
            Reference(graph, crops()[:1], np.zeros((1, 68, 2)), IBUG68)


class TestBudget:
    def test_what_is_not_given_has_the_precisions_default(self) -> None:
        for precision, default in BUDGETS.items():
            assert Budget().completed(precision) == default
            completed = Budget(p50_px=0.7).completed(precision)
            assert completed == dataclasses.replace(default, p50_px=0.7)
            assert None not in dataclasses.asdict(completed).values()

    @pytest.mark.parametrize(
        ("field", "limit", "words"),
        [
            ("p50_px", "p50_px", "the distance of half of the landmarks is 0.3000 px, the budget 0.2"),
            ("p99_px", "p99_px", "the distance of 99 % of the landmarks is 0.3000 px, the budget 0.2"),
            ("p999_px", "p999_px", "99.9 % of the landmarks with a clear peak is 0.3000 px, the budget 0.2"),
            (
                "largest_px",
                "largest_px",
                "largest distance of a landmark with a clear peak is 0.3000 px, the budget 0.2",
            ),
            ("nme_change_percent", "nme_percent", "the change of the NME is 0.3000 points, the budget 0.2"),
            ("score", "score", "the difference of 99 % of the scores is 0.3000, the budget 0.2"),
            ("covariance", "covariance", "99 % of the covariances is 0.3000, the budget 0.2"),
        ],
    )
    def test_each_is_judged_and_named(self, field: str, limit: str, words: str) -> None:
        budget = dataclasses.replace(ANYTHING, **{limit: 0.2})
        for value in (0.3, -0.3) if field == "nme_change_percent" else (0.3,):
            assert words in dataclasses.replace(NONE, **{field: value}).excess(budget)
        assert dataclasses.replace(NONE, **{field: 0.2}).excess(budget) == ""
        assert dataclasses.replace(NONE, **{field: float("nan")}).excess(budget) != ""

    def test_one_can_be_given_alone(
        self, checkpoint: Path, tmp_path: Path, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
    ) -> None:
        options = [f"--checkpoint={checkpoint}", f"--output={tmp_path / 'm.onnx'}", "--licence=x", "--allow-untrained"]
        assert command(*options, "--budget.largest_px=0.05") == 0
        assert command(*options, "--budget.p50-px=-1") == 2
        assert "the distance of half of the landmarks is" in capsys.readouterr().err


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def run(*options: str) -> int:
        monkeypatch.setattr("sys.argv", ["export.run", *options])
        return main()

    return run


class TestMeanFace:
    def test_is_the_mean_of_the_training_faces(self, checkpoint: Path, w300: Path) -> None:
        """By a loop over the labels' files themselves."""
        faces: list[Any] = []
        for path in sorted(w300.rglob("*.pts")):
            if path.stem in ("face0", "face1", "face2"):
                points = read_pts(path)
                low, high = points.min(0), points.max(0)
                side = 1.25 * max(high - low)
                faces.append(((points - (low + high) / 2) / side + 0.5) * 32 - 0.5)
        assert len(faces) == 9
        np.testing.assert_allclose(mean_face_px(load(checkpoint)[1]), np.mean(faces, 0), atol=1e-6)

    def test_a_model_that_is_worse_is_refused(
        self, checkpoint: Path, tmp_path: Path, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Two epochs of nine faces teach nothing."""
        assert command(f"--checkpoint={checkpoint}", f"--output={tmp_path / 'm.onnx'}", "--licence=x") == 2
        complaint = capsys.readouterr().err
        assert f"{checkpoint}: expected a trained model, on its validation faces it has an NME of " in complaint
        assert "the mean face alone has " in complaint and complaint.count("\n") == 1
        assert not list(tmp_path.iterdir())

    def test_one_that_is_better_is_not(self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("export.run.mean_face_px", lambda data: np.zeros((68, 2)))
        export(checkpoint, tmp_path / "m.onnx", "x")
        assert (tmp_path / "m.onnx").is_file()
