"""INT8: the net's weights and activations as Q/DQ pairs in the ONNX file, with scales from training faces.

Post-training quantisation (Jacob et al., CVPR 2018; Krishnamoorthi, 2018) with ONNX Runtime's tool. As in every
precision, normalisation and decoding are in float32. So are the strided convolutions at the input and the last
convolution, whose logits the decoding compares: in int8 these few would lose most of the accuracy for little time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from tracker.engines.spec import INPUT
from tracker.errors import TrackerError
from tracker.system.onnx_runtime import import_onnxruntime
from train.loaders import AugmentedCrops, Crops, FaceData

FACES = 128  # from 16 to 512, the error differs no more than between two choices of faces
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
    """

    crops: NDArray[np.uint8]
    target: Target


def quantisation_for(data: FaceData, to: str) -> Quantisation:
    """Prepare the quantisation on training faces.

    Args:
        data: of the checkpoint.
        to: the target of export.run, such as "onnx" or "tensorrt".

    Raises:
        TrackerError: if the faces cannot be read.
    """
    return Quantisation(calibration_crops(data), TENSORRT if to.startswith("tensorrt") else CPU)


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


def quantise(path: Path, quantisation: Quantisation) -> None:
    """Quantise the net of an .onnx file of a LandmarkGraph in place; its metadata is lost.

    Weights: int8, symmetric, with a scale per output channel. Activations: a scale per tensor, from the minimum and
    the maximum over the crops.

    Args:
        path: of the file.
        quantisation: crops and target.

    Raises:
        OSError: if the file cannot be read or written.
    """
    import_onnxruntime()
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    target = quantisation.target
    kind = QuantType.QInt8 if target.symmetric else QuantType.QUInt8
    with tempfile.TemporaryDirectory() as folder:
        prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "quantised.onnx"
        quant_pre_process(path, prepared, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantised,
            _Reader(quantisation.crops),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(target.operators),
            nodes_to_exclude=list(_kept_in_float(onnx.load(str(path)))),
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=kind,
            extra_options={
                "ActivationSymmetric": target.symmetric,
                "QuantizeBias": target.biases,
                "OpTypesToExcludeOutputQuantization": list(target.operators),  # it would come before the ReLU
            },
        )
        path.write_bytes(quantised.read_bytes())


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
