"""Which faces are held back to choose by, and that every data set can be had from a configuration."""

from __future__ import annotations

import inspect
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker.face.pts import write_pts
from tracker.face.schemes import IBUG68
from train import sources
from train.datasets.sample import DatasetError, Sample
from train.sources import VALIDATION_SHARE, Own, Source, split


def sample(name: str) -> Sample:
    return Sample(Path(name), np.zeros((68, 2)), IBUG68)


class TestSplit:
    def test_holds_back_its_share(self) -> None:
        training, validation = split([sample(f"{i}.jpg") for i in range(7000)], lambda s: s.picture.name)
        assert len(validation) == pytest.approx(7000 * VALIDATION_SHARE, rel=0.15)
        assert len(training) + len(validation) == 7000

    def test_keeps_what_belongs_together(self) -> None:
        faces = [sample(f"{i % 100}.jpg") for i in range(400)]
        training, validation = split(faces, lambda s: s.picture.name)
        assert validation
        assert not {s.picture for s in training} & {s.picture for s in validation}

    def test_does_not_depend_on_the_others_or_their_order(self) -> None:
        faces = [sample(f"{i}.jpg") for i in range(300)]
        _, held = split(faces, lambda s: s.picture.name)
        _, again = split(faces[::-2], lambda s: s.picture.name)
        assert {s.picture for s in again} == {s.picture for s in held} & {s.picture for s in faces[::-2]}


def test_own_pictures(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(2, 30, (68, 2))
    for i in range(40):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.zeros((32, 32, 3), np.uint8))
        write_pts(tmp_path / f"{i}.pts", points)
    training, validation = Own(tmp_path, "ibug68").faces()
    assert len(training) + len(validation) == 40
    with pytest.raises(DatasetError, match="unknown landmark scheme 'face68'"):
        Own(tmp_path, "face68").faces()


MADE = [cls for _, cls in inspect.getmembers(sources, inspect.isclass) if issubclass(cls, Source) and cls is not Source]


@pytest.mark.parametrize("cls", MADE)
def test_a_missing_set_is_one_sentence(cls: type[Source], tmp_path: Path) -> None:
    fields = inspect.signature(cls).parameters
    options = {"root": tmp_path / "gone", "path": tmp_path / "gone", "pictures": tmp_path, "scheme": "ibug68"}
    with pytest.raises(DatasetError, match="gone") as error:
        cls(**{name: value for name, value in options.items() if name in fields}).faces()
    assert "\n" not in str(error.value)
