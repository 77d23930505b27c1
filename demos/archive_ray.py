"""Tracks every video of a folder into a Parquet file each, by Ray Data.

python demos/archive_ray.py VIDEOS RESULTS [WORKERS]

One video is one task; each worker holds a model. A worker that dies is replaced by Ray, and its video is tracked from
the start. Start it again after a crash of everything: videos that have a result are left out. Needs the extra ray.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import cv2

from tracker import Tracker, TrackerError, track_to_parquet, unfinished_videos
from tracker.system.extras import describe_missing

try:
    import ray.data
except ImportError as missing:
    print(f"archive_ray: {describe_missing('Ray Data', 'ray', missing)}", file=sys.stderr)
    raise SystemExit(2) from None


class TrackVideo:
    """A worker: one tracker for all the videos that it is given."""

    def __init__(self, max_faces: int) -> None:
        cv2.setNumThreads(1)  # the workers share the cores
        self.tracker = Tracker(max_faces=max_faces)

    def __call__(self, task: dict[str, Any]) -> dict[str, Any]:
        """Track one video into one Parquet file."""
        try:
            return {**task, "rows": track_to_parquet(task["video"], task["result"], self.tracker), "error": ""}
        except TrackerError as error:  # such as a damaged video: the others go on
            return {**task, "rows": 0, "error": str(error)}


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
        print(f"archive_ray: {error}", file=sys.stderr)
        return 2


def track(videos: str, results: str, workers: int = 2, max_faces: int = 1) -> int:
    """Track the videos that have no result. Returns the exit status: 1 where a video failed."""
    tasks = [{"video": str(video), "result": str(result)} for video, result in unfinished_videos(videos, results)]
    if not tasks:
        print("every video has a result")
        return 0
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports to its makers otherwise
    done = ray.data.from_items(tasks, override_num_blocks=len(tasks)).map(
        TrackVideo,
        fn_constructor_kwargs={"max_faces": max_faces},
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(tasks))),
        num_cpus=1,  # for a model on the GPU num_gpus=0.25 as well, and Tracker(provider="cuda") above
    )
    print(f"{len(tasks)} videos without a result, written into {results}:", flush=True)
    failed = 0
    for task in done.iter_rows():
        failed += task["error"] != ""
        print(f"{task['video']}: {task['error'] or str(task['rows']) + ' rows'}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
