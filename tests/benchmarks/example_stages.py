"""Stages of a measurement that end as stages should not, for test_benchmarked_gpu: imports nothing that is slow."""

from __future__ import annotations

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
