"""Menpo 2D (Zafeiriou et al., CVPRW 2017): pictures beside .pts files, of 68 points, and of 39 in profile.

The labels are for research only; so is what is trained on them.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from tracker.datasets.collect import Invalid, collect, list_folder
from tracker.datasets.folder import read_pair
from tracker.datasets.pts_files import as_pair, group_by_name, read_pts
from tracker.datasets.sample import Sample
from tracker.face.schemes import IBUG68

PROFILE_POINTS = 39


def read_menpo(root: Path, on_invalid: Invalid = "refuse") -> list[Sample]:
    """The near-frontal faces, with the 68 points of 300W, in root and the folders below it, by folder and name.

    Faces in profile, with 39 points, are left out. LUVLi (Kumar et al., CVPR 2020), whose protocol Bulat et al., BMVC
    2021, follow, tests on the training set's 6,679. Raises DatasetError as `tracker.datasets.collect.collect`.
    """
    list_folder(root, "a folder of Menpo's pictures and .pts files")
    labels: list[tuple[str, list[Path]]] = []
    for folder, below, files in os.walk(root):
        below.sort()
        named = group_by_name(Path(folder) / name for name in sorted(files))
        labels += ((str(Path(folder) / f"{stem}.pts"), paths) for stem, paths in named.items())
    faces = [(name, paths) for name, paths in labels if not _is_profile(paths)]
    return collect(root, faces, partial(read_pair, IBUG68, frozenset()), on_invalid)


def _is_profile(paths: list[Path]) -> bool:
    """Whether it is a picture with a profile's label; what is broken is not, so that it is named."""
    try:
        return len(read_pts(as_pair(paths)[1])) == PROFILE_POINTS
    except ValueError:
        return False
