"""python -m export.run --checkpoint runs/edge68/best.ckpt --output model.onnx"""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, Literal

import torch

from export.calibration import calibration_of, coverage
from export.graph import LandmarkGraph, Precision
from export.lint import lint
from export.onnx import write_onnx
from export.presence import face_scores, fit_presence, views_without_face
from export.quantize import quantisation_for
from export.tensorrt import cached_engine, engine_key
from export.triton import write_repository
from export.verify import BUDGETS, Budget, Reference
from tracker.cli import run_command
from tracker.engines.spec import ModelSpec
from tracker.errors import TrackerError
from train.codecs.reading import HEAD_DECODERS, ReadingName
from train.data import AugmentedCrops, FaceData
from train.task import LandmarkTask

DRAWS = 8  # augmented views of each validation face: with one, a single odd view would set the threshold


def export(
    checkpoint: Path,
    output: Path,
    licence: str,
    precision: Precision = "fp32",
    decoder: ReadingName | None = None,
    budget: Budget | None = None,
    to: Literal["onnx", "tensorrt", "tensorrt_rtx", "triton"] = "onnx",
) -> None:
    """Write a checkpoint as an ONNX engine with its decoding inside, verified on its own validation faces.

    Args:
        checkpoint: what train.run wrote.
        output: the .onnx file to write.
        licence: what may be done with the model; carried in the file.
        precision: of the net. Pixels are normalised and maps decoded in float32 in any case. int8 is calibrated on
            training faces, for TensorRT where the engine is for it, else for CPUs.
        decoder: how maps become points; the objective's own where none is named. The temperature of the maps is
            fitted on the validation faces where they were learned as a distribution, and so are the covariances.
        budget: the largest differences from torch that are accepted; export.verify has those of each precision.
        to: onnx, or what is made of the .onnx file besides: an engine of TensorRT or TensorRT-RTX in the folder engines
            beside it, or a model of its name in triton_models, a model repository of Triton Inference Server beside it.
    """
    task, data, config = load(checkpoint)
    if decoder in HEAD_DECODERS and decoder != task.objective.head:
        raise TrackerError(
            f"{checkpoint}: decoder {decoder} reads a head that its net does not have; leave --decoder out"
        )
    faces = data.validation.together()
    calibration = calibration_of(task, faces, decoder)
    graph = LandmarkGraph(task, "fp32", decoder, calibration).eval()
    reference = Reference(graph, faces.crops, faces.points_px.double().numpy(), task.scheme)
    presence, told = presence_of(graph, data)
    window = min(task.objective.window, task.size // task.stride)
    spec = ModelSpec(
        size=task.size,
        scheme=task.scheme.name,
        presence=round(presence, 4),
        decode=f"{graph.decoder}; softmax over the map, {window} x {window} cells around its peak; "
        f"of covariances {calibration.spread.label_px2:g} px2 are the labels' own and taken off, "
        f"{calibration.spread.floor_px2:g} px2 are left at least",
        temperature=calibration.temperature,
        licence=licence,
        config=config,
        commit=_commit(),
    )
    engine = LandmarkGraph(task, precision, decoder, calibration)
    quantisation = quantisation_for(data, to) if precision == "int8" else None
    difference = write_onnx(engine, spec, reference, output, budget or BUDGETS[precision], quantisation)
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB, {precision}")
    print(f"temperature {calibration.temperature:g}, {graph.decoder}")
    print(coverage(graph, faces))
    print(told)
    print(
        f"against torch on {difference.faces} faces: mean {difference.mean_px:.1e} px, "
        f"p99 {difference.p99_px:.1e} px, largest {difference.largest_px:.1e} px; "
        f"NME {difference.nme_percent:.3f} %, {difference.nme_change_percent:+.4f}"
    )
    if precision == "int8" and not to.startswith("tensorrt"):
        print(f"faster or slower than fp32, as the CPU has it: `python -m benchmarks.int8 --checkpoint {checkpoint}`")
    for finding in lint(output):
        print(f"{output}: {finding}")
    if to == "triton":
        print(f"written: {write_repository(output, output.parent / 'triton_models', output.stem)}")
    elif to != "onnx":
        plan = cached_engine(output, output.parent / "engines", engine_key(output, to, precision))
        print(f"{plan}: {plan.stat().st_size / 1e6:.2f} MB, built, not run: engines are verified as ONNX")


def presence_of(graph: LandmarkGraph, data: FaceData) -> tuple[float, str]:
    """The score from which on a crop is taken to show a face, and what it does to the validation faces, in words."""
    augmented = AugmentedCrops(data.validation, data.augmentation, seed=0)
    places = [(draw, i) for draw in range(DRAWS) for i in range(len(augmented))]
    faces = face_scores(graph, torch.cat([augmented[place].crops for place in places]))
    others = face_scores(graph, views_without_face(data.validation.samples, data.size))
    presence = fit_presence(faces, others)
    kept, refused = 100 * (faces >= presence).mean(), 100 * (others < presence).mean()
    return presence, (
        f"presence from {presence:.3f}: keeps {kept:.1f} % of faces, refuses {refused:.1f} % of views without one"
    )


def load(checkpoint: Path) -> tuple[LandmarkTask, FaceData, dict[str, Any]]:
    """The averaged weights of a checkpoint, its data, and its configuration. Raises TrackerError when it is none."""
    try:
        raw = torch.load(checkpoint, map_location="cpu", weights_only=True)
        config = {
            "model": raw["hyper_parameters"],
            "data": raw["datamodule_hyper_parameters"],
            "epoch": raw["epoch"],
        }
    except OSError as error:
        raise TrackerError(f"{checkpoint}: cannot read the checkpoint: {error.strerror}") from None
    except (EOFError, KeyError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError):
        raise TrackerError(f"{checkpoint}: expected a checkpoint of train.run, this is none") from None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Attribute 'net' is an instance")  # saved as its configuration
        task = LandmarkTask.load_from_checkpoint(checkpoint, map_location="cpu")
    data = FaceData.load_from_checkpoint(checkpoint)
    try:
        data.setup("validate")
    except ValueError as error:
        raise TrackerError(f"{checkpoint} is verified on its own validation faces: {error}") from None
    return task.eval(), data, config


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return done.stdout.strip() or "unknown"


def main() -> int:
    """Run the command line."""
    return run_command(export, "export.run")


if __name__ == "__main__":
    sys.exit(main())
