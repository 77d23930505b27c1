"""Archives of videos: the rows of a video, a Parquet file for each video, and the videos that have no file yet.

One video is one task, because a tracker needs its frames in order. A pool of workers, each with its own Tracker, maps
track_to_parquet over the videos; demos/archive_ray.py and demos/archive_daft.py show how.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from tracker.cli.clashes import files_of_url, refuse_clashes
from tracker.errors import TrackerError
from tracker.rows import face_row
from tracker.sinks.parquet import ParquetTable
from tracker.sources import VIDEO_SUFFIXES, Source, open_source
from tracker.system.files import make_folder
from tracker.tracking.tracker import Tracker
from tracker.weights.packaged import identify_engine


def track_rows(source: object, tracker: Tracker | None = None) -> Iterator[dict[str, Any]]:
    """Track a video and yield a row for each face of each frame.

    Args:
        source: a video's path or URL, or another source that Tracker.run accepts.
        tracker: is reset first, and can be used for the next video afterwards. By default a new Tracker(), whose models
            are loaded for this video only.

    Yields:
        A dict with the keys of tracker.rows.COLUMNS; its values are plain numbers, texts, None and lists of numbers.
        Landmarks are in pixels of the frame: x right, y down, pixel centres at integers. A frame without a face has no
        row. Rows are not kept in memory.

    Raises:
        TrackerError: the source cannot be opened or decoded; raised when the first row is requested.

    Example:
        >>> tracker = Tracker(max_faces=4)
        >>> rows = [row for path in paths for row in track_rows(path, tracker)]
    """
    with ExitStack() as stack:
        tracker = tracker or stack.enter_context(Tracker())
        tracker.reset()
        opened = stack.enter_context(source if isinstance(source, Source) else open_source(source))
        for frame in opened:
            result = tracker.step(frame)
            for face in result.faces:
                row = face_row(opened.name, frame, result, face)
                yield {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in row.items()}


def track_to_parquet(source: object, output: str | Path, tracker: Tracker | None = None) -> int:
    """Track a video and write its rows to a Parquet file, all rows or none.

    Args:
        source: see track_rows.
        output: the file; its folders are made, and an older file is replaced at the end.
        tracker: see track_rows.

    Returns:
        The number of rows.

    Raises:
        TrackerError: the source cannot be opened or decoded, or the file cannot be written, is the source, or is being
            written by another process. After an error nothing has changed.
    """
    output = Path(output)
    if isinstance(source, (str, os.PathLike)):
        refuse_clashes([("output", output)], [("source", path) for path in files_of_url(os.fspath(source))])
    with ExitStack() as stack:
        tracker = tracker or stack.enter_context(Tracker())
        tracker.reset()
        opened = stack.enter_context(source if isinstance(source, Source) else open_source(source))
        make_folder(output.parent)
        table = ParquetTable(output, opened, tracker.scheme, identify_engine(tracker.engine))
        try:
            for frame in opened:
                table.write(frame, tracker.step(frame))
        except BaseException:
            table.discard()
            raise
        table.close()
        return table.rows


def unfinished_videos(videos: str | Path, results: str | Path) -> list[tuple[Path, Path]]:
    """List the videos of a folder that have no result yet.

    Args:
        videos: the folder, with its subfolders. Videos are recognised by their suffix
            (tracker.sources.VIDEO_SUFFIXES); hidden files are left out.
        results: the folder of the results: that of videos/a/b.mp4 is results/a/b.mp4.parquet.

    Returns:
        Pairs of a video and the file for its result, in the order of their names. track_to_parquet writes complete
        files only, so a video whose file exists is left out.

    Raises:
        TrackerError: the folder does not exist, or a name is not valid UTF-8, which a table needs.
    """
    videos, results = Path(videos), Path(results)
    if not videos.is_dir():
        raise TrackerError(f"{videos}: expected a folder of videos, found none")
    named = (path for path in videos.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
    found = sorted(path for path in named if not path.name.startswith(".") and path.is_file())
    for path in found:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise TrackerError(f"{path}: the name is not valid UTF-8, which a table needs; rename the file") from None
    pairs = [(path, results / f"{path.relative_to(videos)}.parquet") for path in found]
    return [(path, result) for path, result in pairs if not result.is_file()]
