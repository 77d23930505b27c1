"""One landmark system in a process of its own: frames in on stdin, its points and times out on stdout.

    OTHER/bin/python -m benchmarks._lib.peers.worker ours|mediapipe|dlib|openseeface OPTIONS

OPTIONS is a JSON object; its "core" is the processor core to stay on, the others depend on the system. The process says
in one line of JSON what it is: {"versions": {...}, "sha256": {...}}. Then it takes blocks of frames: a line of JSON

    {"clip": NAME, "still": false, "fps": 25.0, "first": 0, "shapes": [[H, W], ...]}

and behind it the RGB pictures (H, W, 3) uint8, one after the other. A clip of another name starts the system anew. It
answers each block by a line of JSON with one entry a frame: {"ms": 4.1, "faces": {"": [[[x, y], ...], ...]}}, the time
of the step and all points of each face in pixels of the picture, by the name of the output ("" is the usual one). Ends
when stdin ends.

It needs NumPy and the system, and of this project only what `ours` needs: other systems live in other environments.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from benchmarks._lib.machine import PACKAGES, versions

MOST_FACES = 5
"""In single pictures, which may show others than the labelled face."""
TELEMETRY = (0, 10, 35)  # MediaPipe's first release that reports to its maker how it is used

MORE_PACKAGES = ("opencv-python-headless", "dlib", "dlib-bin", "face_recognition_models")
BGR = ("openseeface",)
"""Systems that take pictures in OpenCV's order of colours; they get them so, outside of the time."""

Options = dict[str, Any]
Block = dict[str, Any]
Faces = dict[str, list[Any]]
System = tuple[Callable[[Any, int], Any], Callable[[Any, Any], Faces]]
"""The first function takes a picture and its number, and is timed; the second takes what that gave and the picture, and
gives the points."""


def ours(options: Options, block: Block) -> System:
    """Our Tracker in one thread, as it comes: smoothed ("") and as measured ("raw")."""
    import cv2

    from tracker import Frame, Tracker

    cv2.setNumThreads(1)
    still, fps = block["still"], block["fps"]
    tracker = Tracker(options["model"], max_faces=MOST_FACES if still else 1)

    def run(image_rgb: Any, number: int) -> Any:
        return tracker.step(Frame(image_rgb, number / fps, number, still=still)).faces

    def read(faces: Any, image_rgb: Any) -> Faces:
        return {"": [face.landmarks.points_px for face in faces], "raw": [face.raw.points_px for face in faces]}

    return run, read


def mediapipe(options: Options, block: Block) -> System:
    """MediaPipe's FaceMesh; its shares of the picture's size are counted from the picture's edge."""
    still, attention = block["still"], options["attention"]
    mesh = import_mediapipe().solutions.face_mesh.FaceMesh(
        static_image_mode=still, max_num_faces=MOST_FACES if still else 1, refine_landmarks=attention
    )

    def run(image_rgb: Any, number: int) -> Any:
        return mesh.process(image_rgb).multi_face_landmarks or ()

    def read(faces: Any, image_rgb: Any) -> Faces:
        size = image_rgb.shape[1::-1]
        return {"": [np.array([(point.x, point.y) for point in face.landmark]) * size for face in faces]}

    return run, read


def dlib(options: Options, block: Block) -> System:
    """Run dlib's detector on every frame, then its predictor, as its examples do; stills are doubled in size."""
    import dlib as library  # type: ignore[import-not-found, unused-ignore]

    detector, predictor = library.get_frontal_face_detector(), library.shape_predictor(str(dlib_model()))
    still = block["still"]

    def run(image_rgb: Any, number: int) -> Any:
        boxes = sorted(detector(image_rgb, int(still)), key=lambda box: -box.area())
        return [predictor(image_rgb, box) for box in boxes[: MOST_FACES if still else 1]]

    def read(faces: Any, image_rgb: Any) -> Faces:
        return {"": [np.array([(point.x, point.y) for point in face.parts()], np.float64) for face in faces]}

    return run, read


