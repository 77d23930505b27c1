"""Fits temperature and covariances on the validation faces, so that the covariances match the errors."""

from __future__ import annotations

import torch
from torch import Tensor

from export.calibration.temperature import fit_temperature
from export.graph import Calibration, LandmarkGraph
from export.uncertainty import fit_spread, squared_sigmas
from train.codecs.reading import ReadingName
from train.objectives import Isotropic
from train.task import Batch, LandmarkTask, inside


def calibration_of(
    task: LandmarkTask, faces: Batch, decoder: ReadingName | None = None, deviation_scale: float = 1.0
) -> Calibration:
    """Fit the calibration of a net.

    Args:
        task: with the net in evaluation mode.
        faces: of the validation set.
        decoder: of the maps; None for the objective's own.
        deviation_scale: factor on the deviations after the fit.

    Returns:
        The calibration. The temperature is 1 if the maps were not trained as a distribution.
    """
    temperature = _temperature(LandmarkGraph(task).eval(), faces)
    graph = LandmarkGraph(task, decoder=decoder, calibration=Calibration(temperature)).eval()
    return Calibration(temperature, fit_spread(*_errors(graph, faces))._replace(scale=deviation_scale))


def coverage(graph: LandmarkGraph, faces: Batch) -> str:
    """Describe how often a point's error lies within one and two standard deviations of its covariance.

    Args:
        graph: the calibrated graph.
        faces: of the validation set.
    """
    squares = squared_sigmas(*_errors(graph, faces))
    within = [100 * float((squares <= sigmas**2).double().mean()) for sigmas in (1, 2)]
    return (
        f"covariances: {within[0]:.0f} % of the errors lie within 1 sigma and {within[1]:.0f} % within 2 sigma; a "
        "Gaussian in two dimensions has 39 % and 86 %"
    )


def _temperature(graph: LandmarkGraph, faces: Batch) -> float:
    """Return the temperature, rounded to four digits."""
    if not graph.objective.likelihood:
        return 1.0
    with torch.no_grad():
        logits = torch.cat([graph.maps(part)[0] for part in torch.split(faces.crops, 16)])
    smoothing = graph.objective.smoothing
    sigma_cells = smoothing.sigma_cells if isinstance(smoothing, Isotropic) else Isotropic().sigma_cells
    return float(f"{fit_temperature(logits, faces.points_px, graph.stride, sigma_cells):.4g}")


def _errors(graph: LandmarkGraph, faces: Batch) -> tuple[Tensor, Tensor]:
    """Return (M, 2) errors in pixels of the crop and (M, 3) covariances, of the landmarks inside their crops."""
    with torch.no_grad():
        answers = [graph(part) for part in torch.split(faces.crops, 16)]
    points, _, covariances = (torch.cat(parts) for parts in zip(*answers, strict=True))
    counted = inside(faces.points_px, faces.crops.shape[1])
    return (points - faces.points_px)[counted], covariances[counted]
