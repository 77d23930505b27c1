"""INT8: the net's weights and activations as Q/DQ pairs in the ONNX file, with scales from training faces.

Post-training quantisation (Jacob et al., CVPR 2018; Krishnamoorthi, 2018) with ONNX Runtime's tool, after cross-layer
equalisation (export.int8.equalise), with weights rounded by GPTQ (export.int8.weights). As in every
precision, normalisation and decoding are in float32. So are strided convolutions and the last ones, whose logits are
decoded: in int8 these few would lose most of the accuracy for little time. Of the rest, as few as the budget allows
stay in float32, chosen by error per time saved (export.int8.choice).
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from export.int8.choice import Candidates, Losses, choose
from export.int8.cpu import finish, in_int8
from export.int8.equalise import equalise
from export.int8.nodes import Nodes, attributes, batches, copied, shapes
from export.int8.rounding import measure_ranges, round_tensor
from export.int8.weights import replace_weights, restored_weights, round_weights
from tracker.engines.spec import INPUT
from tracker.errors import TrackerError
from tracker.system.onnx_runtime import import_onnxruntime
from train.loaders import AugmentedCrops, Crops, FaceData

FACES = 128  # from 16 to 512, the error differs no more than between two choices of faces
TRIED = 128  # validation faces whose points say what stays in float32
LEAST_FREE_BYTES = 16 << 20  # with less, a failure is taken for one of a full disk
_NET = "/net/"  # the prefix of the nodes of LandmarkGraph.net


@dataclass(frozen=True)
class Target:
    """The form of int8 that an inference engine requires.

    Attributes:
        operators: whose inputs are quantised.
        symmetric: int8 activations with zero points of 0; else uint8 with any zero point, which has twice the
            resolution after a ReLU.
        biases: whether biases are int32; a node then computes in int8 only if its activation is rounded.
    """

    operators: tuple[str, ...]
    symmetric: bool
    biases: bool


CPU = Target(("Conv", "Add"), symmetric=False, biases=True)  # ONNX Runtime is slow with signed activations
TENSORRT = Target(
    ("Conv",), symmetric=True, biases=False
)  # sums stay in float32: symmetric int8 has half the resolution


@dataclass(frozen=True)
class Quantisation:
    """The data and the target of a quantisation.

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


def convolutions(path: Path) -> tuple[int, int]:
    """Return how many convolutions of an .onnx file are in int8, and how many it has.

    Args:
        path: of the file.
    """
    nodes = Nodes(onnx.load(str(path)))
    found = [node for node in nodes.all if node.op_type == "Conv"]
    return sum(in_int8(nodes, node) for node in found), len(found)


