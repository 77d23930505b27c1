"""INT8: the net's weights and activations as Q/DQ pairs in the ONNX file, with scales from training faces.

Post-training quantisation (Jacob et al., CVPR 2018; Krishnamoorthi, 2018) with ONNX Runtime's tool. As in every
precision, normalisation and decoding are in float32. So are the strided convolutions at the input and the last
convolution, whose logits the decoding compares: in int8 these few would lose most of the accuracy for little time.
Of the others so many stay in float32 as the budget asks for, those first that move the points most for the time that
they take (mixed precision by measured sensitivity, as in HAWQ; Dong et al., ICCV 2019).
"""

from __future__ import annotations

import bisect
import math
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from tracker.engines.spec import INPUT
from tracker.errors import TrackerError
from tracker.system.onnx_runtime import import_onnxruntime
from train.loaders import AugmentedCrops, Crops, FaceData

FACES = 128  # from 16 to 512, the error differs no more than between two choices of faces
FEW = 32  # of them are enough to compare parts of the net
TRIED = 48  # validation faces whose points say what stays in float32
MARGIN = 0.9  # of the budget, for the other validation faces
SUM = 8  # multiply-accumulates of a convolution take about as long as reading and adding two numbers
_PASSED = ("Relu", "MaxPool", "Resize")  # computed in int8 between two nodes in int8
_BATCH = 16
_NET = "/net/"  # the prefix of the nodes of LandmarkGraph.net


@dataclass(frozen=True)
class Target:
    """What an engine requires of int8.

    Attributes:
        operators: whose inputs are quantised.
        symmetric: int8 activations with zero points of 0; else uint8 with any zero point, which has twice the
            resolution after a ReLU.
        biases: whether biases are int32.
    """

    operators: tuple[str, ...]
    symmetric: bool
    biases: bool


CPU = Target(("Conv", "Add"), symmetric=False, biases=True)  # ONNX Runtime is slow with signed activations
TENSORRT = Target(("Conv",), symmetric=True, biases=False)  # float32 sums make up for the loss through symmetry


@dataclass(frozen=True)
class Quantisation:
    """How to quantise a model.

    Attributes:
        crops: (N, S, S, 3) uint8 RGB, whose activations set the scales.
        target: the engine that will run it.
        views: (N, S, S, 3) uint8 RGB, whose points say what stays in float32; None if only the ends of the net do.
    """

    crops: NDArray[np.uint8]
    target: Target
    views: NDArray[np.uint8] | None = None


def quantisation_for(data: FaceData, to: str) -> Quantisation:
    """Prepare the quantisation on training faces.

    Args:
        data: of the checkpoint.
        to: the target of export.run, such as "onnx" or "tensorrt".

    Raises:
        TrackerError: if the faces cannot be read.
    """
    faces = data.validation  # a net is surer of the faces that it was trained on, so they move less
    drawn = np.random.default_rng(0).permutation(len(faces))[:TRIED]
    views = np.stack([faces[int(i)].crops.numpy() for i in drawn])
    return Quantisation(calibration_crops(data), TENSORRT if to.startswith("tensorrt") else CPU, views)


def calibration_faces(data: FaceData, seed: int = 0) -> AugmentedCrops:
    """Choose FACES training faces, or all if there are fewer, augmented as in training; no validation faces.

    Args:
        data: of the checkpoint.
        seed: of the choice and the augmentation.

    Raises:
        TrackerError: if the faces cannot be read.
    """
    try:
        training, _ = data.source.faces()
        drawn = np.random.default_rng(seed).permutation(len(training))[:FACES]
        crops = Crops([training[i] for i in drawn], data.size, on_invalid=data.source.on_invalid)
    except ValueError as error:
        raise TrackerError(f"int8 is calibrated on the checkpoint's own training faces: {error}") from None
    return AugmentedCrops(crops, data.augmentation, seed)


def calibration_crops(data: FaceData) -> NDArray[np.uint8]:
    """Return crops (FACES, S, S, 3) of calibration_faces; if there are fewer faces, they are used repeatedly.

    Args:
        data: of the checkpoint.

    Raises:
        TrackerError: if the faces cannot be read.
    """
    faces = calibration_faces(data)
    places = [divmod(view, len(faces)) for view in range(FACES)]
    return np.concatenate([faces[place].crops.numpy() for place in places])


def quantise(path: Path, quantisation: Quantisation, p99_px: float = math.inf) -> None:
    """Quantise the net of an .onnx file of a LandmarkGraph in place; its metadata is lost.

    Weights: int8, symmetric, with a scale per output channel. Activations: a scale per tensor, from the minimum and
    the maximum over the crops.

    Args:
        path: of the file.
        quantisation: crops and target.
        p99_px: how far 99 % of the landmarks of the views may lie from those of float32.

    Raises:
        OSError: if the file cannot be read or written.
    """
    ends = [*_kept_in_float(onnx.load(str(path)))]
    _quantise(path, path, quantisation, [*ends, *_chosen(path, quantisation, ends, MARGIN * p99_px)])


def convolutions(path: Path) -> tuple[int, int]:
    """Return how many convolutions of an .onnx file are in int8, and how many it has.

    Args:
        path: of the file.
    """
    nodes = onnx.load(str(path)).graph.node
    restored = {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}
    found = [node for node in nodes if node.op_type == "Conv"]
    return sum(node.input[0] in restored for node in found), len(found)


