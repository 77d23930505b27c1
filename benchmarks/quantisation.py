"""python -m benchmarks.quantisation --labels 300W/labels: the error of encoding and decoding alone, without a network.

The labels of 300W's test sets are encoded at 256 px in and 64 x 64 cells out, decoded, and compared with themselves
(Lan et al., HIH, Fig. 4 and Table IX; Bulat et al., Subpixel, Fig. 3). No picture is needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tracker.cli.command import run_command
from tracker.errors import TrackerError
from tracker.face.crop import VIEW, roi_of_landmarks
from tracker.face.geometry import Array, transform_points
from tracker.face.schemes import IBUG68
from tracker.metrics.nme import Normaliser, nme
from train.codecs import hih, integer, offsets, subpixel
from train.codecs.decoders import DECODERS, Decoder, DecoderName

SIZE, CELLS, STRIDE = 256, 64, 4
AT_ONCE = 16  # faces
FILES = {"common": "valid_common", "challenging": "valid_challenge", "private": "test"}
FULL = ("common", "challenging")
SIGMA = 1.0  # cells: HIH's and HRNet's for 300W, and the width of Subpixel's 5 x 5 cells

Codec = Callable[[Tensor], Tensor]
"""Points (N, K, 2) in pixels of the crop, encoded and decoded."""
View = Callable[[Array], Array]
"""A face's labels (K, 2) in its picture, in our pixels, as points in a crop of SIZE."""


def of_rounded(points_px: Tensor, decoder: Decoder) -> Tensor:
    """Encode with Gaussians centred on a cell, and decode."""
    return decoder(_log(integer.encode(points_px, CELLS, STRIDE, SIGMA)), STRIDE)[0]


def of_edges(points_px: Tensor) -> Tensor:
    """Encode and decode like HIH's code without decimals: cell j stands for its first edge, and edges are rounded."""
    return of_rounded(points_px + STRIDE / 2, DECODERS["argmax"]) - STRIDE / 2


def of_continuous(points_px: Tensor, decoder: Decoder) -> Tensor:
    """Encode with Gaussians centred on the point, and decode."""
    return decoder(_log(subpixel.encode(points_px, CELLS, STRIDE, SIGMA)), STRIDE)[0]


def of_subpixel(points_px: Tensor, temperature: float) -> Tensor:
    """Encode and decode with Subpixel Heatmap Regression."""
    maps = subpixel.encode(points_px, CELLS, STRIDE, SIGMA)
    return subpixel.decode(maps, STRIDE, temperature=temperature)[0]


def of_hih(points_px: Tensor, decimals: int, encoded: hih.Places, decoded: hih.Places) -> Tensor:
    """Encode and decode with HIH's maps."""
    maps, small = hih.encode(points_px, CELLS, STRIDE, SIGMA, decimals, places=encoded)
    return hih.decode(_log(maps), small, STRIDE, places=decoded)[0]


def of_vector(points_px: Tensor) -> Tensor:
    """Encode and decode with an offset vector."""
    maps, vector = offsets.encode_vector(points_px, CELLS, STRIDE, SIGMA)
    return offsets.decode_vector(_log(maps), vector, STRIDE)[0]


def of_map(points_px: Tensor) -> Tensor:
    """Encode and decode with an offset map."""
    maps, offset_map = offsets.encode_map(points_px, CELLS, STRIDE, SIGMA)
    return offsets.decode_map(_log(maps), offset_map, STRIDE)[0]


def _log(maps: Tensor) -> Tensor:
    """Return logits whose softmax is the normalised heatmap."""
    return maps.clamp_min(1e-30).log()


EVEN: tuple[DecoderName, ...] = ("argmax", "quarter", "dark")  # the others as well: tests/train/codecs/test_codecs.py
CODECS: dict[str, Codec] = {
    **{f"rounded Gaussian, {name}": partial(of_rounded, decoder=DECODERS[name]) for name in EVEN},
    "rounded as in HIH's code, argmax": of_edges,
    **{f"continuous Gaussian, {name}": partial(of_continuous, decoder=d) for name, d in DECODERS.items()},
    "Subpixel's, temperature 10": partial(of_subpixel, temperature=subpixel.TEMPERATURE),
    "Subpixel's, temperature 5": partial(of_subpixel, temperature=5.0),
    **{f"HIH {d}x{d}, middles": partial(of_hih, decimals=d, encoded="middles", decoded="middles") for d in (4, 8, 16)},
    **{f"HIH {d}x{d}, its code": partial(of_hih, decimals=d, encoded="edges", decoded="edges") for d in (4, 8, 16)},
    "HIH 8x8, as printed": partial(of_hih, decimals=8, encoded="middles", decoded="edges"),
    "offset vector": of_vector,
    "offset map": of_map,
}