def openseeface(options: Options, block: Block) -> System:
    """OpenSeeFace's Tracker, imported from the folder of its program."""
    sys.path.insert(0, options["folder"])  # its module has the name of our package, which is not imported here
    from tracker import Tracker

    height, width = block["shapes"][0]
    settings: Any = {"model_type": options["model"], "max_threads": 1, "silent": True, "static_model": True}
    track: Any = Tracker(width, height, **settings)

    def run(image_bgr: Any, number: int) -> Any:
        return track.predict(image_bgr)

    def read(faces: Any, image_bgr: Any) -> Faces:
        return {"": [face.lms[:66, 1::-1] for face in faces]}  # y, x and confidence, then the pupils

    return run, read


SYSTEMS = {"ours": ours, "mediapipe": mediapipe, "dlib": dlib, "openseeface": openseeface}


def about(system: str, options: Options) -> dict[str, Any]:
    """Say which versions and which weights they are; fails where the system is not installed."""
    files: list[Path] = []
    if system == "mediapipe":
        folder = Path(import_mediapipe().__file__).parent / "modules/face_landmark"
        files = [folder / f"face_landmark{'_with_attention' if options['attention'] else ''}.tflite"]
    if system == "dlib":
        files = [dlib_model()]
    if system == "openseeface":
        files = [Path(options["folder"]) / f"models/lm_model{options['model']}_opt.onnx"]
    if system == "ours":
        files = [Path(options["model"])]
    return {
        "versions": versions((*PACKAGES, *MORE_PACKAGES)),
        "sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }


def answer(system: System, pictures: Iterable[Any], first: int) -> Iterator[dict[str, Any]]:
    """Step over the pictures, of which the first has that number."""
    run, read = system
    for number, picture in enumerate(pictures, first):
        start = time.perf_counter()
        result = run(picture, number)
        ms = 1000 * (time.perf_counter() - start)
        faces = read(result, picture)
        yield {"ms": ms, "faces": {name: np.round(points, 4).tolist() for name, points in faces.items()}}


def read_pictures(stream: BinaryIO, shapes: Iterable[tuple[int, int]], bgr: bool) -> Iterator[Any]:
    """Yield the pictures (H, W, 3) of a block, in BGR if asked for."""
    for height, width in shapes:
        image_rgb = np.frombuffer(stream.read(height * width * 3), np.uint8).reshape(height, width, 3)
        yield np.ascontiguousarray(image_rgb[..., ::-1]) if bgr else image_rgb


def main() -> None:
    """Serve until stdin ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not get among the answers
    os.environ.setdefault("GLOG_minloglevel", "3")
    system, options = sys.argv[1], json.loads(sys.argv[2])
    if (core := options.pop("core", None)) is not None:
        os.sched_setaffinity(0, {core})  # before any thread is started: they inherit it
    print(json.dumps(about(system, options)), file=answers, flush=True)
    clip, running = None, None
    while line := sys.stdin.buffer.readline():
        block = json.loads(line)
        pictures = list(read_pictures(sys.stdin.buffer, block["shapes"], bgr=system in BGR))
        if running is None or clip != block["clip"]:
            clip, running = block["clip"], SYSTEMS[system](options, block)
        print(json.dumps(list(answer(running, pictures, block["first"]))), file=answers, flush=True)


def import_mediapipe() -> Any:
    """Import it, unless it is a version that reports its use."""
    import mediapipe as package  # type: ignore[import-not-found, unused-ignore]

    if tuple(map(int, package.__version__.split(".")[:3])) >= TELEMETRY:
        sys.exit(f"expected mediapipe 0.10.21, got {package.__version__}, which reports its use")
    return package


def dlib_model() -> Path:
    """The file in the package face_recognition_models, whose own module needs the removed pkg_resources."""
    from importlib.metadata import files

    name = "shape_predictor_68_face_landmarks.dat"
    for file in files("face_recognition_models") or ():
        if file.name == name:
            return Path(str(file.locate()))
    sys.exit(f"expected {name} in the package face_recognition_models, it is not there")


if __name__ == "__main__":
    main()
