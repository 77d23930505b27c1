"""A folder of labels.

It has NAME.pts, NAME.spread.csv and a link to the picture for each labelled face, a list of what was left out and why,
and the settings. A run goes on where an earlier one with the same settings stopped.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tracker.datasets.collect import list_folder
from tracker.datasets.pts_files import PICTURE_SUFFIXES
from tracker.datasets.sample import DatasetError
from tracker.engines.spec import parse_json
from tracker.errors import TrackerError
from tracker.face.geometry import Array
from tracker.face.pts import as_pts
from tracker.system.files import is_same, read_plain, read_text, write_file, write_whole

SETTINGS, LEFT_OUT, SUMMARY, SPREAD = "settings.json", "left_out.csv", "summary.json", ".spread.csv"
LARGEST_BYTES = 1 << 20  # of settings
UNREADABLE = "unreadable"
"""In the place of the SHA-256 of a picture that cannot be read."""
SAVE_EVERY = 100  # pictures left out: so many may be looked at again after a run that was killed


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures directly in a folder, by name.

    Args:
        folder: the folder.

    Raises:
        TrackerError: for none, a folder that cannot be read, and two that differ in their suffix only, which could not
            have a label each.
    """
    try:
        files = list_folder(folder, "a folder of pictures")
    except DatasetError as error:
        raise TrackerError(f"{error}; correct --images") from None
    pictures = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    if not pictures:
        raise TrackerError(f"{folder}: expected pictures, found none; correct --images")
    by_stem: dict[str, Path] = {}
    for path in pictures:
        if (other := by_stem.setdefault(path.stem, path)) != path:
            raise TrackerError(
                f"{folder}: {other.name} and {path.name} would share {path.stem}.pts; rename one of them"
            )
    return pictures


def digest_of(picture: Path) -> str:
    """Return the SHA-256 of a picture's bytes, hexadecimal; UNREADABLE if it cannot be read."""
    try:
        return hashlib.sha256(read_plain(picture)).hexdigest()
    except OSError:
        return UNREADABLE


def is_another(picture: Path, digest: str) -> bool:
    """Tell whether a picture is not the one of a digest; one that cannot be read now may be it."""
    return digest_of(picture) not in (digest, UNREADABLE)


def hold_to(folder: Path, settings: Mapping[str, Any]) -> None:
    """Note the settings in a new folder, or compare them with those noted there.

    Args:
        folder: the folder.
        settings: of the run.

    Raises:
        TrackerError: for other settings, or a folder that cannot be written.
    """
    noted_in = folder / SETTINGS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not noted_in.exists():
            _expect_no_labels(folder)
            write_whole(noted_in, json.dumps(settings, indent=1).encode())
    except OSError as error:
        raise TrackerError(f"{folder}: cannot be written: {error.strerror}; give another folder") from None
    try:
        noted = parse_json(read_text(noted_in, LARGEST_BYTES))
    except (OSError, ValueError):
        noted = None
    if not isinstance(noted, dict):
        raise TrackerError(f"{noted_in}: expected JSON; give another folder, or delete this one")
    for name in dict.fromkeys([*settings, *noted]):
        ours, theirs = settings.get(name), noted.get(name)
        if ours != theirs:
            raise TrackerError(
                f"{folder}: was made with {name} {json.dumps(theirs)}, now it is {json.dumps(ours)}; "
                "give the same settings or another folder"
            )


def _expect_no_labels(folder: Path) -> None:
    """Raise TrackerError for a folder with other labels, which would be mixed with these."""
    for path in sorted(folder.iterdir()):
        if path.suffix in (".pts", ".npy", ".sha256") or path.name.endswith(SPREAD) or path.name in (LEFT_OUT, SUMMARY):
            raise TrackerError(f"{folder}: holds {path.name}, which this command did not write; give another folder")


class LeftOut(NamedTuple):
    """Why a picture has no label, and its SHA-256; empty if an earlier version of this command left it out."""

    reason: str
    digest: str = ""


