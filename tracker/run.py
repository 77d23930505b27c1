"""`landmarks track`, python -m tracker.run: landmarks from a camera, a video, pictures or the demo clip."""

from __future__ import annotations

import math
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tracker.cli.clashes import Named, files_of_model, files_of_pipeline, files_of_url
from tracker.cli.command import run_command
from tracker.cli.config_files import files_read
from tracker.cli.source_words import source_options
from tracker.cli.summary import Summary
from tracker.detectors.loading import DetectorName
from tracker.engines.loading import running_on
from tracker.engines.onnx import Provider
from tracker.errors import TrackerError
from tracker.face.schemes import IBUG68
from tracker.outputs import Outputs
from tracker.result import FrameResult
from tracker.sinks import Sink, Window, has_display
from tracker.sinks.avatars import Avatars
from tracker.sinks.vmc import Shapes
from tracker.sources import STDIN, Camera, Frame, Live, Pictures, ReconnectPolicy, Source, Video, open_url_source
from tracker.sources.demo import DemoClip, DemoReport
from tracker.sources.rotation import Rotation, rotate_frame
from tracker.system.process import put_off_signals
from tracker.tracking.ranking import Follow
from tracker.tracking.smoothing import Smoothing
from tracker.tracking.tracker import Tracker
from tracker.weights.packaged import WEIGHTS, identify_engine, url_of_model

POLL_MS = 2


