"""Stages of a measurement that end as stages should not, for test_benchmarked_gpu: imports nothing that is slow."""

from __future__ import annotations

import multiprocessing
import os
import time

from benchmarks._lib.gpu.stages import Record, Task


def hangs(task: Task, record: Record) -> None:
    record.update(found=1)
    time.sleep(600)


def crashes(task: Task, record: Record) -> None:
    record.update(found=2)
    os._exit(7)


def fails(task: Task, record: Record) -> None:
    record.update(found=3)
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def works(task: Task, record: Record) -> None:
    record.update(found=4)


def half(task: Task, record: Record) -> None:
    """Its first part fails, its second does not."""
    record.part("first", lambda: 1 // 0)
    record.part("second", lambda: {"found": 5})


def counts(task: Task, record: Record) -> None:
    """Counts its calls, and says in which way its process was started."""
    path = task.output / "calls"
    path.write_text((path.read_text() if path.exists() else "") + "x")
    record.update(started_by=multiprocessing.current_process().__class__.__name__)
