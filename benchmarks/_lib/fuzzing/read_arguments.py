"""Fuzzes arguments of the Python interface, drawn by hypothesis from the bytes of an input."""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from benchmarks._lib.fuzzing.read_models import SPEC, tiny_model
from benchmarks._lib.fuzzing.reader import Empty, Files, Reader, expect
from tracker import (
    BatchTracker,
    Blinks,
    Frame,
    GpuFrame,
    Landmarks,
    Roi,
    Tracker,
    TrackerError,
    camera_matrix,
    convert,
    eye_opening,
    head_pose,
    mouth_opening,
)
from tracker.engines.onnx import OnnxEngine
from tracker.face.crop import crop
from tracker.face.schemes import SCHEMES
from tracker.sources import ArraySource, as_rgb
from tracker.sources.demo import DemoClip
from tracker.tracking.smoothing import PRESETS, make_smoother

_KINDS = ("u1", "u2", "i1", "i8", "f4", "f8", "?", "c8")
_numbers = st.floats() | st.floats(-500, 500) | st.sampled_from([0.0, -1.0, 1e-12, 1e300, math.nan, math.inf])
_whole = st.integers(-(2**70), 2**70) | st.integers(-3, 4) | st.integers(0, 2000)
_shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9) | st.tuples(
    st.integers(0, 9), st.integers(0, 9), st.sampled_from([0, 1, 2, 3, 4, 5])
)
_Read = Callable[[Path], None]


def _arrays(shapes: st.SearchStrategy[tuple[int, ...]] = _shapes) -> st.SearchStrategy[NDArray[Any]]:
    return st.sampled_from(_KINDS).flatmap(lambda kind: hnp.arrays(np.dtype(kind), shapes))


def _drawn(test: Callable[[st.DataObject], None]) -> _Read:
    """Reads an input's bytes as the choices that draw arguments."""
    drawing = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))(given(st.data())(test))

    def read(folder: Path) -> None:
        path = folder / "choices.bin"
        if (
            drawing.hypothesis.fuzz_one_input(  # type: ignore[attr-defined]
                path.read_bytes() if path.exists() else b""
            )
            is None
        ):
            raise Empty

    return read


def _choices() -> list[Files]:
    rng = random.Random(0)
    return [{"choices.bin": rng.randbytes(8 << i % 10)} for i in range(60)]


def _frames(data: st.DataObject) -> None:
    what = data.draw(st.integers(0, 4))
    if what == 0:
        image = as_rgb(data.draw(_arrays()))
        expect(image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3, f"it is {image.shape}")
    elif what == 1:
        Frame(data.draw(_arrays()), data.draw(_numbers), data.draw(_whole))
    elif what == 2:
        images = [np.zeros((2, 3, 3), np.uint8)] * data.draw(st.integers(0, 4))
        times = data.draw(st.none() | st.lists(_numbers, max_size=5))
        found = [frame.timestamp_s for frame in ArraySource(images, data.draw(_numbers), times)]
        expect(np.isfinite(found).all() and (np.diff(found) > 0).all(), f"the times are {found}")
    elif what == 3:
        GpuFrame(*(data.draw(_whole) for _ in range(6)))
    else:
        shape, kind = (
            data.draw(st.lists(_whole, max_size=4)),
            data.draw(st.sampled_from(["|u1", "<f4", "u1", "", "|i1"])),
        )
        strides = data.draw(st.none() | st.tuples(_whole, _whole, _whole))
        interface = {"shape": tuple(shape), "typestr": kind, "data": (data.draw(_whole), False), "strides": strides}
        GpuFrame.of(type("Array", (), {"__cuda_array_interface__": interface})())