def run(
    camera: int | str | None = None,
    video: str | None = None,
    images: list[Path] | Path | None = None,
    recursive: bool = False,
    demo: bool = False,
    camera_size: str | None = None,
    camera_fps: float | None = None,
    give_up_s: float = math.inf,
    output: Path | None = None,
    csv: Path | None = None,
    parquet: Path | None = None,
    coco: Path | None = None,
    pts: Path | None = None,
    overlay: Path | None = None,
    osc: str | None = None,
    openseeface: list[str] | str | None = None,
    vmc: list[str] | str | None = None,
    vmc_shapes: Shapes = "arkit",
    opentrack: list[str] | str | None = None,
    serve: str | None = None,
    serve_token: str | None = None,
    stats: Path | None = None,
    profile: Path | None = None,
    show: bool = False,
    max_faces: int = 1,
    smoothing: Smoothing = "balanced",
    detector: DetectorName = "auto",
    detector_model: Path | None = None,
    model: str | None = None,
    provider: Provider = "cpu",
    allow_cpu: bool = False,
    follow: Follow = "largest",
    hold_s: float = 0.5,
    min_score: float | None = None,
    rotate: Rotation = 0,
    mirror: bool = False,
) -> None:
    """Track facial landmarks in SOURCE: a video file, the number of a camera, a URL, or pictures and folders of them.

    The source may also be given by one of --camera, --video, --images, --demo. Without a source camera 0 is shown in a
    window; if it cannot be opened, or there is no display, the built-in demo clip with ground truth is tracked. Results
    are written only by options, such as --output, --csv or --overlay.

    Args:
        camera: a camera's number, 0 for the first; its path such as /dev/v4l/by-id/...; csi://0; or a GStreamer
            pipeline that ends in an appsink.
        video: a video file, a pipe, - for standard input, or the URL of a stream.
        images: pictures and folders of pictures, each independent of the others; results name the picture, and ids
            start again in each.
        recursive: include the subfolders of --images.
        demo: the built-in clip with ground truth.
        camera_size: width and height to request from the camera, such as 1280x720.
        camera_fps: frames per second to request from the camera.
        give_up_s: seconds to wait for a lost camera or stream, or one that is down at the start, before the run ends.
            By default a lost one is waited for without limit, and one that is down at the start for 30 seconds.
        output: write the results to this file, one JSON object per line; - is standard output.
        csv: write the results to this file as a table with OpenFace's columns; - is standard output.
        parquet: write the results to this Parquet file, one row per face and frame.
        coco: write the results to this JSON file as COCO key points, at the end of the run; frames are named
            frame_000000.PNG and so on, as CVAT names them.
        pts: write the landmarks of each frame into this folder, in the layout of 300VW; of each picture into a file
            with its name.
        overlay: write the video with the landmarks drawn to this file, as H.264 with sound if ffmpeg is installed. For
            pictures a folder, where they keep their names, or a video such as faces.mp4 that shows each for a second;
            for a single picture a file.
        osc: send the results as Open Sound Control over UDP to this HOST:PORT.
        openseeface: send the faces in OpenSeeFace's packets over UDP to these HOST:PORT, as VSeeFace and VTube Studio
            take them (port 11573).
        vmc: send blend shapes and the head's rotation by the VMC protocol over UDP to these HOST:PORT (port 39539).
        vmc_shapes: arkit for models with Perfect Sync, vrm for the presets that every VRM model has.
        opentrack: send the head pose over UDP to these HOST:PORT, as opentrack takes it (port 4242).
        serve: show the run in web browsers, and stream the results as JSON, at this HOST:PORT such as 127.0.0.1:8080.
        serve_token: the token that browsers and programs must send; by default one is generated unless --serve is on
            the loopback.
        stats: write stage times, dropped frames and latency to this file, as one JSON object.
        profile: write a profile of the run to this file, for `python -m pstats` or snakeviz.
        show: open a window, in which a file plays at its own speed; q or Esc ends.
        max_faces: the largest number of faces to track.
        smoothing: the filter of the landmarks, from accurate (least lag) to steady (least jitter).
        detector: the face detector; auto alternates YuNet and BlazeFace.
        detector_model: a YuNet file of your own, in place of the packaged one.
        model: edge68, the default; edge68_fast, less accurate at 0.57x the latency; edge68_int8 and edge68_fast_int8,
            for CPUs with VNNI; auto, which is edge68_int8 where this CPU runs it faster and edge68 elsewhere; a file of
            export.run; or triton://HOST:PORT/MODEL, which Triton Inference Server runs.
        provider: the device that ONNX Runtime runs the model on; an error if it is not available.
        allow_cpu: run on the CPU, with a warning, if the provider is not available.
        follow: which faces are tracked first. A new face replaces a tracked one if its area is four times as large
            (largest), or its distance from the middle at most half (central).
        hold_s: how long a face that is not seen keeps its track and its id; at least two frames of a slow source.
        min_score: the lowest score of the landmark model, 0 to 1, at which a face stays tracked; by default the model's
            own threshold. New faces need a lower score if the detector is sure of them, a higher one if not. A lower
            value finds more turned and covered faces, and more false ones.
        rotate: rotate every frame clockwise by 90, 180 or 270 degrees first; results and overlay are of the rotated
            picture.
        mirror: mirror every frame left to right, after rotating it.
    """
    given = [value is not None for value in (camera, video, images)].count(True) + demo
    if given > 1:
        raise TrackerError(
            "expected one source, got several; give one word such as clip.mp4, or one of --camera, --video, --images, "
            "--demo"
        )
    if camera is None and (camera_size, camera_fps) != (None, None):
        raise TrackerError("--camera-size and --camera-fps are for a camera; name it with --camera")
    avatars = Avatars(openseeface, vmc, opentrack, vmc_shapes)
    outputs = Outputs(output, csv, pts, overlay, osc, stats, profile, avatars, serve, serve_token, parquet, coco)
    if recursive and images is None:
        raise TrackerError("--recursive is for folders of pictures; name one with --images")
    pictures = None if images is None else Pictures(images, recursive)
    outputs.refuse_overwriting(_inputs(camera, video, model, detector_model), _below(pictures), pictures)
    with outputs.aside(), ExitStack() as stack:
        records = stack.enter_context(outputs.records())
        if given:
            wanted = (_size(camera_size), camera_fps)
            source = stack.enter_context(_source(camera, wanted, video, pictures, ReconnectPolicy(give_up_s=give_up_s)))
        else:
            source, show = _default_source(show)
            stack.enter_context(source)
        tracker = Tracker(
            model, detector, detector_model, max_faces, smoothing, provider, allow_cpu,
            follow=follow, hold_s=hold_s, min_score=min_score,
        )  # fmt: skip
        window = stack.enter_context(Window("landmarks", at_speed=not source.live)) if show else None
        unit = "frames" if pictures is None else "pictures"
        identity = identify_engine(tracker.engine)
        summary = Summary(identity, unit)
        try:
            with records.profiled(), outputs.sinks(source, tracker.scheme, max_faces, window, identity) as sinks:
                _loop(source, tracker, sinks, window, summary, rotate, mirror)
        finally:
            with put_off_signals():
                stats_record = {"source": source.name, "engine": running_on(tracker.engine), **summary.to_json()}
                records.write_stats({**stats_record, "losses": asdict(source.losses)})
        for line in outputs.written():
            print(line)
        if not sinks:
            print(
                "no results were written; --output, --csv and --overlay write files, --help lists more", file=sys.stderr
            )


def _source(
    camera: int | str | None,
    wanted: tuple[tuple[int, int] | None, float | None],
    video: str | None,
    pictures: Pictures | None,
    reconnect: ReconnectPolicy,
) -> Source:
    if camera is not None:
        return Camera(camera, *wanted, reconnect)
    if video is not None:
        return open_url_source(video, reconnect) if "://" in video else Video(video)
    return pictures or DemoClip()


