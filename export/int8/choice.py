"""Choose the nodes that stay in float32: mixed precision by measured sensitivity, as in HAWQ (Dong et al., ICCV 2019).

What rounding costs is measured for one tensor and one convolution after the other; the errors are nearly uncorrelated,
so their squares add up. What is gained is modelled by multiply-accumulates, less the conversions where int8 and
float32 meet. For a price of the squared error, the best choice is then the minimum cut of a graph, which is exact
(Greig et al., 1989). The price is the lowest one whose choice keeps to the budget when all is rounded together.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass

import networkx
import numpy as np
import onnx
from numpy.typing import NDArray

from export.int8.nodes import PASSED, Nodes, shapes

# Costs on a CPU with VNNI, in units of the time that int8 saves per multiply-accumulate:
CONVERTED = 30  # rounding or restoring a number, with the change of its place in memory
CONVERSION = 400_000  # calling the operators that do it
ADDED = 30  # adding a number to another in float32, unless a convolution in float32 does it on the way
STEPS = 11  # of the search for the price

Errors = Callable[[Collection[str]], NDArray[np.float64]]
"""Distances in pixels from the points in float32, of the model with these nodes in float32."""


@dataclass(frozen=True)
class Losses:
    """Mean squared errors of the points, in square pixels, by rounding alone.

    Attributes:
        activations: of a node, by its name.
        weights: the weights of a convolution, by its name.
    """

    activations: Mapping[str, float]
    weights: Mapping[str, float]


def choose(candidates: Candidates, losses: Losses, errors_px: Errors, within_px: float) -> frozenset[str]:
    """Return the names of the nodes that must stay in float32.

    Args:
        candidates: the nodes that may be in int8.
        losses: measured.
        errors_px: measures all that is rounded together.
        within_px: how far 99 % of the points may be from those in float32.
    """

    @functools.cache
    def suffices(in_float: frozenset[str]) -> bool:
        return bool(np.quantile(errors_px(in_float), 0.99) <= within_px)

    if not candidates.macs:
        return frozenset(candidates.names)
    found, refused = frozenset(candidates.names), frozenset[str]()
    low, high = (math.log(candidates.macs * factor) for factor in (1e-3, 1e6))
    for _ in range(STEPS):
        middle = (low + high) / 2
        in_float = candidates.cut(losses, math.exp(middle))
        if suffices(in_float):
            found, high = in_float, middle
        else:
            refused, low = in_float, middle
    while back := _given_back(candidates, found, refused, suffices):
        found = found - back
    return found


def _given_back(
    candidates: Candidates,
    in_float: frozenset[str],
    refused: frozenset[str],
    suffices: Callable[[frozenset[str]], bool],
) -> frozenset[str]:
    """The node that saves most of those that need not be in float32; the best choice may be a minimum cut for no price.

    Those are left out that were in float32 in a cheaper choice already.
    """
    gains = {name: candidates.saved(in_float - {name}) - candidates.saved(in_float) for name in in_float - refused}
    for name in sorted(gains, key=lambda name: (-gains[name], name)):
        if gains[name] > 0 and suffices(in_float - {name}):
            return frozenset([name])
    return frozenset()


class Candidates:
    """The nodes that may be in int8, and what that saves.

    Args:
        model: in float32.
        names: of the nodes.
        converts: whether float32 and int8 are converted by nodes of their own, as on CPUs, where a node that computes
            in int8 has its activation in int8, too. TensorRT's convolutions read and write both.

    Attributes:
        names: of the nodes.
        macs: the multiply-accumulates of all of them.
        activations: the activation of each of these nodes and of each node that one reads, by node name.
    """

    def __init__(self, model: onnx.ModelProto, names: Set[str], converts: bool) -> None:
        self.names = {*names}
        nodes = Nodes(model)
        sizes = shapes(model)
        weights = {tensor.name: math.prod(tensor.dims) for tensor in model.graph.initializer}
        self.activations: dict[str, str] = {}
        self._converts = converts
        self._macs: dict[str, int] = dict.fromkeys(self.names, 0)
        self._sums: dict[str, tuple[int, str]] = {}  # in float32: the cost, and the convolution that may take it over
        self._readers: dict[str, set[str]] = {}
        self._conversion: dict[str, int] = {}
        for node in [each for each in nodes.all if each.op_type not in PASSED]:
            sources = {each.name: each for each in map(nodes.source, node.input) if each is not None}
            here = {node.name: node} if node.name in self.names else {}
            for name, each in {**sources, **here}.items():
                if not here and name not in self.names:
                    continue
                self.activations[name] = nodes.activation(each)
                size = math.prod(sizes[each.output[0]][1:])
                self._conversion[name] = CONVERSION + CONVERTED * size if converts else 0
                self._readers.setdefault(name, set()).update({node.name} - {name})
                if name == node.name and node.op_type == "Conv":
                    self._macs[name] = math.prod(sizes[node.output[0]][2:]) * weights[node.input[1]]
                elif name == node.name:
                    writers = [nodes.producer(tensor) for tensor in node.input]
                    by = next((writer.name for writer in writers if writer and writer.op_type == "Conv"), "")
                    self._sums[name] = ADDED * size if converts else 0, by
        self.macs = sum(self._macs.values())
        if self.saved() <= 0:  # so small a net is quantised for its size
            self._conversion = dict.fromkeys(self._conversion, 0)
            self._sums = {name: (0, by) for name, (_, by) in self._sums.items()}

    def _rounds(self, name: str) -> set[str]:
        """The candidates that, in int8, have the output of a node rounded."""
        own = {name} & self.names if self._converts else set()
        return (self._readers[name] & self.names) | own

    def saved(self, in_float: Collection[str] = ()) -> int:
        """Return the multiply-accumulates in int8 of a face, less what conversions take.

        Args:
            in_float: the names of the nodes in float32.
        """
        in_int8 = self.names.difference(in_float)
        conversions = 0
        for name, readers in self._readers.items():
            kinds = {each in in_int8 for each in [name, *readers]}
            conversions += self._conversion[name] if len(kinds) > 1 else 0
        sums = sum(cost for name, (cost, by) in self._sums.items() if name not in in_int8 and (not by or by in in_int8))
        return sum(self._macs[name] for name in in_int8) - conversions - sums

    def cut(self, losses: Losses, price: float) -> frozenset[str]:
        """Return the names of the nodes in float32 for which saved less price times the sum of losses is the largest.

        Args:
            losses: measured.
            price: of a square pixel, in multiply-accumulates.
        """
        graph = networkx.DiGraph()
        for name in self.names:
            if name not in self._sums:
                graph.add_edge("int8", name, capacity=self._macs[name])
            graph.add_edge(name, "float32", capacity=round(price * losses.weights.get(name, 0.0)))
        for name, readers in self._readers.items():
            for each in {name, *readers} - self.names:
                graph.add_edge(each, "float32")  # without a capacity, which is an infinite one
            rounded, some, all_ = (f"{name} {kind}" for kind in ("rounded", "some in int8", "all in int8"))
            graph.add_edge(rounded, "float32", capacity=round(price * losses.activations[name]))
            for each in self._rounds(name):
                graph.add_edge(each, rounded)
            graph.add_edge(some, all_, capacity=self._conversion[name])
            for each in {name, *readers}:
                graph.add_edge(each, some)
                graph.add_edge(all_, each)
        for name, (cost, by) in self._sums.items():
            graph.add_edge(by or "int8", name, capacity=cost)
        _, (_, in_float) = networkx.minimum_cut(graph, "int8", "float32")  # exact, as capacities are integers
        return frozenset(self.names.intersection(in_float))
