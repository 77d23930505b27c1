"""Output options of the command line."""

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
    ParquetTable,
    PictureFiles,
    PictureSink,
    PtsFiles,
    Sink,
    Window,
)
from tracker.sinks.annotate import draw_faces
from tracker.sinks.avatars import Avatars
from tracker.sinks.picture_files import drawn_files
from tracker.sources import FALLBACK_FPS, VIDEO_SUFFIXES, Pictures, Source, Video
from tracker.system.files import (
    STDOUT,
    Replacement,
    expect_writable,
    is_written_through,
    make_folder,
    part_of,
    unwritable,
    write_whole,
)
from tracker.system.process import put_off_signals
from tracker.weights.packaged import ModelIdentity

log = logging.getLogger(__name__)

_REPLACED = ("--coco", "--overlay", "--stats", "--profile", "--parquet")  # written to a hidden file first


@dataclass(frozen=True)
class Outputs:
    """The output options of tracker.run, by their names; None for those not given.

    Raises:
        TrackerError: for options that contradict each other.
    """

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
    parquet: Path | None = None
    coco: Path | None = None

    def __post_init__(self) -> None:
        if self.serve_token is not None and self.serve is None:
            raise TrackerError("--serve-token is for --serve; give --serve HOST:PORT, too")
        if self.parquet == STDOUT:
            raise TrackerError("--parquet: expected the name of a file, got -; --output and --csv can be -")

    def paths(self) -> dict[str, Path]:
        """Return the files and folders to write, by option; Path("-") is standard output."""
        given = {f"--{field.name}": getattr(self, field.name) for field in fields(self)}
        return {option: path for option, path in given.items() if isinstance(path, Path)}

    def refuse_overwriting(
        self, inputs: Iterable[Named], below: Iterable[Named] = (), pictures: Pictures | None = None
    ) -> None:
        """Refuse outputs that are also read, or written twice, see refuse_clashes.

        Args:
            inputs: files that are read, by option.
            below: inputs that are known to exist.
            pictures: the source, if it is pictures.

        Raises:
            TrackerError: naming the options and the file.
        """
        written = list(self.paths().items())
        written += [(option, part_of(Path(os.path.realpath(path)))) for option, path in written if option in _REPLACED]
        for option, path in written:
            if re.match(r"[A-Za-z][\w+.-]+:/", str(path)):
                raise TrackerError(f"{option} {path}: expected the path of a file, got a URL")
            if option != "--pts" and self._is_among_labels(path, pictures):
                raise TrackerError(f"{option} {path} is in the folder that --pts writes; use another folder")
        if self.overlay is not None and pictures is not None and self._draws_pictures(pictures):
            written += [
                ("--overlay", self.overlay / file) for file in drawn_files(self.overlay, pictures.names).values()
            ]
        refuse_clashes(written, inputs, below)

    def _is_among_labels(self, path: Path, pictures: Pictures | None) -> bool:
        """Tell whether a file lies where --pts writes: frames in one folder, pictures also in its subfolders."""
        if self.pts is None:
            return False
        folder = os.path.dirname(os.path.realpath(path))
        if pictures is None:
            return folder == os.path.realpath(self.pts / LABELS)
        return path.suffix.lower() == ".pts" and Path(folder).is_relative_to(os.path.realpath(self.pts))

    def _draws_pictures(self, source: Source | None) -> bool:
        """Tell whether the overlay is pictures: for a source of pictures, unless it has the name of a video."""
        if self.overlay is None or not isinstance(source, Pictures):
            return False
        return self.overlay.is_dir() or self.overlay.suffix.lower() not in VIDEO_SUFFIXES

    def aside(self) -> AbstractContextManager[object]:
        """Redirect messages to standard error if results go to standard output."""
        return redirect_stdout(sys.stderr) if STDOUT in (self.output, self.csv) else nullcontext()

    @contextmanager
    def sinks(
        self, source: Source, scheme: Scheme, max_faces: int, window: Window | None, model: ModelIdentity | None = None
    ) -> Iterator[list[Sink]]:
        """Open the sinks; they are closed, and their files completed, on leaving.

        Args:
            source: the source. The sound of a Video goes into the overlay.
            scheme: of the landmarks.
            max_faces: the largest number of faces in a frame.
            window: a window that shows the frames, if any.
            model: what measures the landmarks, for a file that says so.

        Yields:
            The sinks, in the order in which they are written.

        Raises:
            TrackerError: if one cannot be written. Those that replace an existing file are opened last.
        """
        for path in self.paths().values():
            make_folder(path.parent)
        sinks: list[Sink] = []
        with ExitStack() as stack:
            for sink in self._open(source, scheme, max_faces, window, model):
                stack.push(_completing(sink))
                sinks.append(sink)
            yield sinks[::-1]  # drawing is slowest, so it comes last

    def _open(
        self, source: Source, scheme: Scheme, max_faces: int, window: Window | None, model: ModelIdentity | None
    ) -> Iterator[Sink]:
        names = source.names if isinstance(source, Pictures) else None
        if self.serve is not None:
            yield self._live_view(self.serve, source)
        if self.overlay is not None and names is not None and self._draws_pictures(source):
            yield PictureFiles(self.overlay, names, draw_faces)
        if pictures := self._pictures(source, window):
            yield Drawn(draw_faces, pictures)
        if self.parquet is not None:
            yield ParquetTable(self.parquet, source, scheme, model)
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
        """Reserve the files of --stats and --profile during a run; other runs cannot write them."""
        with ExitStack() as stack:
            yield Records(*(stack.enter_context(_record(path)) for path in (self.stats, self.profile)))

    def written(self) -> list[str]:
        """Return a line of text for each file written."""
        return [f"written: {path}" for path in self.paths().values() if path != STDOUT]


@dataclass(frozen=True)
class Records:
    """Writes the statistics and the profile at the end of a run, if they were asked for."""

    _write_stats: Callable[[bytes], None] | None
    _write_profile: Callable[[bytes], None] | None

    def write_stats(self, record: Mapping[str, Any]) -> None:
        """Write stage times, dropped frames and latency as JSON; raise TrackerError if that fails."""
        if self._write_stats is not None:
            self._write_stats(json.dumps(record, indent=1).encode())

    @contextmanager
    def profiled(self) -> Iterator[None]:
        """Profile the run inside and write the result; raise TrackerError if that fails."""
        if self._write_profile is None:
            yield
            return
        profiler = cProfile.Profile()
        try:
            with profiler:
                yield
        finally:  # also after an interruption
            profiler.create_stats()
            self._write_profile(marshal.dumps(profiler.stats))


@contextmanager
def _record(path: Path | None) -> Iterator[Callable[[bytes], None] | None]:
    """Yield a function that writes the whole file; the file is checked and locked from now on."""
    if path is None:
        yield None
        return
    try:
        make_folder(path.parent)
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
    """Return an exit callback for an ExitStack that closes a sink.

    An error while closing is only logged if another error has ended the run. A signal is delayed until the file is
    complete, unless an earlier signal has ended the run.
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