def _inputs(
    camera: int | str | None, video: str | None, model: str | None, detector_model: Path | None
) -> Iterator[Named]:
    """Yield the files that a run reads, by option."""
    if isinstance(camera, str):
        yield from (("--camera", path) for path in (Path(camera), *files_of_pipeline(camera)))
    if video is not None:
        yield from (("--video", path) for path in files_of_url("/dev/stdin" if video == STDIN else video))
    if model is not None and url_of_model(model) is None:
        yield from (("--model", path) for path in files_of_model(Path(model)))
    if detector_model is not None:
        yield "--detector-model", detector_model
    yield from (("--config", path) for path in files_read())


def _below(pictures: Pictures | None) -> Iterator[Named]:
    """Yield the files in folders that a run reads: pictures and packaged models."""
    if pictures is not None:
        yield from (("--images", picture.path) for picture in pictures.pictures)
    if os.path.isdir(WEIGHTS):
        yield from (("the package", path) for path in WEIGHTS.iterdir())


def _size(text: str | None) -> tuple[int, int] | None:
    """Return (width, height) of "1280x720"."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise TrackerError(f"--camera-size: expected width and height such as 1280x720, got {text}")
    return int(match[1]), int(match[2])


def _default_source(show: bool) -> tuple[Source, bool]:
    """Open camera 0 in a window if there are a camera and a display, else the demo clip."""
    if has_display():
        try:
            return Camera(0), True
        except TrackerError:
            pass
    print("no camera with a display here: tracking the built-in demo clip")
    return DemoClip(), show


def _loop(
    source: Source,
    tracker: Tracker,
    sinks: Sequence[Sink],
    window: Window | None,
    summary: Summary,
    rotate: Rotation,
    mirror: bool,
) -> None:
    known = tracker.scheme is IBUG68 and rotate == 0 and not mirror
    report = DemoReport(source) if isinstance(source, DemoClip) and known else None
    start = time.perf_counter()
    try:
        frames = shown_frames(source, window)
        for taken in tqdm(frames, total=source.frame_count, unit=f" {summary.unit}", disable=None, leave=False):
            frame = rotate_frame(taken, rotate, mirror)
            result = tracker.step(frame)
            seconds = _age(source, frame)
            written = time.perf_counter()
            for sink in sinks:
                sink.write(frame, result)
            summary.add(result, write=time.perf_counter() - written, **seconds)
            if report is not None:
                report.add(result.index, _points_px(result))
            if window is not None and window.closed:
                break
    finally:
        summary.seconds = time.perf_counter() - start
        if summary.frames:
            print("\n".join(summary.lines()))
            if source.live:
                print(f"{source.name}: {source.losses}")
            elif summary.unit == "pictures" and source.losses.unreadable:
                print(f"pictures that could not be read: {source.losses.unreadable}")
        if report is not None and summary.frames == source.frame_count:
            _print_truth(report)


def shown_frames(source: Source, window: Window | None) -> Iterator[Frame]:
    """Yield the frames of a source; while a camera is lost, the window keeps handling events."""
    if window is None or not isinstance(source, Live):
        yield from source
        return
    while not window.closed:
        frame = source.poll()
        if frame is None:
            window.look(POLL_MS)
        else:
            yield frame


def _age(source: Source, frame: Frame) -> dict[str, float]:
    """Return the seconds since a frame of a live source was grabbed; empty for other sources."""
    started_s = source.started_s
    return {} if started_s is None else {"latency": time.monotonic() - started_s - frame.timestamp_s}


def _points_px(result: FrameResult) -> NDArray[np.float64] | None:
    """Return the landmarks (K, 2) of a face measured in this frame, else of a coasting one."""
    face = max(result.faces, key=lambda face: face.state == "tracking", default=None)
    return None if face is None else face.landmarks.points_px


def _print_truth(report: DemoReport) -> None:
    """Print the demo clip's errors against its ground truth."""
    truth = report.summary()
    print(
        f"against the clip's truth: found in {truth.found} of {truth.visible} frames that show the face, "
        f"error {truth.error_percent:.2f} %, jitter {truth.jitter_percent:.2f} % of the outer eye distance"
    )
    print(f"found again: {_after(truth.after_occlusion)} the occlusion, {_after(truth.after_cut)} the cut")


def _after(frames: int | None) -> str:
    if frames is None:
        return "never after"
    return "at once after" if frames == 0 else f"{frames} frames after"


def main() -> int:
    """Run the command line; return the exit status."""
    return run_command(run, "tracker.run", words=source_options, usage="[SOURCE ...] [OPTIONS]")


if __name__ == "__main__":
    sys.exit(main())
