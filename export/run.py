"""`landmarks export`, python -m export.run: writes a trained model as an ONNX file or a TensorRT engine.

python -m export.run --checkpoint runs/edge68/best.ckpt --output model.onnx
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from landmark_tracker import refuse_shadowed

refuse_shadowed(__name__, "export.run")

from train.extras import needs_extra  # noqa: E402

with needs_extra(__name__, "export.run", "export", "cv2", "torch", "lightning", "onnx", "onnxruntime"):
    import torch

    from export.calibration.fit import calibration_of, coverage
    from export.calibration.presence import face_scores, fit_presence, views_upside_down, views_without_face
    from export.calibration.visibility import calibrate_visibility
    from export.graph import LandmarkGraph, Precision
    from export.gstreamer import info_path, whole_model_info
    from export.int8.quantise import convolutions, quantisation_for
    from export.lint import lint
    from export.mean_face import mean_face_px
    from export.onnx import write_onnx
    from export.outputs import check_output
    from export.provenance import read_provenance
    from export.runtimes.write import TARGETS, RuntimeName, check_runtime, write_runtime
    from export.tensorrt import cached_engine, engine_key
    from export.triton import check_name, write_repository
    from export.verify import Budget, Reference
    from tracker.cli.command import run_command
    from tracker.cli.config_files import files_read
    from tracker.engines.spec import ModelSpec
    from tracker.engines.tensorrt.plan import load_tensorrt
    from tracker.engines.triton import import_client
    from tracker.errors import TrackerError
    from tracker.system.commit import commit
    from train.checkpoints import build, load_weights, read_checkpoint
    from train.codecs.reading import HEAD_DECODERS, ReadingName
    from train.exported import Exported, expect_start, find_start, is_exported, read_exported
    from train.loaders import AugmentedCrops, FaceData
    from train.packaged_configs import find_config, with_found_configs
    from train.task import LandmarkTask

DRAWS = 8  # augmentations of each validation face: with one, a single outlier would set the threshold


def export(
    checkpoint: Path,
    output: Path,
    licence: str,
    precision: Precision = "fp32",
    decoder: ReadingName | None = None,
    budget: Budget = Budget(),
    to: Literal["onnx", "tensorrt", "tensorrt_rtx", "triton", RuntimeName] = "onnx",
    trust: str = "",
    allow_untrained: bool = False,
    provenance: Path | None = None,
    deviation_scale: float | None = None,
) -> None:
    """Write a checkpoint as an ONNX model that includes its decoding, verified on its own validation faces.

    OUTPUT.modelinfo is written, too, because GStreamer's onnxinference needs it.

    Args:
        checkpoint: a file that train.run wrote; or an exported model in FP32 or FP16, or the name of a packaged one, if
            its training faces are where they were.
        output: the .onnx file to write.
        licence: the terms of use of the model; stored in the file.
        precision: number format of the net. Pixels are always normalised and heatmaps decoded in float32. int8 is
            calibrated on training faces, for TensorRT if an engine is built, otherwise for CPUs.
        decoder: how points are computed from the heatmaps; by default that of the exported model, or of the objective.
            The covariances are calibrated on the validation faces, and so is the temperature if the heatmaps were
            trained as distributions.
        budget: the largest allowed difference between the model and PyTorch; by default that of the precision.
        to: onnx, or another format to make in addition. tensorrt and tensorrt_rtx build an engine in the folder engines
            beside the .onnx file. triton adds the model to triton_models, a model repository of Triton Inference
            Server in the same folder.
            litert, ncnn, coreml (for phones and boards) and heatmaps (ONNX that ends before the decoding, for
            accelerators) write their files beside it, see docs/guides/phones.md.
        trust: packages, separated by commas, whose classes a checkpoint may name besides those of train. Their code
            is imported and run.
        allow_untrained: also write a model that is no better than the mean face on its validation faces.
        provenance: a YAML file of texts by name (pictures, labels, teacher, their licences); stored in the file, and
            printed by tracker.doctor. By default that of the exported model.
        deviation_scale: factor on the deviations that the model states of its points, after they were fitted to its
            errors on the validation faces. Above 1 if the labels of these faces have errors of their own, as those of
            a teacher; `python -m benchmarks.model_errors` measures it on faces labelled by hand. By default that of the
            exported model, or 1.

    Raises:
        TrackerError: if an option or file is invalid, or the model does not agree with PyTorch.
    """
    if deviation_scale is not None and not 0.01 <= deviation_scale <= 100:
        raise TrackerError(f"--deviation-scale: expected a number from 0.01 to 100, got {deviation_scale:g}")
    if provenance is not None:
        provenance = find_config(provenance, "provenance")
    inputs = [find_start(checkpoint), *filter(None, [provenance]), *files_read()]
    check_output(output, ".onnx", inputs)
    check_output(info_path(output), ".modelinfo", inputs)
    chain = {} if provenance is None else read_provenance(provenance)
    if to == "triton":
        check_name(output.stem)
        import_client()
    elif to == "tensorrt" or to == "tensorrt_rtx":
        load_tensorrt(to)
    elif to != "onnx":
        check_runtime(to, output, precision, inputs)
    task, data, config, exported = _load(checkpoint, trust)
    if exported is not None:
        print(f"{exported.path} is exported again; its licence: {exported.spec.licence}")
        chain = chain or exported.spec.provenance
        decoder = decoder or exported.decoder
        deviation_scale = deviation_scale or exported.deviation_scale
    if decoder in HEAD_DECODERS and decoder != task.objective.head:
        raise TrackerError(
            f"{checkpoint}: decoder {decoder} reads a head that its net does not have; leave --decoder out"
        )
    try:
        engine, spec, reference, told = _prepared(
            task, data, config, precision, decoder, licence, deviation_scale or 1.0
        )
        spec = replace(spec, provenance=chain)
        if not allow_untrained:
            _expect_trained(checkpoint, reference, data)
        quantisation = quantisation_for(data, to) if precision == "int8" else None
    except (ValueError, OSError) as error:  # pictures or labels have changed
        raise TrackerError(f"{checkpoint}: its faces cannot be read: {' '.join(str(error).split())}") from None
    with whole_model_info(output, spec) as info:  # both are written or neither
        difference = write_onnx(engine, spec, reference, output, budget, quantisation)
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB, {precision}")
    print(f"{info}: for GStreamer")
    print("\n".join(told))
    print(difference)
    if precision == "int8":
        in_int8, found = convolutions(output)
        print(f"in int8 are {in_int8} of {found} convolutions, as many as the budget of 99 % of the landmarks allows")
    if precision == "int8" and not to.startswith("tensorrt"):
        print(
            "may be faster or slower than fp32 on this CPU, to measure it: "
            f"`python -m benchmarks.int8 --checkpoint {checkpoint}`"
        )
    for finding in lint(output):
        print(f"{output}: {finding}")
    if to == "triton":
        print(f"written: {write_repository(output, output.parent / 'triton_models', output.stem)}")
    elif to == "tensorrt" or to == "tensorrt_rtx":
        key = engine_key(output, to, precision)
        plan = cached_engine(output, output.parent / "engines", key)
        print(
            f"{plan}: {plan.stat().st_size / 1e6:.2f} MB, an engine of {key.builder()}, not run: what was verified is "
            "the ONNX model"
        )
    elif to != "onnx":
        whole = LandmarkGraph(task, "fp32", engine.decoder, engine.calibration).eval()
        files, difference = write_runtime(to, whole, precision, spec, reference, output, budget)
        print(f"written: {', '.join(map(str, files))}", difference, *filter(None, [TARGETS[to].note]), sep="\n")


def _prepared(
    task: LandmarkTask,
    data: FaceData,
    config: dict[str, Any],
    precision: Precision,
    decoder: ReadingName | None,
    licence: str,
    deviation_scale: float,
) -> tuple[LandmarkGraph, ModelSpec, Reference, list[str]]:
    """Return the graph to write, its spec, the reference to compare it with, and a description of the calibration."""
    faces = data.validation.together()
    calibration = calibration_of(task, faces, decoder, deviation_scale)
    graph = LandmarkGraph(task, "fp32", decoder, calibration).eval()
    reference = Reference(graph, faces.crops, faces.points_px.double().numpy(), task.scheme)
    presence, presence_told = presence_of(graph, data)
    visibility = calibrate_visibility(graph, faces)
    window = min(task.objective.window, task.size // task.stride)
    near = f"the {window} x {window} cells around its peak"
    read = f"scores of {near}, the rest of the whole map" if graph.decoder == "softmax_mean" else near
    spec = ModelSpec(
        size=task.size,
        scheme=task.scheme.name,
        presence=round(presence, 4),
        decode=f"{graph.decoder}; softmax over the map; {read}; "
        f"the variance of the training labels, {calibration.spread.label_px2:g} px2, is subtracted from the "
        f"covariances, whose variances stay at least {calibration.spread.floor_px2:g} px2; deviations times "
        f"{deviation_scale:g}",
        temperature=calibration.temperature,
        licence=licence,
        visibility={"slope": visibility.slope, "offsets": list(visibility.offsets)},
        config=config,
        commit=commit(),
    )
    told = [
        f"decoder: {graph.decoder}; temperature of the heatmaps' softmax: {calibration.temperature:g}",
        coverage(graph, faces),
        presence_told,
    ]
    return LandmarkGraph(task, precision, decoder, calibration), spec, reference, told


def _expect_trained(checkpoint: Path, reference: Reference, data: FaceData) -> None:
    """Raise TrackerError for a net that is no better than the mean face."""
    mean_face = reference.nme_of(mean_face_px(data))
    if not reference.nme_percent < mean_face:
        raise TrackerError(
            f"{checkpoint}: expected a trained model, on its validation faces it has an NME of "
            f"{reference.nme_percent:.2f} %, the mean face alone has {mean_face:.2f} %; train it longer, or export it "
            "anyway with --allow-untrained"
        )


def presence_of(graph: LandmarkGraph, data: FaceData) -> tuple[float, str]:
    """Fit the score threshold of a face on the validation faces.

    Args:
        graph: the calibrated graph.
        data: of the checkpoint.

    Returns:
        The threshold, 0..1, and a description of its effect.
    """
    # A face of which most is hidden cannot be told from other things, and would pull the threshold down to theirs.
    augmented = AugmentedCrops(data.validation, replace(data.augmentation, absent=0.0, cover=0.0), seed=0)
    places = [(draw, i) for draw in range(DRAWS) for i in range(len(augmented))]
    faces = face_scores(graph, torch.cat([augmented[place].crops for place in places]))
    samples, size = data.validation.samples, data.size
    without = face_scores(graph, views_without_face(samples, size))
    upside_down = face_scores(graph, views_upside_down(samples, size))
    presence = fit_presence(faces, without, upside_down)
    refused = [100 * (kind < presence).mean() for kind in (without, upside_down)]
    return presence, (
        f"score threshold of a face: {presence:.3f}, which accepts {100 * (faces >= presence).mean():.1f} % of the "
        f"augmented validation faces and rejects {refused[0]:.1f} % of crops without a face and {refused[1]:.1f} % of "
        "faces upside down"
    )


def load(checkpoint: Path, trust: str = "") -> tuple[LandmarkTask, FaceData, dict[str, Any]]:
    """Load a checkpoint.

    Args:
        checkpoint: the file; or an exported model in FP32 or FP16, or its name, whose faces must be where they were.
        trust: packages, separated by commas, whose classes it may name besides those of train.

    Returns:
        The task with the averaged weights, the data, and the configuration.

    Raises:
        TrackerError: if the file is neither, names classes of other packages, or has no validation faces.
    """
    task, data, config, _ = _load(checkpoint, trust)
    return task, data, config


def _load(checkpoint: Path, trust: str) -> tuple[LandmarkTask, FaceData, dict[str, Any], Exported | None]:
    """Load a checkpoint as load does; return the exported model, too, if it is one."""
    exported = read_exported(checkpoint, trust) if is_exported(checkpoint) else None
    if exported is None and not checkpoint.suffix:  # perhaps a misspelt name
        expect_start(checkpoint, "--checkpoint")
    raw = read_checkpoint(checkpoint, trust) if exported is None else exported.raw
    config = {"model": raw["hyper_parameters"], "data": raw["datamodule_hyper_parameters"], "epoch": raw["epoch"]}
    if "mixed" in raw:  # by train.mix
        config["mixed"] = raw["mixed"]
    task = build(LandmarkTask, raw, checkpoint)
    if exported is None:
        load_weights(task, raw, checkpoint)
    else:
        exported.load(task)
    data = build(FaceData, raw, checkpoint)
    try:
        data.setup("validate")
    except (ValueError, OSError) as error:
        raise TrackerError(f"{checkpoint} is verified on its own validation faces: {error}") from None
    if not len(data.validation):
        raise TrackerError(f"{checkpoint} is verified on its own validation faces, and has none")
    return task.eval(), data, config, exported


def joined(arguments: list[str], option: str) -> list[str]:
    """Merge repetitions of an option into one with its values separated by commas.

    Args:
        arguments: of the command line.
        option: its name, such as "--trust".
    """
    rest, values = [], []
    remaining = iter(arguments)
    for argument in remaining:
        name, equals, value = argument.partition("=")
        if name != option:
            rest.append(argument)
        elif equals or (value := next(remaining, "")):
            values.append(value)
        else:
            rest.append(argument)  # without a value, which the parser refuses
    return [*rest, f"{option}={','.join(values)}"] if values else rest


def main() -> int:
    """Run the command line; return the exit status."""
    return run_command(export, "export.run", with_found_configs(joined(sys.argv[1:], "--trust"), "export"))


if __name__ == "__main__":
    sys.exit(main())
