"""What a run is to write, as its options say."""

from __future__ import annotations

import cProfile
import json
import logging
import marshal
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tracker.cli.clashes import Named, refuse_clashes
from tracker.errors import TrackerError
from tracker.face.schemes import Scheme
from tracker.sinks import (
    LABELS,
    CocoKeypoints,
    Drawn,
    JsonLines,
    LiveView,
    OpenFaceCsv,
    OscMessages,
    OverlayVideo,
    PictureFiles,
    PictureSink,
    PtsFiles,
    Sink,
    Window,
)
from tracker.sinks.annotate import draw_faces
from tracker.sinks.avatars import Avatars
from tracker.sinks.picture_files import drawn_files
from tracker.sinks.video import is_video_name
from tracker.sources import FALLBACK_FPS, Pictures, Source, Video
from tracker.system.files import (
    STDOUT,
    Replacement,
    expect_writable,
    is_written_through,
    part_of,
    unwritable,
    write_whole,
)
from tracker.system.process import put_off_signals

log = logging.getLogger(__name__)

_REPLACED = ("--coco", "--overlay", "--stats", "--profile")  # grow in a hidden file


@dataclass(frozen=True)
class Outputs:
    """The options of that name; None: not asked for."""

    output: Path | None
    csv: Path | None
    pts: Path | None
    overlay: Path | None
    osc: str | None = field(repr=False)
    stats: Path | None
    profile: Path | None
    avatars: Avatars = field(default_factory=Avatars, repr=False)
    serve: str | None = field(default=None, repr=False)
    serve_token: str | None = field(default=None, repr=False)
    coco: Path | None = None

    def __post_init__(self) -> None:
        if self.serve_token is not None and self.serve is None:
            raise TrackerError("--serve-token is for --serve; give --serve HOST:PORT, too")

    def paths(self) -> dict[str, Path]:
        """What is written to disk or standard output, by option."""
        given = {f"--{field.name}": getattr(self, field.name) for field in fields(self)}
        return {option: path for option, path in given.items() if isinstance(path, Path)}

    def refuse_overwriting(
        self, inputs: Iterable[Named], below: Iterable[Named] = (), pictures: Pictures | None = None
    ) -> None:
        """Raise TrackerError where one file would be read and written, or written twice, see refuse_clashes.

        pictures: the source, if it is pictures.
        """
        written = list(self.paths().items())
        written += [(option, part_of(Path(os.path.realpath(path)))) for option, path in written if option in _REPLACED]
        for option, path in written:
            if re.match(r"[A-Za-z][\w+.-]+:/", str(path)):
                raise TrackerError(f"{option} {path}: expected the path of a file, got a URL")
            if option != "--pts" and self._is_among_labels(path, pictures):
                raise TrackerError(f"{option} {path} lies where --pts writes; give it another folder")
        if self.overlay is not None and pictures is not None and self._draws_pictures(pictures):
            written += [
                ("--overlay", self.overlay / file) for file in drawn_files(self.overlay, pictures.names).values()
            ]
        refuse_clashes(written, inputs, below)

    def _is_among_labels(self, path: Path, pictures: Pictures | None) -> bool:
        """Whether a file lies where --pts writes: of frames in one folder, of pictures in its subfolders, too."""
        if self.pts is None:
            return False
        folder = os.path.dirname(os.path.realpath(path))
        if pictures is None:
            return folder == os.path.realpath(self.pts / LABELS)
        return path.suffix.lower() == ".pts" and Path(folder).is_relative_to(os.path.realpath(self.pts))

    def _draws_pictures(self, source: Source | None) -> bool:
        """Whether the overlay is pictures: of pictures, unless it is named as a video."""
        return self.overlay is not None and isinstance(source, Pictures) and not is_video_name(self.overlay)

    def aside(self) -> AbstractContextManager[object]:
        """Where standard output takes results, what is printed for people goes to standard error."""
        return redirect_stdout(sys.stderr) if STDOUT in (self.output, self.csv) else nullcontext()

    @contextmanager
    def sinks(self, source: Source, scheme: Scheme, max_faces: int, window: Window | None) -> Iterator[list[Sink]]:
        """The sinks asked for, completed on leaving. source: a Video's own sound goes into the overlay.

        Raises TrackerError where one cannot be written; those that replace an older file are opened last.
        """
        for path in self.paths().values():
            _make_folder(path.parent)
        sinks: list[Sink] = []
        with ExitStack() as stack:
            for sink in self._open(source, scheme, max_faces, window):
                stack.push(_completing(sink))
                sinks.append(sink)
            yield sinks[::-1]  # drawing takes longest: the others need not wait for it

    def _open(self, source: Source, scheme: Scheme, max_faces: int, window: Window | None) -> Iterator[Sink]:
        names = source.names if isinstance(source, Pictures) else None
        if self.serve is not None:
            yield self._live_view(self.serve, source)
        if self.overlay is not None and names is not None and self._draws_pictures(source):
            yield PictureFiles(self.overlay, names, draw_faces)
        if pictures := self._pictures(source, window):
            yield Drawn(draw_faces, pictures)
        if self.osc is not None:
            yield OscMessages(self.osc)
        yield from self.avatars.open()
        if self.pts is not None:
            yield PtsFiles(self.pts, max_faces, names)
        if self.coco is not None:
            yield CocoKeypoints(self.coco, scheme)
        if self.csv is not None:
            yield OpenFaceCsv(self.csv, scheme, names is not None)
        if self.output is not None:
            yield JsonLines(self.output)

    def _live_view(self, address: str, source: Source) -> LiveView:
        view = LiveView(address, source, self.serve_token)
        for url in view.urls:
            print(f"live view: {url}", flush=True)
        return view

    def _pictures(self, source: Source, window: Window | None) -> list[PictureSink]:
        pictures: list[PictureSink] = [] if window is None else [window]
        if self.overlay is not None and not self._draws_pictures(source):
            sound_of = source.path if isinstance(source, Video) else None
            pictures.append(OverlayVideo(self.overlay, source.fps or FALLBACK_FPS, sound_of))
        return pictures

    @contextmanager
    def records(self) -> Iterator[Records]:
        """Around a run: what is known at its end can be written, and no other run writes there meanwhile."""
        with ExitStack() as stack:
            yield Records(*(stack.enter_context(_record(path)) for path in (self.stats, self.profile)))

    def written(self) -> list[str]:
        """For people: where the results are."""
        return [f"written: {path}" for path in self.paths().values() if path != STDOUT]