def our_view(labels_px: Array) -> Array:
    """Return the labels in this project's crop."""
    return transform_points(roi_of_landmarks(labels_px).crop_from_image(SIZE), labels_px)


def hih_view(labels_px: Array) -> Array:
    """Return the labels in the crop of HIH's data, which is that of PIPNet.

    The 1-based labels are truncated to whole pixels, and 1.1 times their width and height are stretched to SIZE. PIPNet
    also keeps the crop inside the picture, which is not available here.
    """
    whole = np.trunc(labels_px + 1)
    low, sides = whole.min(0), np.ptp(whole, axis=0)
    corner = np.maximum(low - np.trunc(0.05 * sides), 0)
    return np.asarray((whole - corner) / np.trunc(1.1 * sides) * SIZE - 0.5)


def subpixel_view(labels_px: Array) -> Array:
    """Return the labels in a crop in which the larger extent of the face is about 220 of 256 px."""
    return our_view(labels_px) * (220 / (SIZE / VIEW)) + (1 - 220 / (SIZE / VIEW)) * (SIZE - 1) / 2


VIEWS: dict[str, tuple[View, Normaliser, tuple[str, ...]]] = {
    f"The crop of this project, {VIEW} times the larger extent": (our_view, "ocular", tuple(FILES)),
    "HIH's crop": (hih_view, "ocular", FULL),
    "Subpixel's crop": (subpixel_view, "box", ("private",)),
}
"""Whose crop, what errors are divided by, and on which sets."""


def main() -> int:
    """Run the command line."""
    return run_command(quantisation, "benchmarks.quantisation")


def quantisation(labels: Path, threads: int = 1) -> None:
    """Print a table for each crop: NME in percent of each codec on each test set.

    Args:
        labels: the folder with valid_common.csv.gz, valid_challenge.csv.gz and test.csv.gz of 300W.
        threads: of PyTorch.
    """
    torch.set_num_threads(threads)
    faces = {name: read_labels(labels / f"{file}.csv.gz") for name, file in FILES.items()}
    for title, (view, by, sets) in VIEWS.items():
        rows = table({name: faces[name] for name in sets}, view, by)
        print(f"{title}, NME by {by}, in percent:\n\n{rows}\n", flush=True)


def read_labels(path: Path) -> Array:
    """Read the faces (N, 68, 2) of a table of HRNet, which is 1-based, with the first pixel's centre at 0.

    Raises TrackerError for a file that cannot be read or is another table.
    """
    try:
        values = np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(4, 140), ndmin=2)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise TrackerError(
            f"{path}: expected a table of 300W with 68 labels from the 5th column on ({reason})"
        ) from None
    return np.asarray(values.reshape(-1, 68, 2) - 1)


def table(faces: Mapping[str, Array], view: View, by: Normaliser = "ocular") -> str:
    """Format a row for each codec, a column for each set of faces (N, 68, 2), and one for common and challenging."""
    crops = {name: np.stack([view(face) for face in some]) for name, some in faces.items()}
    rows = []
    for codec, through in CODECS.items():
        found = {name: errors(through, some, by) for name, some in crops.items()}
        if set(FULL) <= set(found):
            found["full"] = np.concatenate([found[name] for name in FULL])
        rows.append([codec, *(f"{100 * values.mean():.3f}" for values in found.values())])
    head = [["codec", *found], ["---"] * len(rows[0])]
    return "\n".join(f"| {' | '.join(row)} |" for row in head + rows)


def errors(codec: Codec, crops_px: Array, by: Normaliser = "ocular") -> Array:
    """Return the NME (N,) of each face (N, 68, 2) in pixels of its crop, a fraction."""
    chunks = torch.split(torch.from_numpy(crops_px.astype(np.float32)), AT_ONCE)
    found = np.concatenate([codec(chunk).numpy() for chunk in chunks])
    return np.array([nme(points, truth, IBUG68, by) for points, truth in zip(found, crops_px, strict=True)])


if __name__ == "__main__":
    sys.exit(main())