def points(model: onnx.ModelProto, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the points (N, K, 2) that a model computes, in pixels of the crop.

    Args:
        model: a LandmarkGraph, in any precision.
        crops: (N, S, S, 3) uint8 RGB.
    """
    session = import_onnxruntime().InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: NDArray[np.float64] = np.concatenate(
        [session.run(["points_px"], {INPUT: batch})[0].astype(np.float64) for batch in batches(crops)]
    )
    return found


class Quantiser:
    """Quantises the net of an .onnx file of a LandmarkGraph in several ways; what they share is measured once.

    Weights: int8, symmetric, with a scale per output channel. Activations: a scale per tensor, from the minimum and
    the maximum over the crops.

    Args:
        path: of the file in float32, which stays as it is.
        quantisation: crops and target.

    Attributes:
        candidates: the nodes that may be in int8.

    Raises:
        OSError: if the file cannot be read.
    """

    def __init__(self, path: Path, quantisation: Quantisation) -> None:
        self._crops, self._target, self._views = quantisation.crops, quantisation.target, quantisation.views
        self._model = _prepared(path)
        self._expected_px = None if self._views is None else points(self._model, self._views)
        self._ends = [*_kept_in_float(self._model)]
        maps = {name for name, shape in shapes(self._model).items() if len(shape) == 4}
        nodes = [node for node in self._model.graph.node if {*node.output} <= maps]
        names = {node.name for node in nodes if node.op_type in self._target.operators}
        self.candidates = Candidates(self._model, names.difference(self._ends), self._target.biases)
        equalise(self._model, self._crops)
        whole = self._static([])
        self._rounded = round_weights(self._model, whole, self._crops)
        replace_weights(whole, self._rounded)
        self._restored = restored_weights(whole)
        self._ranges = measure_ranges(self._model, self.candidates.activations.values(), self._crops)

    def within(self, p99_px: float = math.inf) -> onnx.ModelProto:
        """Return the model with as much in int8 as a budget allows, without metadata.

        Args:
            p99_px: how far 99 % of the landmarks of the views may lie from those of float32.
        """
        if self._views is None or not math.isfinite(p99_px):
            return self.quantised([])
        return self.quantised(choose(self.candidates, self._losses, self._errors_px, p99_px))

    @cached_property
    def _losses(self) -> Losses:
        return self.losses(lambda model: float(np.square(self._distances_px(model)).mean()))

    def _errors_px(self, in_float: Collection[str]) -> NDArray[np.float64]:
        return self._distances_px(self.quantised(in_float))

    def _distances_px(self, model: onnx.ModelProto) -> NDArray[np.float64]:
        assert self._views is not None and self._expected_px is not None
        return np.asarray(np.linalg.norm(points(model, self._views) - self._expected_px, axis=-1))

    def quantised(self, in_float: Collection[str]) -> onnx.ModelProto:
        """Return the model with all nodes in int8 but the ends of the net and some others.

        Args:
            in_float: the names of the others.
        """
        model = self._static(in_float)
        replace_weights(model, self._rounded)
        if self._target.biases:
            finish(model, self._ranges)
        return model

    def losses(self, loss: Callable[[onnx.ModelProto], float]) -> Losses:
        """Measure what rounding costs, of one tensor and one convolution after the other.

        Args:
            loss: of a model.
        """
        activations = {}
        for name, tensor in self.candidates.activations.items():
            changed = copied(self._model)
            round_tensor(changed, tensor, *self._ranges[tensor], self._target.symmetric)
            activations[name] = loss(changed)
        weights = {}
        for node in self._model.graph.node:
            if node.name in self.candidates.names and node.op_type == "Conv":
                changed = copied(self._model)
                for tensor in changed.graph.initializer:
                    if tensor.name == node.input[1]:
                        tensor.CopyFrom(numpy_helper.from_array(self._restored[tensor.name], tensor.name))
                weights[node.name] = loss(changed)
        return Losses(activations, weights)

    def _static(self, in_float: Collection[str]) -> onnx.ModelProto:
        """The model as ONNX Runtime's tool quantises it; TrackerError if a temporary file cannot be written."""
        import_onnxruntime()
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

        kind = QuantType.QInt8 if self._target.symmetric else QuantType.QUInt8
        with _temporary("quantised.onnx") as output:
            quantize_static(
                copied(self._model),
                output,
                _Reader(self._crops),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(self._target.operators),
                nodes_to_exclude=[*self._ends, *in_float],
                per_channel=True,
                weight_type=QuantType.QInt8,
                activation_type=kind,
                extra_options={
                    "ActivationSymmetric": self._target.symmetric,
                    "QuantizeBias": self._target.biases,
                    "OpTypesToExcludeOutputQuantization": list(self._target.operators),  # it would come before the ReLU
                },
            )
            return onnx.load(str(output))


@contextmanager
def _temporary(name: str) -> Iterator[Path]:
    """Give the name of a temporary file for ONNX Runtime's tools; TrackerError if it cannot be written.

    On a full disk they leave a file that is cut off, or raise errors of many kinds, so the free space is checked.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            try:
                yield Path(folder) / name
            except Exception as error:
                if shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
                raise
    except OSError as error:
        raise TrackerError(
            f"temporary files cannot be written in {tempfile.gettempdir()}: {error.strerror}; name a folder with free "
            "space in $TMPDIR"
        ) from None


def _prepared(path: Path) -> onnx.ModelProto:
    """The model of a file with the shapes of its tensors; TrackerError if a temporary file cannot be written."""
    import_onnxruntime()
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with _temporary("prepared.onnx") as output:
        quant_pre_process(path, output, skip_optimization=True, skip_symbolic_shape=True)
        model = onnx.load(str(output))
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "Identity" and node.input[0] in weights]:
        copy = onnx.TensorProto()  # the exporter keeps equal weights once
        copy.CopyFrom(weights[node.input[0]])
        copy.name = node.output[0]
        model.graph.initializer.append(copy)
        model.graph.node.remove(node)
    return model


def _kept_in_float(model: onnx.ModelProto) -> Iterator[str]:
    """Yield the names of the nodes that are not quantised."""
    nodes = Nodes(model)
    for node in nodes.all:
        shrinks = max(attributes(node).get("strides", [1])) > 1
        if not node.name.startswith(_NET) or (node.op_type == "Conv" and (shrinks or _is_last(nodes, node))):
            yield node.name


def _is_last(nodes: Nodes, convolution: onnx.NodeProto) -> bool:
    """Tell whether a path leads from a convolution to an output of the net without another convolution."""
    left = [*convolution.output]
    while left:
        readers = nodes.readers(left.pop())
        if not readers or any(not reader.name.startswith(_NET) for reader in readers):
            return True
        left += [name for reader in readers if reader.op_type != "Conv" for name in reader.output]
    return False


class _Reader:
    """Gives batches of crops by the protocol of ONNX Runtime's CalibrationDataReader."""

    def __init__(self, crops: NDArray[np.uint8]) -> None:
        self.batches = iter(batches(crops))

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next batch by input name; None at the end."""
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}
