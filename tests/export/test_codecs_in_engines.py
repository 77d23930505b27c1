"""A net with each of the papers' codecs behind it: the graph answers as torch does, and TensorRT-RTX builds it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn

from export.lint import lint
from export.tensorrt import build, engine_key
from tracker.engines.spec import INPUT, OUTPUTS, ModelSpec
from train.codecs import hih, offsets, subpixel
from train.task import normalise

CELLS, STRIDE = 16, 4
SIZE = CELLS * STRIDE


class Net(nn.Module):
    """Crops (N, S, S, 3) uint8 to two 1x1 heads of an average over cells, in half precision if so asked, and a codec.

    heads: channels of the heads, the first giving the maps; the last is averaged down to side x side.
    """

    def __init__(self, codec: Callable[..., Any], more: int, side: int, half: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.codec, self.dtype = codec, torch.float16 if half else torch.float32
        self.stem = nn.Conv2d(3, 8, STRIDE, STRIDE).to(self.dtype)
        self.maps, self.more = (nn.Conv2d(8, channels, 1).to(self.dtype) for channels in (68, more or 1))
        self.pool = nn.AvgPool2d(CELLS // side)
        self.has_more = more > 0

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.stem(normalise(crops).to(self.dtype))
        maps = 2 * self.maps(features).float()
        answer: tuple[Tensor, Tensor, Tensor]
        answer = self.codec(maps, self.second(features), STRIDE) if self.has_more else self.codec(maps, STRIDE)
        return answer

    def second(self, features: Tensor) -> Tensor:
        maps: Tensor = self.pool(self.more(features)).float()
        return maps.flatten(2).unflatten(1, (68, 2))[..., 0] if maps.shape[-1] == 1 else maps


NETS = {  # codec, channels and side of the second head
    "hih": (hih.decode, 68, 8),
    "vector": (offsets.decode_vector, 136, 1),
    "map": (offsets.decode_map, 2, CELLS),
    "subpixel": (subpixel.decode, 0, CELLS),
}
SPEC = ModelSpec(
    size=SIZE, scheme="ibug68", presence=0.5, decode="none", licence="drawn", config={}, commit="0"
).to_metadata()


def exported(path: Path, net: Net) -> Path:
    names = [INPUT, *OUTPUTS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the other exporter
        torch.onnx.export(
            net.eval(),
            (torch.zeros(2, SIZE, SIZE, 3, dtype=torch.uint8),),
            str(path),
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: "faces"} for name in names},
            opset_version=17,
            dynamo=False,
        )
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, SPEC)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize("name", NETS)
class TestExport:
    def test_the_graph_answers_as_torch_does(self, name: str, half: bool, tmp_path: Path) -> None:
        """Traced with two faces, run with one and five; clean by every rule; two ArgMax for each map that is read."""
        net = Net(*NETS[name], half)
        path = exported(tmp_path / "net.onnx", net)
        assert lint(path) == []
        operations = [node.op_type for node in onnx.load(str(path)).graph.node]
        assert operations.count("ArgMax") == (4 if name == "hih" else 2)
        assert not {"NonZero", "ScatterND", "GatherND", "If", "Loop"} & set(operations)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for faces in (1, 5):
            generator = torch.Generator().manual_seed(faces)
            crops = torch.randint(0, 256, (faces, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator)
            points, scores, covariances = session.run(None, {INPUT: crops.numpy()})
            with torch.no_grad():
                expected = net(crops)
            agree = np.abs(points - expected[0].numpy()).max(-1) < 0.02
            assert agree.mean() > (0.95 if half else 0.999)  # noise has peaks that all but tie
            assert_allclose(scores[agree], expected[1].numpy()[agree], atol=5e-3)
            assert covariances.dtype == np.float32

    def test_tensorrt_rtx_builds_it(self, name: str, half: bool, tmp_path: Path) -> None:
        pytest.importorskip(
            "tensorrt_rtx", reason="needs TensorRT-RTX: pip install tensorrt-rtx-cu13", exc_type=ImportError
        )
        path = exported(tmp_path / "net.onnx", Net(*NETS[name], half))
        assert len(build(path, engine_key(path, "tensorrt_rtx", "fp16" if half else "fp32"))) > 10_000
