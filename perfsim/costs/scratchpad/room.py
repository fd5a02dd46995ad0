"""The outer scratchpad over a pass: which features live when, and which have to go to main memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perfsim.costs.lowering import Kernel
from perfsim.costs.scratchpad.layer import Layer
from perfsim.graph import OperatorGraph, Role

__all__ = ["Misfit", "Room", "rooms"]


@dataclass(frozen=True)
class Misfit:
    """What does not fit: which tensor of which layer, into which level, and how many bytes are missing [byte]."""

    layer: str
    tensor: str
    level: str
    needed: float
    there: float

    def __str__(self) -> str:
        return (
            f"{self.tensor} of layer {self.layer} does not fit into {self.level}: {self.needed:.0f} byte needed, "
            f"{self.there:.0f} there, {self.needed - self.there:.0f} too many"
        )


@dataclass(frozen=True)
class Room:
    """The outer scratchpad while one layer runs.

    live: bytes of features in it, with buffers for those that pass through [byte]; spilled: names of the features that
    the layer reads from or writes to main memory; traffic: their bytes [byte]; strip: bytes of the first piece of
    them, which nothing hides [byte]; copies: in how many copies they pass [1].
    """

    live: float
    spilled: tuple[str, ...]
    traffic: float
    strip: float
    copies: int = 0


def rooms(
    kernels: Sequence[Kernel], layers: Sequence[Layer], graph: OperatorGraph, capacity: float
) -> tuple[list[Room], list[Misfit], float]:
    """The scratchpad of ``capacity`` bytes at every kernel, what cannot fit, and the most bytes spilled at once.

    Features stay from the kernel that writes them to the last that reads them. Where those that live at the same time
    are too many, the largest goes to main memory for its whole life and passes the scratchpad in strips of rows.
    """
    sizes, alive = _lives(kernels, graph)
    spilled: set[str] = set()
    found, misfits = [], []
    for index, names in enumerate(alive):
        while True:
            strips = {n: _strip(n, sizes, layers[index], graph) for n in names & spilled if _touched(n, kernels[index])}
            live = sum(sizes[n] for n in names - spilled) + sum(2 * strip for strip in strips.values())
            candidates = [n for n in names - spilled if sizes[n] > 0]
            if live <= capacity or not candidates:
                break
            spilled.add(max(candidates, key=lambda n: (sizes[n], n)))
        if live > capacity:
            worst = max(names, key=lambda n: (sizes[n], n))
            misfits.append(Misfit(kernels[index].lead.name, worst, "l2", live, capacity))
    for index, names in enumerate(alive):
        touched = {n for n in names & spilled if _touched(n, kernels[index])}
        strips = {n: _strip(n, sizes, layers[index], graph) for n in touched}
        live = sum(sizes[n] for n in names - spilled) + sum(2 * strip for strip in strips.values())
        ordered = tuple(sorted(touched))
        passed = sum(sizes[n] for n in touched)
        found.append(Room(live, ordered, passed, sum(strips.values()), 2 * len(touched)))
    return found, misfits, max(sum(sizes[n] for n in names & spilled) for names in alive)


def _touched(name: str, kernel: Kernel) -> bool:
    return any(name == other for _, other in (*kernel.reads, *kernel.writes))


def _lives(kernels: Sequence[Kernel], graph: OperatorGraph) -> tuple[dict[str, float], list[set[str]]]:
    """Bytes of every feature map, and the names of those that live while each kernel runs."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    sizes: dict[str, float] = {}
    for index, kernel in enumerate(kernels):
        for _, name in (*kernel.reads, *kernel.writes):
            tensor = graph.tensors[name]
            if tensor.role in (Role.ACTIVATION, Role.INPUT):
                sizes[name] = float(tensor.nbytes)
                first.setdefault(name, index)
                last[name] = index
    alive: list[set[str]] = [set() for _ in kernels]
    for name, start in first.items():
        for index in range(start, last[name] + 1):
            alive[index].add(name)
    return sizes, alive


def _strip(name: str, sizes: dict[str, float], layer: Layer, graph: OperatorGraph) -> float:
    """Bytes of the rows that a layer needs of a map at once: its window and the next step [byte]."""
    shape = graph.tensors[name].shape
    rows = int(shape[2]) if len(shape) == 4 else 1
    return sizes[name] * min(1.0, (layer.window(1, 1)[0] + layer.stride[0]) / rows)