def _chosen(path: Path, quantisation: Quantisation, ends: list[str], within_px: float) -> list[str]:
    """The names of the nodes that stay in float32 besides the ends, so that the points of the views are near enough."""
    views = quantisation.views
    if views is None or not math.isfinite(within_px):
        return []
    expected = _points(path, views)
    few = replace(quantisation, crops=quantisation.crops[:FEW])
    candidates = _Candidates(onnx.load(str(path)), quantisation.target, {*ends})

    with tempfile.TemporaryDirectory() as folder:

        def errors_px(in_float: Iterable[str], using: Quantisation) -> NDArray[np.float64]:
            tried = Path(folder) / "tried.onnx"
            _quantise(path, tried, using, [*ends, *in_float])
            return np.asarray(np.linalg.norm(_points(tried, views) - expected, axis=-1))

        alone = {name: errors_px(candidates.names - {name}, few) for name in sorted(candidates.names)}
        order = candidates.order({name: float(np.square(errors).mean()) for name, errors in alone.items()})
        enough = bisect.bisect_left(
            range(len(order)),
            True,
            key=lambda count: bool(np.quantile(errors_px(order[:count], quantisation), 0.99) <= within_px),
        )
    return order[:enough]


def _points(path: Path, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The points (N, K, 2) that a model answers, in pixels of the crop."""
    session = import_onnxruntime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    points: NDArray[np.float64] = np.array(session.run(["points_px"], {INPUT: crops})[0], np.float64)
    return points


class _Candidates:
    """The nodes that may be in int8.

    Args:
        model: in float32.
        target: the engine that will run it.
        ends: the names of the nodes that stay in float32.

    Attributes:
        names: of the nodes.
    """

    def __init__(self, model: onnx.ModelProto, target: Target, ends: set[str]) -> None:
        nodes = {
            node.name: node for node in model.graph.node if node.op_type in target.operators and node.name not in ends
        }
        self.names = {*nodes}
        self._sums_in_float = not target.biases
        producers = {name: node for node in model.graph.node for name in node.output}
        self._readers: dict[str, set[str]] = {name: set() for name in nodes}
        for node in nodes.values():
            for name in node.input:
                source = producers.get(name)
                while source is not None and source.op_type in _PASSED:
                    source = producers.get(source.input[0])
                if source is not None and source.name in nodes:
                    self._readers[source.name].add(node.name)
        shapes = {
            value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
            for value in onnx.shape_inference.infer_shapes(model).graph.value_info
        }
        weights = {tensor.name: math.prod(tensor.dims) for tensor in model.graph.initializer}
        self._macs: dict[str, float] = {}
        for name, node in nodes.items():
            channels, *sides = shapes[node.output[0]][1:]
            of_a_cell = weights[node.input[1]] if node.op_type == "Conv" else SUM * channels
            self._macs[name] = float(math.prod(sides) * of_a_cell)

    def macs(self, in_float: Collection[str] = ()) -> float:
        """Return the multiply-accumulates in int8 of a face.

        Where biases are int32, so are the sums, and a node computes in int8 only if one that reads it does.

        Args:
            in_float: the names of the nodes in float32.
        """
        return sum(
            macs
            for name, macs in self._macs.items()
            if name not in in_float and (self._sums_in_float or self._readers[name].difference(in_float))
        )

    def order(self, losses: Mapping[str, float]) -> list[str]:
        """Return the names, those first that lose most for the multiply-accumulates that int8 would have of them.

        Args:
            losses: the mean squared error of the points by the one node that is in int8.
        """
        found: dict[str, None] = {}
        rest, least = {*self.names}, self.macs() / 1000
        while rest:
            now = self.macs(found)
            best = max(sorted(rest), key=lambda name: losses[name] / (now - self.macs({*found, name}) + least))
            rest.remove(best)
            found[best] = None
        return [*found]


def _quantise(source: Path, output: Path, quantisation: Quantisation, in_float: list[str]) -> None:
    """Write the file with all nodes in int8 but those that are named."""
    import_onnxruntime()
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    target = quantisation.target
    kind = QuantType.QInt8 if target.symmetric else QuantType.QUInt8
    with tempfile.TemporaryDirectory() as folder:
        prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "quantised.onnx"
        quant_pre_process(source, prepared, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantised,
            _Reader(quantisation.crops),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(target.operators),
            nodes_to_exclude=in_float,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=kind,
            extra_options={
                "ActivationSymmetric": target.symmetric,
                "QuantizeBias": target.biases,
                "OpTypesToExcludeOutputQuantization": list(target.operators),  # it would come before the ReLU
            },
        )
        output.write_bytes(quantised.read_bytes())


def _kept_in_float(model: onnx.ModelProto) -> Iterator[str]:
    """Yield the names of the nodes that are not quantised."""
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    for node in model.graph.node:
        strides = next((list(a.ints) for a in node.attribute if a.name == "strides"), [1])
        shrinks = node.op_type == "Conv" and max(strides) > 1
        if not node.name.startswith(_NET) or shrinks or node in convolutions[-1:]:
            yield node.name


class _Reader:
    """Gives batches of crops by the protocol of ONNX Runtime's CalibrationDataReader."""

    def __init__(self, crops: NDArray[np.uint8]) -> None:
        self.batches = iter([crops[start : start + _BATCH] for start in range(0, len(crops), _BATCH)])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next batch by input name; None at the end."""
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}