@dataclass(frozen=True)
class Records:
    """Takes what a run was like at its end; None: not asked for."""

    _write_stats: Callable[[bytes], None] | None
    _write_profile: Callable[[bytes], None] | None

    def write_stats(self, record: Mapping[str, Any]) -> None:
        """Stage times, drops and latency, as JSON. Raises TrackerError where it cannot be written."""
        if self._write_stats is not None:
            self._write_stats(json.dumps(record, indent=1).encode())

    @contextmanager
    def profiled(self) -> Iterator[None]:
        """Python's profiler around a run. Raises TrackerError where its result cannot be written."""
        if self._write_profile is None:
            yield
            return
        profiler = cProfile.Profile()
        try:
            with profiler:
                yield
        finally:  # also of a run that was ended early
            profiler.create_stats()
            self._write_profile(marshal.dumps(profiler.stats))


@contextmanager
def _record(path: Path | None) -> Iterator[Callable[[bytes], None] | None]:
    """What writes the file whole, or into the device or pipe; tried and held from now on."""
    if path is None:
        yield None
        return
    try:
        _make_folder(path.parent)
        expect_writable(path)
        file = None if is_written_through(path) else Replacement(path)
    except OSError as error:
        raise unwritable(path, error) from None

    def write(content: bytes) -> None:
        try:
            if file is None:
                write_whole(path, content)
            else:
                file.part.write_bytes(content)
                file.complete()
        except OSError as error:
            raise unwritable(path, error) from None

    try:
        yield write
    finally:
        if file is not None:
            file.discard()


def _completing(sink: Sink) -> Callable[[object, BaseException | None, object], None]:
    """For an ExitStack: closes the sink. What it raises is only logged where something else has ended the run.

    A first signal waits until its file is complete; one after another that has ended the run interrupts it.
    """

    def leave(kind: object, error: BaseException | None, trace: object) -> None:
        try:
            with nullcontext() if isinstance(error, KeyboardInterrupt) else put_off_signals():
                sink.close()
        except TrackerError as second:
            if error is None:
                raise
            log.warning("%s", second)

    return leave


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrackerError(f"{folder}: cannot make this folder to write into: {error.strerror}") from None