def _landmarks(data: st.DataObject) -> None:
    scheme = data.draw(st.sampled_from(list(SCHEMES.values())))
    count = scheme.count + data.draw(st.sampled_from([0] * 12 + [-1, 1, 5]))
    scale = data.draw(st.sampled_from([1.0, 100.0, 1e-9, 1e12, 1e200]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    points, covariances = rng.normal(0, scale, (count, 2)), rng.normal(0, scale, (count, 3))
    for _ in range(data.draw(st.sampled_from([0, 0, 0, 1, 3]))):
        points[data.draw(st.integers(0, count - 1))] = data.draw(_numbers)
    if data.draw(st.booleans()):
        points[:] = points[0]
    face = Landmarks(points, rng.random(count), covariances, scheme)
    expect(np.isfinite(face.points_px).all(), "landmarks are not finite")
    what = data.draw(st.integers(0, 5))
    if what == 0:
        other = convert(face, data.draw(st.sampled_from(list(SCHEMES.values()))))
        expect(np.isfinite(other.points_px).all(), "points are not finite")
    elif what == 1:
        camera = data.draw(_arrays(st.just((3, 3)))) if data.draw(st.booleans()) else camera_matrix(640, 480)
        pose = head_pose(face, camera)
        expect(pose is None or np.isfinite([pose.pitch_rad, pose.yaw_rad, pose.roll_rad]).all(), "no pose")
    elif what == 2:
        eye_opening(face), mouth_opening(face)
    elif what == 3:
        blinks = Blinks()
        for _ in range(4):
            blinks.step(face, data.draw(_numbers))
    elif what == 4:
        step = make_smoother(data.draw(st.sampled_from(list(PRESETS))))
        for _ in range(3):
            time_s, size = data.draw(_numbers), data.draw(st.floats(1e-3, 1e6) | _numbers)
            found = step(face.points_px, time_s, size, np.abs(face.covariances_px2))
            expect(np.isfinite(found).all() or not math.isfinite(time_s), "steadied points are not finite")
    else:
        sides = st.floats(1e-3, 1e9) | _numbers
        roi = Roi((data.draw(_numbers), data.draw(_numbers)), data.draw(sides), data.draw(_numbers))
        crop(np.zeros((20, 30, 3), np.uint8), roi, data.draw(st.sampled_from([8, 32])))


@cache
def _engine() -> OnnxEngine:
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(tiny_model(replace(SPEC, presence=0.0)), f"{folder}/tiny.onnx")
        return OnnxEngine(f"{folder}/tiny.onnx")


@cache
def _picture() -> NDArray[np.uint8]:
    return next(iter(DemoClip())).image_rgb


@cache
def _trackers() -> list[Tracker]:
    return [Tracker(_engine(), max_faces=2), Tracker(_engine(), smoothing="steady")]


def _track(data: st.DataObject) -> None:
    if data.draw(st.integers(0, 9)) == 0:
        Tracker(_engine(), max_faces=data.draw(st.integers(-3, 3)))
    trackers, picture = _trackers(), _picture()
    for each in trackers:
        each.reset()
    for index in range(data.draw(st.integers(1, 5))):
        frames = []
        for _ in trackers:
            height, width = (
                data.draw(st.sampled_from([side, side, side // 2, 1, 2, 33])) for side in picture.shape[:2]
            )
            frames.append(Frame(picture[:height, :width], data.draw(_numbers | st.just(index / 30)), index))
        for result in BatchTracker(trackers).step(frames):
            assert result is not None
            for face in result.faces:
                expect(np.isfinite(face.landmarks.points_px).all(), "landmarks are not finite")
                expect(0 <= face.score <= 1, f"a score is {face.score}")


READERS = {
    "frames": Reader(
        _choices,
        _drawn(_frames),
        (TrackerError,),
        ("tracker.sources.frame", "tracker.sources.arrays", "tracker.gpu_frame", "tracker.sources.base:Timeline"),
        valid=False,
    ),
    "landmarks": Reader(
        _choices,
        _drawn(_landmarks),
        (TrackerError, ValueError),
        (
            "tracker.face.landmarks",
            "tracker.face.convert",
            "tracker.analysis.head_pose",
            "tracker.analysis.expression",
            "tracker.analysis.blinks",
            "tracker.tracking.smoothing",
            "tracker.face.crop",
        ),
        valid=False,
    ),
    "tracker": Reader(
        _choices,
        _drawn(_track),
        (TrackerError,),
        (
            "tracker.tracking.tracker",
            "tracker.tracking.association",
            "tracker.tracking.estimator",
            "tracker.detectors.base",
            "tracker.tracking.schedule",
        ),
        valid=False,
    ),
}
