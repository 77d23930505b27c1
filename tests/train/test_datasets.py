"""Which faces are held back to choose by, and that every data set can be had from a configuration."""

from __future__ import annotations

import hashlib
import inspect
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from tracker.datasets.pts_files import write_pts
from tracker.datasets.registry import SETS, LabelledSet
from tracker.datasets.sample import DatasetError, Sample
from tracker.face.schemes import IBUG68, SCHEMES
from train import datasets
from train.datasets import (
    VALIDATION_SHARE,
    W300,
    Cofw68,
    Combined,
    CustomDataset,
    Menpo,
    Official,
    Registered,
    Source,
    W300Lp,
    _number,
    split,
)
from train.loaders import FaceData


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


class TestCombined:
    def test_the_first_set_is_validated_and_tested_on(self, own: Path, w300: Path) -> None:
        alone = W300(w300)
        both = Combined([alone, CustomDataset(own / "few", "ibug68"), CustomDataset(own / "others", "ibug68")])
        (training, validation), (expected, held_back) = both.faces(), alone.faces()
        assert [face.name for face in validation] == [face.name for face in held_back]
        assert [face.name for face in training[: len(expected)]] == [face.name for face in expected]
        assert len(training) == len(expected) + 12 + 2
        assert len(both.labelled()) == len(alone.labelled()) + 12 + 2

    def test_tested_on_the_first_alone(self, own: Path) -> None:
        first = CustomDataset(own / "few", "ibug68", test_path=own / "others")
        both = Combined([first, CustomDataset(own / "all", "ibug68", test_path=own / "all")])
        assert [face.name for face in both.test()] == [face.name for face in first.test()]

    def test_no_picture_is_on_both_sides(self, own: Path) -> None:
        first = CustomDataset(own / "few", "ibug68", validation=own / "others")
        with pytest.raises(DatasetError, match="expected other pictures to validate with than to train on"):
            Combined([first, CustomDataset(own / "others", "ibug68")]).faces()

    @pytest.mark.parametrize("validation", ["none", 0.3])
    def test_the_first_set_says_whether_weights_are_chosen(self, own: Path, validation: Any) -> None:
        first = CustomDataset(own / "few", "ibug68", validation=validation, on_invalid="skip")
        both = Combined([first, CustomDataset(own / "others", "ibug68", on_invalid="skip")])
        assert (both.chooses, both.on_invalid) == (first.chooses, "skip")
        assert len(both.faces()[1]) == len(first.faces()[1])

    @pytest.mark.parametrize("validation", ["none", "test-for-reporting-only"])
    def test_without_validation_faces_those_of_the_first_set_are_shown(self, own: Path, validation: Any) -> None:
        first = CustomDataset(own / "few", "ibug68", own / "others", validation=validation)
        both = Combined([first, CustomDataset(own / "all", "ibug68")])
        assert [face.name for face in both.trained_on()] == [face.name for face in first.trained_on()]
        data = FaceData(both, size=32, workers=0)
        data.setup("validate")
        assert len(data.validation) == len(first.trained_on() if validation == "none" else first.test())

    def test_other_landmarks_are_refused(self, own: Path) -> None:
        other = CustomDataset(own / "others", "ibug68")
        face = replace(other.labelled()[0], scheme=SCHEMES["ibug51"])
        other.labelled = lambda: [face]  # type: ignore[method-assign]
        both = Combined([CustomDataset(own / "few", "ibug68"), other])
        for use in (both.faces, both.labelled):
            with pytest.raises(DatasetError, match="expected the landmarks of the first data set, ibug68, got ibug51"):
                use()

    def test_invalid_faces_are_refused_in_all_or_skipped_in_all(self, own: Path) -> None:
        sets = [CustomDataset(own / "few", "ibug68"), CustomDataset(own / "others", "ibug68", on_invalid="skip")]
        with pytest.raises(DatasetError, match="expected the same on_invalid of all, got refuse and skip"):
            Combined(list(sets))

    def test_no_data_set_is_refused(self) -> None:
        with pytest.raises(DatasetError, match=r"sources: expected a list of data sets, got an empty one"):
            Combined([])


MADE = [
    cls
    for _, cls in inspect.getmembers(datasets, inspect.isclass)
    if issubclass(cls, Source) and not inspect.isabstract(cls) and cls is not Cofw68
]


@pytest.mark.parametrize("cls", MADE)
def test_a_missing_set_is_one_sentence(cls: type[Source], tmp_path: Path) -> None:
    fields, gone = inspect.signature(cls).parameters, tmp_path / "gone"
    options = {"root": gone, "path": gone, "pictures": tmp_path, "scheme": "ibug68", "name": "wflw"}
    options |= {"sources": [CustomDataset(gone, "ibug68")]}
    with pytest.raises(DatasetError, match="gone") as error:
        cls(**{name: value for name, value in options.items() if name in fields}).faces()
    assert "\n" not in str(error.value)


def test_every_set_of_the_registry_can_be_trained_on_by_its_name(w300: Path) -> None:
    classes = [cls for _, cls in inspect.getmembers(datasets, inspect.isclass) if issubclass(cls, Official)]
    own = [cls.known for cls in classes if isinstance(cls.known, LabelledSet)]
    assert {id(each) for each in own} == {id(each) for each in SETS.values()}
    for side, other in zip(Registered(w300, name="300w").faces(), W300(w300).faces(), strict=True):
        assert [sample.name for sample in side] == [sample.name for sample in other]


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"name of a data set, one of 300w, .*, got wflw98; did you mean wflw"):
        Registered(tmp_path, name="wflw98").faces()


