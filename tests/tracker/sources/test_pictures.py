"""Pictures from their files to everything that is written about them, by name and each for itself."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tracker import Frame, Tracker, TrackerError
from tracker.datasets.pts_files import read_pts
from tracker.run import main
from tracker.sources import Pictures, read_picture
from tracker.sources.pictures import decode_picture

Image = NDArray[np.uint8]
Run = Callable[..., int]


def gradient() -> Image:
    """(40, 60, 3), different in every corner."""
    y, x = np.mgrid[:40, :60]
    return np.stack([4 * x, 6 * y, 255 - 4 * x], -1).astype(np.uint8)


class TestDecoding:
    """Against Pillow, which is another decoder."""

    @pytest.fixture
    def pil(self) -> Any:
        return pytest.importorskip("PIL.Image")

    def same(self, pil: Any, path: Path) -> None:
        from PIL import ImageOps

        with pil.open(path) as image:
            expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
        decoded = decode_picture(path)
        assert decoded.shape == expected.shape
        assert np.abs(decoded - expected).max() <= 2

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
    def test_is_turned_as_it_says(self, pil: Any, tmp_path: Path, suffix: str, orientation: int) -> None:
        if suffix == ".avif" and not (cv2.haveImageWriter(suffix) and suffix in pil.registered_extensions()):
            pytest.skip("OpenCV or Pillow was built without AVIF")
        exif = pil.Exif()
        exif[0x0112] = orientation
        options = {"tiffinfo": {0x0112: orientation}} if suffix == ".tif" else {"exif": exif.tobytes()}
        quality = {} if suffix in (".tif", ".png") else {"quality": 100}
        path = tmp_path / f"a{suffix}"
        pil.fromarray(gradient()).save(path, **options, **quality)
        self.same(pil, path)

    @pytest.mark.parametrize(
        ("name", "mode"),
        [
            ("cmyk.jpg", "CMYK"),
            ("cmyk.tif", "CMYK"),
            ("grey.png", "L"),
            ("grey.jpg", "L"),
            ("one_bit.png", "1"),
            ("palette.png", "P"),
            ("palette.bmp", "P"),
            ("grey_alpha.png", "LA"),
            ("alpha.png", "RGBA"),
            ("alpha.webp", "RGBA"),
            ("photo.jfif", "RGB"),
            ("photo.jp2", "RGB"),
        ],
    )
    def test_modes(self, pil: Any, tmp_path: Path, name: str, mode: str) -> None:
        options: dict[str, Any] = {"quality": 100} if name.endswith(("jpg", "jfif")) else {}
        options = {"lossless": True} if name.endswith("webp") else options
        path = tmp_path / name
        pil.fromarray(gradient()).convert(mode).save(path, **options)
        self.same(pil, path)

    @pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
    def test_of_several_pictures_the_first(self, pil: Any, tmp_path: Path, suffix: str) -> None:
        if suffix == ".gif" and not cv2.haveImageWriter(suffix):
            pytest.skip("this OpenCV has no GIF")
        first, second = (pil.fromarray(image) for image in (gradient(), gradient()[::-1].copy()))
        path = tmp_path / f"a{suffix}"
        first.save(path, save_all=True, append_images=[second], **({"lossless": True} if suffix == ".webp" else {}))
        self.same(pil, path)

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_sixteen_bits(self, tmp_path: Path, suffix: str, channels: int) -> None:
        image = gradient()[..., :channels].astype(np.uint16) * 257
        path = tmp_path / f"a{suffix}"
        path.write_bytes(cv2.imencode(suffix, image)[1].tobytes())
        expected = np.broadcast_to(gradient()[..., ::-1] if channels == 3 else gradient()[..., :1], (40, 60, 3))
        assert np.abs(decode_picture(path).astype(int) - expected).max() <= 1

    def test_says_what_is_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        heic = b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + b"\0\0\0\x14ispe\0\0\0\0" + (8).to_bytes(4, "big") * 2
        (tmp_path / "a.heic").write_bytes(heic)
        with pytest.raises(TrackerError, match="may be HEIC, for which OpenCV has no decoder; convert it to JPEG"):
            decode_picture(tmp_path / "a.heic")
        monkeypatch.setattr(cv2, "imdecode", lambda *_: None)
        monkeypatch.setattr(cv2, "haveImageWriter", lambda name: False)
        (tmp_path / "a.gif").write_bytes(b"GIF89a\x04\0\x04\0")
        with pytest.raises(TrackerError, match="this OpenCV may have no decoder for GIF; install a newer"):
            decode_picture(tmp_path / "a.gif")
        with pytest.raises(TrackerError, match=r"expected a picture, but .*none\.png does not exist"):
            decode_picture(tmp_path / "none.png")


@pytest.fixture
def pictures(tmp_path: Path, frames: list[Frame]) -> Path:
    """Faces of the demo clip, in two folders under the same name, and under names that are hard to take."""
    folder = tmp_path / "in"
    names = {"a.jpg": 0, "a.png": 80, "sub/a.jpg": 10, "B 2: [x] #.PNG": 10, "none.bmp": 55}
    if sys.platform.startswith("linux"):
        names["caf\udce9.png"] = 10
    for name, index in names.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        bgr = np.ascontiguousarray(frames[index].image_rgb[..., ::-1])
        path.write_bytes(cv2.imencode(path.suffix.lower(), bgr)[1].tobytes())
    (folder / "broken.jpg").write_bytes(b"x")
    (folder / "a.pts").write_text("a label")
    return folder


@pytest.fixture
def run(fake_detector: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in this process with a detector that knows the faces: its exit status."""
    monkeypatch.setattr("tracker.tracking.tracker.load_detector", lambda *_: fake_detector)

    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["tracker.run", *map(str, arguments)])
        try:
            return main()
        except SystemExit as stop:
            return int(stop.code or 0)

    return call