class LabelFolder:
    """The labels of one run.

    Args:
        folder: the folder.
        settings: of the run.

    Raises:
        TrackerError: as hold_to, and for a damaged list of pictures left out.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        hold_to(folder, settings)
        self.folder, self.settings = folder, settings
        self.left_out = self._read_left_out()
        self._beside = {path.stem: path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES}
        self._unsaved = 0

    def done(self, picture: Path) -> bool:
        """Return whether the picture has a label, or was left out and has not changed since.

        Raises:
            TrackerError: if there is a label of this name, of another picture.
        """
        if picture.name in self.left_out:
            digest = self.left_out[picture.name].digest
            return not digest or digest_of(picture) == digest
        if not os.path.exists(self.folder / f"{picture.stem}.pts"):
            return False
        self._has(picture)
        return True

    def labelled(self, pictures: Iterable[Path]) -> list[Path]:
        """Return those that were not left out; earlier runs may have left out others, which are gone."""
        return [picture for picture in pictures if picture.name not in self.left_out]

    def add(self, picture: Path, points_px: Array, spread_px: Array) -> None:
        """Write the labels of a picture, the .pts file last: if it is there, the rest is.

        Args:
            picture: the file.
            points_px: (K, 2) in pixels.
            spread_px: (K,) in pixels.
        """
        self._link(picture)
        rows = "\n".join(["spread_px", *(f"{spread:.4f}" for spread in spread_px), ""])
        write_file(self.folder / f"{picture.stem}{SPREAD}", rows.encode("ascii"))
        write_file(self.folder / f"{picture.stem}.pts", as_pts(points_px))
        self.left_out.pop(picture.name, None)

    def leave_out(self, picture: Path, reason: str) -> None:
        """Note that the picture has no label."""
        self.left_out[picture.name] = LeftOut(reason, digest_of(picture))
        self._unsaved += 1
        if self._unsaved >= SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Write what was left out."""
        rows = io.StringIO()
        table = csv.writer(rows, lineterminator="\n")
        table.writerow(("picture", *LeftOut._fields))
        table.writerows((name, *why) for name, why in sorted(self.left_out.items()))
        write_file(self.folder / LEFT_OUT, rows.getvalue().encode("utf-8", "surrogateescape"))
        self._unsaved = 0

    def _read_left_out(self) -> dict[str, LeftOut]:
        path = self.folder / LEFT_OUT
        if not os.path.exists(path):
            return {}
        try:
            with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                rows = list(csv.reader(file))
        except OSError as error:
            raise TrackerError(f"{path}: cannot be read: {error.strerror}; give another --output") from None
        except csv.Error:
            rows = []
        columns = ["picture", *LeftOut._fields]
        if not rows or rows[0] not in (columns, columns[:2]) or any(len(row) != len(rows[0]) for row in rows):
            raise TrackerError(
                f"{path}: expected the columns {','.join(columns)}; delete it to look at its pictures again"
            )
        return {row[0]: LeftOut(*row[1:]) for row in rows[1:]}

    def _has(self, picture: Path) -> bool:
        """Tell whether the picture is in the folder; raise TrackerError if another one is in its place."""
        beside = self._beside.get(picture.stem, self.folder / picture.name)
        if not os.path.exists(beside):
            return False
        if not is_same(beside, picture) and is_another(picture, digest_of(beside)):
            raise TrackerError(f"{beside}: is another picture than {picture}; give another --output")
        return True

    def _link(self, picture: Path) -> None:
        """Put the picture beside its label: a link if the file system has them, else a copy."""
        if self._has(picture):
            return
        target = self.folder / picture.name
        try:
            target.unlink(missing_ok=True)  # a link to what is gone
            target.symlink_to(os.path.relpath(picture.resolve(), self.folder.resolve()))
        except OSError:
            try:
                content = read_plain(picture)
            except OSError as error:
                raise TrackerError(f"{picture}: cannot be read: {error.strerror}; correct --images") from None
            write_file(target, content)


def read_spread(path: Path) -> Array:
    """Return the spread (K,) in pixels of a .spread.csv file; raise ValueError or OSError for another file."""
    return np.loadtxt(path, skiprows=1, ndmin=1)


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """Return percentiles of numbers, rounded; none if there are no numbers."""
    numbers = np.array(list(values))
    return (
        {f"p{q}": round(float(np.percentile(numbers, q)), 4) for q in (5, 25, 50, 75, 90, 95, 99)}
        if len(numbers)
        else {}
    )