def test_cofw68_is_for_tests_alone(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="COFW-68 has no training faces: train on another"):
        Cofw68(tmp_path).faces()
    with pytest.raises(DatasetError, match="COFW_test_color"):
        Cofw68(tmp_path).test()


class TestSplitOne:
    @pytest.fixture
    def root(self, w300: Path, tmp_path: Path) -> Path:
        """300W with its full test set, and the private set beside it."""
        shutil.copytree(w300, tmp_path / "300w")
        for name in ("helen/testset", "lfpw/testset", "ibug"):
            shutil.copytree(w300 / "afw", tmp_path / "300w" / name)
        for name in ("01_Indoor", "02_Outdoor"):
            shutil.copytree(w300 / "lfpw/trainset", tmp_path / "private" / name)
        return tmp_path

    def test_trains_on_the_full_test_set_too_and_tests_on_the_private_one(self, root: Path) -> None:
        source = W300(
            root / "300w", test_split="private", validation="none", test_root=root / "private", training="split_one"
        )
        official = W300(root / "300w", validation="none")
        assert (len(official.faces()[0]), len(official.test())) == (12, 12)
        assert len(source.faces()[0]) == 24
        assert {face.picture for face in source.test()}.isdisjoint(face.picture for face in source.faces()[0])
        assert {name for face in source.test() for name in face.subsets} == {"indoor", "outdoor"}

    def test_is_never_tested_on_what_it_was_trained_on(self, root: Path) -> None:
        with pytest.raises(DatasetError, match=r"expected data\.source\.test_split to be private, got full"):
            W300(root / "300w", training="split_one").faces()

    def test_holds_faces_of_all_its_folders_back(self, root: Path) -> None:
        source = W300(root / "300w", test_split="private", validation=0.5, training="split_one")
        training, validation = source.faces()
        assert len(training) + len(validation) == 24


class TestW300Lp:
    """Pictures AFW/NAME_0.jpg and labels landmarks/AFW/NAME_0_pts.mat with pts_2d."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        rng = np.random.default_rng(0)
        for name in ("AFW", "HELEN", "IBUG", "LFPW", "AFW_Flip"):
            (tmp_path / name).mkdir()
            (tmp_path / "landmarks" / name).mkdir(parents=True)
            for turn in range(2):
                cv2.imwrite(str(tmp_path / name / f"{name}_a_{turn}.jpg"), np.zeros((60, 60, 3), np.uint8))
                label = {"pts_2d": rng.uniform(5, 55, (68, 2)), "pts_3d": np.zeros((68, 2))}
                savemat(tmp_path / "landmarks" / name / f"{name}_a_{turn}_pts.mat", label)
        return tmp_path

    def test_are_the_faces_that_are_not_mirrored(self, root: Path) -> None:
        faces = W300Lp(root, validation="none").labelled()
        assert [face.picture.stem for face in faces][:3] == ["AFW_a_0", "AFW_a_1", "HELEN_a_0"]
        assert len(faces) == 8
        stored = loadmat(root / "landmarks/IBUG/IBUG_a_1_pts.mat")["pts_2d"]
        assert np.array_equal(faces[5].points_px, stored)
        assert faces[5].scheme is IBUG68

    def test_turns_of_one_picture_fall_on_one_side(self, root: Path) -> None:
        training, validation = W300Lp(root, validation=0.4).faces()
        assert {face.picture.parent for face in training}.isdisjoint(face.picture.parent for face in validation)

    def test_a_picture_without_a_label_is_named(self, root: Path) -> None:
        (root / "landmarks/HELEN/HELEN_a_1_pts.mat").unlink()
        with pytest.raises(DatasetError, match=r"HELEN_a_1_pts\.mat: .*no such file"):
            W300Lp(root).labelled()
        assert len(W300Lp(root, on_invalid="skip").labelled()) == 7

    def test_has_no_test_faces(self, root: Path) -> None:
        with pytest.raises(DatasetError, match="300W-LP has no test faces"):
            W300Lp(root).test()


class TestMenpo:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """Two folders, in each two near-frontal faces and one in profile."""
        rng = np.random.default_rng(0)
        for folder in (tmp_path, tmp_path / "more"):
            folder.mkdir(exist_ok=True)
            for name, count in (("frontal_1", 68), ("frontal_2", 68), ("profile", 39)):
                cv2.imwrite(str(folder / f"{name}.jpg"), np.zeros((60, 60, 3), np.uint8))
                write_pts(folder / f"{name}.pts", rng.uniform(5, 55, (count, 2)))
        return tmp_path

    def test_are_the_near_frontal_faces(self, root: Path) -> None:
        faces = Menpo(root, test_root=root / "more", validation="none")
        assert [face.picture.relative_to(root).as_posix() for face in faces.labelled()] == [
            "frontal_1.jpg",
            "frontal_2.jpg",
            "more/frontal_1.jpg",
            "more/frontal_2.jpg",
        ]
        assert len(faces.test()) == 2

    def test_another_number_of_points_is_a_mistake_not_a_profile(self, root: Path) -> None:
        write_pts(root / "profile.pts", np.random.default_rng(1).uniform(5, 55, (40, 2)))
        with pytest.raises(DatasetError, match="expected 68 points, got 40"):
            Menpo(root).labelled()

    def test_a_label_without_a_picture_is_named(self, root: Path) -> None:
        (root / "more/profile.jpg").unlink()
        with pytest.raises(DatasetError, match=r"profile\.pts: expected one picture and one \.pts file"):
            Menpo(root).labelled()

    def test_has_to_be_told_what_to_test_on(self, root: Path) -> None:
        with pytest.raises(DatasetError, match=r"give data\.source\.test_root"):
            Menpo(root).test()
