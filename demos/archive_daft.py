"""Tracks every video of a folder into a Parquet file each, by Daft.

python demos/archive_daft.py VIDEOS RESULTS [WORKERS]

One video is one task; each worker is a process and holds a model. Where a worker dies, Daft gives up: start it again,
and videos that have a result are left out. Needs the extra daft.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import cv2

os.environ.setdefault("DAFT_ANALYTICS_ENABLED", "0")  # Daft reports to its makers otherwise
from tracker import Tracker, TrackerError, track_to_parquet, unfinished_videos
from tracker.system.extras import describe_missing

try:
    import daft
    from daft import DataType, col
except ImportError as missing:
    print(f"archive_daft: {describe_missing('Daft', 'daft', missing)}", file=sys.stderr)
    raise SystemExit(2) from None


class TrackVideo:
    """A worker: one tracker for all the videos that it is given."""

    def __init__(self, max_faces: int) -> None:
        cv2.setNumThreads(1)  # the workers share the cores
        self.tracker = Tracker(max_faces=max_faces)

    @daft.method(return_dtype=DataType.struct({"rows": DataType.int64(), "error": DataType.string()}))
    def track(self, video: str, result: str) -> dict[str, Any]:
        """Track one video into one Parquet file."""
        try:
            return {"rows": track_to_parquet(video, result, self.tracker), "error": ""}
        except TrackerError as error:  # such as a damaged video: the others go on
            return {"rows": 0, "error": str(error)}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", help="a folder of videos")
    parser.add_argument("results", help="the folder for the Parquet files; made if it does not exist")
    parser.add_argument("workers", nargs="?", type=int, default=2, help="how many videos at the same time; 2")
    parser.add_argument("--max-faces", type=int, default=1, help="the largest number of faces to track; 1")
    options = parser.parse_args(arguments)
    try:
        return track(options.videos, options.results, options.workers, options.max_faces)
    except TrackerError as error:
        print(f"archive_daft: {error}", file=sys.stderr)
        return 2


def track(videos: str, results: str, workers: int = 2, max_faces: int = 1) -> int:
    """Track the videos that have no result. Returns the exit status: 1 where a video failed or a worker died."""
    tasks = unfinished_videos(videos, results)
    if not tasks:
        print("every video has a result")
        return 0
    pool = daft.cls(TrackVideo, use_process=True, max_concurrency=min(workers, len(tasks)))(max_faces)
    table = daft.from_pydict({"video": [str(video) for video, _ in tasks], "result": [str(path) for _, path in tasks]})
    done = table.into_batches(1).with_column("done", pool.track(col("video"), col("result")))
    print(f"{len(tasks)} videos without a result, written into {results}:", flush=True)
    failed = 0
    try:
        for task in done.iter_rows():
            failed += task["done"]["error"] != ""
            print(f"{task['video']}: {task['done']['error'] or str(task['done']['rows']) + ' rows'}", flush=True)
    except RuntimeError as error:
        print(f"Daft has given up ({error}); start it again to track the rest", file=sys.stderr, flush=True)
        os._exit(1)  # Daft aborts where Python ends in the usual way after this
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
