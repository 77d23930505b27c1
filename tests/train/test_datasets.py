"""Which faces are held back to choose by, and that every data set can be had from a configuration."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.datasets.pts_files import write_pts
from tracker.datasets.sample import DatasetError, Sample
from tracker.face.schemes import IBUG68
from train import datasets
from train.datasets import VALIDATION_SHARE, W300, CustomDataset, Source, _number, split


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

    @given(st.sets(st.integers(0, 10**6), min_size=2, max_size=20), st.floats(1e-6, 1 - 1e-6))
    @settings(max_examples=40)
    def test_leaves_no_side_empty_and_moves_none_but_for_that(self, numbers: set[int], share: float) -> None:
        training, validation = split([sample(str(i)) for i in numbers], lambda s: s.picture.name, share)
        assert training and validation
        assert max(_number(s.picture.name) for s in validation) < min(_number(s.picture.name) for s in training)
        below = sum(_number(str(i)) < share for i in numbers)
        assert len(validation) == min(max(below, 1), len(numbers) - 1)

    def test_takes_names_that_are_no_utf_8(self) -> None:
        assert _number("a\udcff") != _number("a\udcfe")

    def test_of_two_pictures_is_one_each(self) -> None:
        faces = [sample(f"{i % 2}.jpg") for i in range(6)]
        assert [len(side) for side in split(faces, lambda s: s.picture.name)] == [3, 3]

    def test_of_one_picture_says_what_to_do(self) -> None:
        with pytest.raises(DatasetError, match=r"a\.jpg: expected at least 2 pictures.*validation to none"):
            split([sample("a.jpg")] * 3, lambda s: s.picture.name)

    @pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, 32, float("nan"), float("inf")])
    def test_a_share_that_is_none_is_refused(self, share: float) -> None:
        with pytest.raises(DatasetError, match=r"data\.source\.validation: expected a share between 0 and 1"):
            split([sample(f"{i}.jpg") for i in range(9)], lambda s: s.picture.name, share)

    def test_of_300w_is_the_one_that_the_published_models_were_chosen_by(self, shared: Path) -> None:
        """Counted and hashed before the share became an option."""
        training, validation = W300(shared / "data/300w").faces()
        names = [
            s.picture.relative_to(shared / "data/300w").as_posix() for side in (training, validation) for s in side
        ]
        assert (len(training), len(validation)) == (1864, 145)
        assert (
            hashlib.sha256("\n".join(names).encode()).hexdigest()
            == "e5757fce3122b197a46535460a12546c66e0d61c0c70738e401bde7d3074739e"
        )


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pictures with labels, and two others."""
    root, points = tmp_path_factory.mktemp("own"), np.random.default_rng(0).uniform(2, 30, (68, 2))
    for folder, names in {"all": range(40), "few": range(12), "others": (100, 101), "one": (5,)}.items():
        (root / folder).mkdir()
        for i in names:
            cv2.imwrite(str(root / folder / f"{i}.png"), np.zeros((32, 32, 3), np.uint8))
            write_pts(root / folder / f"{i}.pts", points)
    return root


class TestOwn:
    @pytest.mark.parametrize(("folder", "count"), [("all", 40), ("few", 12), ("others", 2)])
    def test_every_picture_is_on_one_side(self, own: Path, folder: str, count: int) -> None:
        training, validation = CustomDataset(own / folder, "ibug68").faces()
        assert len(training) + len(validation) == count
        assert training and validation

    def test_an_unknown_scheme_is_refused(self, own: Path) -> None:
        with pytest.raises(DatasetError, match="unknown landmark scheme 'face68'"):
            CustomDataset(own / "all", "face68").faces()

    def test_one_picture_is_too_few_unless_nothing_is_held_back(self, own: Path) -> None:
        with pytest.raises(DatasetError, match=r"5\.png: expected at least 2 pictures"):
            CustomDataset(own / "one", "ibug68").faces()
        training, validation = CustomDataset(own / "one", "ibug68", validation="none").faces()
        assert (len(training), validation) == (1, [])

    def test_a_larger_share(self, own: Path) -> None:
        training, validation = CustomDataset(own / "all", "ibug68", validation=0.5).faces()
        assert 10 < len(validation) < 30
        assert len(training) + len(validation) == 40

    def test_another_set(self, own: Path) -> None:
        source = CustomDataset(own / "all", "ibug68", validation=own / "others")
        training, validation = source.faces()
        assert (len(training), len(validation)) == (40, 2)
        assert source.chooses

    def test_another_set_must_have_other_pictures(self, own: Path) -> None:
        with pytest.raises(DatasetError, match="expected other pictures to validate with than to train on"):
            CustomDataset(own / "all", "ibug68", validation=own / "all/../all").faces()

    @pytest.mark.parametrize("validation", ["none", "test-for-reporting-only"])
    def test_all_faces_are_trained_on(self, own: Path, validation: Any) -> None:
        source = CustomDataset(own / "all", "ibug68", own / "others", validation=validation)
        training, others = source.faces()
        assert (len(training), len(others)) == (40, 0 if validation == "none" else 2)
        assert not source.chooses


def test_300w_can_be_trained_on_as_a_whole(w300: Path) -> None:
    assert [len(side) for side in W300(w300, validation="none").faces()] == [12, 0]
    with pytest.raises(DatasetError, match=r"expected a share, none or test-for-reporting-only, got elsewhere"):
        W300(w300, validation=Path("elsewhere")).faces()  # type: ignore[arg-type]


MADE = [
    cls for _, cls in inspect.getmembers(datasets, inspect.isclass) if issubclass(cls, Source) and cls is not Source
]


@pytest.mark.parametrize("cls", MADE)
def test_a_missing_set_is_one_sentence(cls: type[Source], tmp_path: Path) -> None:
    fields = inspect.signature(cls).parameters
    options = {"root": tmp_path / "gone", "path": tmp_path / "gone", "pictures": tmp_path, "scheme": "ibug68"}
    with pytest.raises(DatasetError, match="gone") as error:
        cls(**{name: value for name, value in options.items() if name in fields}).faces()
    assert "\n" not in str(error.value)
