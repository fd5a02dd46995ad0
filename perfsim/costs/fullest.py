"""What lives at the same time: the activations of every kernel, and the layer at which a memory is fullest."""

from __future__ import annotations

from collections.abc import Iterator

from perfsim.costs.phase import PhaseCost
from perfsim.graph import Role, Tensor
from perfsim.quantities.numbers import Number, largest

__all__ = ["alive_activations", "fullest_layer"]

_ROLES = {
    "weights": Role.WEIGHT, "kv_cache": Role.KV_CACHE, "gradients": Role.GRADIENT,
    "optimizer_states": Role.OPTIMIZER, "workspace": Role.GATHERED,
}  # fmt: skip


def alive_activations(phase: PhaseCost) -> list[Number]:
    """Sum of the activations that are alive while each kernel of a pass runs [byte].

    A tensor lives from the kernel that writes it to the last kernel that reads it; tensors inside a fused
    kernel, and tensors kept on chip, take no main memory. Inputs belong to the caller and live all the time.
    """
    changes: list[Number] = [0] * (len(phase.lowered) + 1)
    for tensor, start, end in _lives(phase):
        changes[start] = changes[start] + tensor.nbytes
        changes[end] = changes[end] - tensor.nbytes
    alive: Number = sum(tensor.nbytes for tensor in phase.graph.of_role(Role.INPUT))
    series = []
    for change in changes[:-1]:
        alive = alive + change
        series.append(alive)
    return series or [alive]


def _lives(phase: PhaseCost) -> Iterator[tuple[Tensor, int, int]]:
    """Activations in main memory, the kernel that writes each, and the first one that no longer needs it."""
    last: dict[str, int] = {}
    born: dict[str, int] = {}
    for index, kernel in enumerate(phase.lowered):
        for _, name in kernel.reads:
            last[name] = index
        for _, name in kernel.writes:
            born[name] = index
    for name, start in born.items():
        tensor = phase.graph.tensors[name]
        if tensor.role is Role.ACTIVATION and tensor.placement.name == "MAIN":
            yield tensor, start, last.get(name, start) + 1


def fullest_layer(phases: tuple[PhaseCost, ...], part: str) -> tuple[str, str]:
    """Name of a layer, and of the tensor there that takes most of one part of the memory.

    part: ``activations``: the kernel at which most of them are alive, and the largest of these; else a part of
    :class:`perfsim.costs.memory.Memory`: its largest tensor, and the first kernel that reads or writes it.
    """
    if part == "activations":
        name, alive = _fullest_moment(phases)
        found = [(tensor, phase) for phase in phases for tensor in phase.graph.of_role(Role.SAVED)]
        most = max(alive, key=_size, default=None)
        if most is not None and all(_size(tensor) <= _size(most) for tensor, _ in found):
            return name, most.name
    else:
        found = [(tensor, phase) for phase in phases for tensor in phase.graph.of_role(_ROLES[part])]
    tensor, phase = max(found, key=lambda pair: _size(pair[0]))
    touching = (
        kernel.name for kernel in phase.lowered
        if any(tensor.name == name for _, name in (*kernel.reads, *kernel.writes))
    )  # fmt: skip
    return next(touching, tensor.region or phase.name), tensor.name


def _fullest_moment(phases: tuple[PhaseCost, ...]) -> tuple[str, list[Tensor]]:
    """Name of the kernel at which most activations are alive, and these."""
    moments = ((phase, index, alive) for phase in phases for index, alive in enumerate(alive_activations(phase)))
    phase, index, _ = max(moments, key=lambda moment: float(largest(moment[2])))
    there = [tensor for tensor, start, end in _lives(phase) if start <= index < end]
    return phase.lowered[index].name, [*there, *phase.graph.of_role(Role.INPUT)]


def _size(tensor: Tensor) -> float:
    return float(largest(tensor.nbytes))