def records_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


class TestRun:
    def test_every_output_names_the_picture(
        self, run: Run, pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: Any
    ) -> None:
        out = [
            f(tmp_path) for f in (lambda p: p / "o.jsonl", lambda p: p / "o.csv", lambda p: p / "p", lambda p: p / "d")
        ]
        options = [value for pair in zip(("--output", "--csv", "--pts", "--overlay"), out) for value in pair]
        assert run("--images", pictures, "--recursive", *options) == 0
        named = ["a.jpg", "a.png", "B 2: [x] #.PNG", "none.bmp", "sub/a.jpg"]
        odd = ["caf\\udce9.png"] if (pictures / "caf\udce9.png").exists() else []
        records = records_of(out[0])
        assert sorted(record["picture"] for record in records) == sorted(named + odd)
        faces = {record["picture"]: [face["id"] for face in record["faces"]] for record in records}
        assert faces.pop("none.bmp") == []
        assert all(ids == [1] for ids in faces.values())  # each picture counts from 1
        assert all(face["state"] == "tracking" for record in records for face in record["faces"])
        rows = list(csv.DictReader(out[1].read_text("utf-8").splitlines()))
        assert sorted(row["picture"] for row in rows) == sorted(faces)
        assert {row["face_id"] for row in rows} == {"1"}
        labels = sorted(str(path.relative_to(out[2]).as_posix()) for path in out[2].rglob("*.pts"))
        assert labels == sorted(
            ["a.jpg.pts", "a.png.pts", "sub/a.pts", "B 2: [x] #.pts"] + ["caf\udce9.pts"] * len(odd)
        )
        by_name = {record["picture"]: record for record in records}
        for name, label in (("a.png", "a.png.pts"), ("sub/a.jpg", "sub/a.pts")):
            np.testing.assert_allclose(read_pts(out[2] / label), by_name[name]["faces"][0]["points_px"], atol=0.006)
        drawn = sorted(path.relative_to(out[3]).as_posix() for path in out[3].rglob("*") if path.is_file())
        assert drawn == sorted(named + ["caf\udce9.png"] * len(odd))
        for name in drawn:
            original, annotated = (read_picture(folder / name) for folder in (pictures, out[3]))
            assert original is not None and annotated is not None and original.shape == annotated.shape
            changed = np.abs(original.astype(int) - annotated).max(2) > 60
            assert changed.any() == (name != "none.bmp")
        said = caplog.text
        assert "left out files that are not pictures (1 .pts)" in said
        assert "broken.jpg cannot be decoded as a picture; skipped" in said
        summary = capsys.readouterr().out
        assert f"{len(records)} pictures, {len(faces)} with a face, {len(faces)} faces in all" in summary
        assert "pictures that could not be read: 1" in summary

    def test_a_picture_s_result_does_not_depend_on_the_others(self, run: Run, pictures: Path, tmp_path: Path) -> None:
        together = tmp_path / "all.jsonl"
        assert run("--images", pictures, "--output", together) == 0
        for record in records_of(together):
            if "\\u" in record["picture"]:
                continue
            alone = tmp_path / "one.jsonl"
            assert run("--images", pictures / record["picture"], "--output", alone) == 0
            (one,) = records_of(alone)
            assert (one["picture"], one["faces"]) == (record["picture"], record["faces"])

    def test_several_files_and_a_single_one_drawn(self, run: Run, pictures: Path, tmp_path: Path) -> None:
        assert run("--images", pictures / "a.jpg", pictures / "sub", "--output", tmp_path / "o.jsonl") == 0
        assert [record["picture"] for record in records_of(tmp_path / "o.jsonl")] == ["a.jpg", "sub/a.jpg"]
        for _ in range(2):  # an older one is replaced, as a video is
            assert run("--images", pictures / "a.jpg", "--overlay", tmp_path / "one.webp") == 0
        assert decode_picture(tmp_path / "one.webp").shape == decode_picture(pictures / "a.jpg").shape

    def test_the_options_of_a_file(self, run: Run, pictures: Path, tmp_path: Path) -> None:
        for images in (str(pictures), [str(pictures / "a.jpg"), str(pictures / "sub")]):
            config = tmp_path / "c.yaml"
            config.write_text(json.dumps({"images": images, "recursive": True, "output": str(tmp_path / "o.jsonl")}))
            assert run("--config", config) == 0
            assert {record["picture"] for record in records_of(tmp_path / "o.jsonl")} >= {"a.jpg", "sub/a.jpg"}

    @pytest.mark.parametrize(
        "name", ["null", "[a]", "a # b", "~", "- a", "&a", "true", "2020-01-01", '"q"', "a: b", "{a: 1}", "*", "%s"]
    )
    @pytest.mark.skipif(os.name != "posix", reason="Windows has no such names")
    def test_names_that_yaml_would_take_for_something_else(
        self, run: Run, pictures: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(pictures)
        Path("a.jpg").rename(name)
        for arguments in (["--images", name], ["--images", "a.png", name], [f"--images={name}"]):
            assert run(*arguments, "--output", tmp_path / "o.jsonl") == 0
            assert records_of(tmp_path / "o.jsonl")[-1]["picture"] == name

    def test_labels_beside_their_pictures(self, run: Run, pictures: Path) -> None:
        (pictures / "a.pts").unlink()
        assert run("--images", pictures, "--pts", pictures) == 0
        assert (pictures / "a.jpg.pts").exists()
        assert run("--images", pictures, "--pts", pictures) == 2  # those may be somebody's work

    def test_only_unreadable_ones(self, run: Run, tmp_path: Path, capsys: Any) -> None:
        for index in range(3):
            (tmp_path / f"{index}.jpg").write_bytes(b"x")
        assert run("--images", tmp_path, "--output", tmp_path / "o.jsonl") == 2
        assert f"none of the 3 pictures in {tmp_path} could be decoded" in capsys.readouterr().err


class TestRefusals:
    """Nothing that is there is lost."""

    @pytest.fixture
    def refused(self, run: Run, pictures: Path, capsys: Any) -> Callable[..., str]:
        def sentence(*arguments: object) -> str:
            before = {path: path.read_bytes() for path in pictures.rglob("*") if path.is_file()}
            assert run("--images", *arguments) == 2
            assert {path: path.read_bytes() for path in pictures.rglob("*") if path.is_file()} == before
            return str(capsys.readouterr().err)

        return sentence

    def test_an_annotated_picture_that_is_an_original(self, refused: Any, pictures: Path, tmp_path: Path) -> None:
        for overlay in (pictures, pictures / "a.jpg", pictures / "sub/.."):
            given_as = pictures / "a.jpg" if overlay.suffix else pictures
            assert "--images and --overlay name the same file" in refused(given_as, "--overlay", overlay)
        (tmp_path / "linked").symlink_to(pictures)
        assert "--images and --overlay name the same file" in refused(pictures, "--overlay", tmp_path / "linked")
        (tmp_path / "hard").mkdir()
        os.link(pictures / "a.png", tmp_path / "hard/a.png")
        assert "--images and --overlay name the same file" in refused(pictures, "--overlay", tmp_path / "hard")

    def test_a_picture_that_is_another_output(self, refused: Any, pictures: Path) -> None:
        for option in ("--output", "--csv", "--stats", "--profile"):
            assert f"--images and {option} name the same file" in refused(pictures, option, pictures / "a.jpg")
            sentence = refused(pictures, "--recursive", option, pictures / "sub/a.jpg")
            assert f"--images and {option} name the same file" in sentence

    def test_two_outputs(self, refused: Any, pictures: Path, tmp_path: Path) -> None:
        sentence = refused(pictures, "--overlay", tmp_path / "d", "--output", tmp_path / "d/a.jpg")
        assert "--overlay and --output name the same file" in sentence or "--output and --overlay" in sentence
        for name in ("x.pts", "deep/x.pts"):
            sentence = refused(pictures, "--pts", tmp_path / "p", "--output", tmp_path / "p" / name)
            assert "is in the folder that --pts writes" in sentence

    def test_pictures_that_are_there_already(self, refused: Any, pictures: Path, tmp_path: Path) -> None:
        (tmp_path / "d/sub").mkdir(parents=True)
        (tmp_path / "d/sub/a.jpg").write_bytes(b"an original of the same name")
        sentence = refused(pictures, "--recursive", "--overlay", tmp_path / "d")
        assert f"{tmp_path / 'd/sub/a.jpg'} exists already and is not replaced" in sentence
        assert [path.name for path in (tmp_path / "d").iterdir()] == ["sub"]

    def test_names_that_do_not_fit(self, refused: Any, pictures: Path, tmp_path: Path) -> None:
        assert "expected a folder for 2 annotated" in refused(
            pictures / "a.jpg", pictures / "a.png", "--overlay", tmp_path / "one.png"
        )
        (tmp_path / "file").write_text("x")
        assert "file" in refused(pictures, "--overlay", tmp_path / "file")

    def test_recursive_without_pictures(self, run: Run, capsys: Any) -> None:
        assert run("--demo", "--recursive") == 2
        assert "--recursive is for folders of pictures; name one with --images" in capsys.readouterr().err


def test_a_list_of_pictures_in_an_application(make_tracker: Callable[..., Tracker], pictures: Path) -> None:
    tracker = make_tracker()
    given_as = [pictures / "sub/a.jpg", str(pictures / "a.png")]
    results = list(tracker.run(given_as))
    assert [result.picture for result in results] == ["sub/a.jpg", "a.png"]
    assert [result.path for result in results] == [Path(path) for path in given_as]
    assert [result.picture for result in tracker.run(path for path in given_as)] == ["sub/a.jpg", "a.png"]
    assert [result.picture for result in tracker.run(str(pictures / "a.jpg"))] == ["a.jpg"]
    assert len(list(tracker.run(Pictures(pictures, recursive=True)))) == len(Pictures(pictures, True).pictures) - 1
    assert results[0].plot().shape == decode_picture(pictures / "sub/a.jpg").shape  # read again
