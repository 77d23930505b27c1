"""300W-LP (Zhu et al., CVPR 2016): the faces of 300W turned to large poses.

The labels are for research only; so is what is trained on them.
"""

from __future__ import annotations

from pathlib import Path

from tracker.datasets.collect import Invalid, collect, expect_folders, list_folder
from tracker.datasets.matlab import Variables, as_numbers, read_files
from tracker.datasets.sample import DatasetError, Sample
from tracker.face.schemes import IBUG68

LARGE_POSES = ("AFW", "HELEN", "IBUG", "LFPW")


def read_300w_lp(root: Path, on_invalid: Invalid = "refuse") -> list[Sample]:
    """The faces, 61,225 without their mirror images, to train on.

    root: the folder with AFW, HELEN, IBUG and LFPW in it, and landmarks/AFW/NAME_pts.mat of each AFW/NAME.jpg, whose
    pts_2d are the labels. Coordinates are taken as they are, the first pixel's centre at 0, as public readers take
    them. IBUG's faces are those of the challenging test set: a net that was trained on them is tested on the private
    set. Raises DatasetError as `tracker.datasets.collect.collect`.
    """
    expect_folders(root, LARGE_POSES, f"the 300W-LP folders {', '.join(LARGE_POSES)}")
    pictures = [p for name in LARGE_POSES for p in list_folder(root / name, "pictures") if p.suffix.lower() == ".jpg"]
    labels = [root / "landmarks" / p.parent.name / f"{p.stem}_pts.mat" for p in pictures]
    faces = zip(pictures, labels, read_files(labels, "pts_2d"))
    return collect(root, [(str(face[1]), face) for face in faces], _large_pose, on_invalid)


def original(root: Path, sample: Sample) -> str:
    """Return the picture that a face was turned from: all turns of IMAGE_0_N are named so."""
    return f"{sample.picture.parent.name}/{sample.picture.stem.rpartition('_')[0]}"


def _large_pose(face: tuple[Path, Path, Variables | DatasetError]) -> Sample:
    picture, label, content = face
    if isinstance(content, DatasetError):
        raise content
    points = as_numbers(label, "pts_2d", content[0], (-1, 2))
    return Sample(picture, points, IBUG68, subsets=frozenset({picture.parent.name}))
