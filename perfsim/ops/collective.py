"""Communication between devices; the bytes are those of the tensors, the time is a link's."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from perfsim.graph import Operator, Shape, Tensors, Unit, Work
from perfsim.quantities.numbers import ceil_div

__all__ = ["AllGather", "AllReduce", "Collective", "ReduceScatter", "SendReceive"]


@dataclass(frozen=True, eq=False)
class Collective(Operator):
    """Base: ``group`` devices take part.

    stride: every how many devices one of the group comes, e.g. 8 for replicas of a model over 8 devices;
    asynchronous: whether other kernels run meanwhile.

    References
    ----------
    .. [1] R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of Collective Communication Operations in
       MPICH", 2005.
    """

    group: int = 1
    stride: int = 1
    asynchronous: bool = False

    kind = "collective"
    unit = Unit.LINK
    reference = "Thakur, Rabenseifner, Gropp 2005"

    def adjoint(self) -> type[Collective] | None:
        """The collective that gradients take the other way; None where they need none."""
        return None

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        return (tensors[self.inputs[0]].shape,)

    def work(self, tensors: Tensors) -> Work:
        return Work(0, self.unit, self.compute_dtype(tensors))

    def volume(self) -> float:
        """Bytes that each device sends inside one domain, per byte of its input [1]."""
        return 1.0

    @property
    def devices(self) -> int:
        """Devices that have to reach each other."""
        return self.group

    @abstractmethod
    def over_domains(self, domain: int) -> tuple[float, float]:
        """Bytes that each device sends inside its domain and between domains, per byte of its input [1].

        For more devices than the ``domain`` of a scale-up link holds.
        """

    def exchanges(self, domain: float) -> int:
        """How often the latency is paid one after the other: once per level."""
        return 1 if self.devices <= domain else 2


@dataclass(frozen=True, eq=False)
class AllReduce(Collective):
    """Sum over all devices, result everywhere: reduce-scatter and all-gather, 2(n−1)/n of the tensor."""

    kind = "all-reduce"

    def volume(self) -> float:
        return 2 * (self.group - 1) / self.group

    def over_domains(self, domain: int) -> tuple[float, float]:
        """Reduce-scatter inside, all-reduce of one slice between domains, all-gather inside."""
        domains = ceil_div(self.group, domain)
        return 2 * (domain - 1) / domain, 2 * (domains - 1) / domains / domain


@dataclass(frozen=True, eq=False)
class AllGather(Collective):
    """Concatenation along one axis, the last by default, result everywhere: each device receives (n−1) shards."""

    axis: int = -1

    kind = "all-gather"

    def adjoint(self) -> type[Collective] | None:
        return ReduceScatter

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        shape = list(tensors[self.inputs[0]].shape)
        shape[self.axis] = shape[self.axis] * self.group
        return (tuple(shape),)

    def volume(self) -> float:
        return float(self.group - 1)

    def over_domains(self, domain: int) -> tuple[float, float]:
        """Each device fetches the shards of its peers in other domains, then all share inside the domain."""
        domains = ceil_div(self.group, domain)
        return float((domain - 1) * domains), float(domains - 1)


@dataclass(frozen=True, eq=False)
class ReduceScatter(Collective):
    """Sum over all devices, of which each keeps its share of one axis, the first by default: (n−1)/n of the tensor."""

    axis: int = 0

    kind = "reduce-scatter"

    def adjoint(self) -> type[Collective] | None:
        return AllGather

    def output_shapes(self, tensors: Tensors) -> tuple[Shape, ...]:
        shape = list(tensors[self.inputs[0]].shape)
        shape[self.axis] = ceil_div(shape[self.axis], self.group)
        return (tuple(shape),)

    def volume(self) -> float:
        return (self.group - 1) / self.group

    def over_domains(self, domain: int) -> tuple[float, float]:
        """Inside the domain first, then each device with its peers in other domains over its share."""
        domains = ceil_div(self.group, domain)
        return (domain - 1) / domain, (domains - 1) / domains / domain


@dataclass(frozen=True, eq=False)
class SendReceive(Collective):
    """Point-to-point hand-over of a tensor from stage to stage: all ``group - 1`` of them, one after the other.

    per_stage: devices of one stage; each sends the whole tensor to its successor; rounds: how often it passes all
    stages, once per part of the network that each of them holds; scattered: whether the devices of a stage, which hold
    the same tensor, send a share each, which their successors gather among themselves [1].

    References
    ----------
    .. [1] D. Narayanan et al., arXiv 2104.04473, section 4.1.
    """

    per_stage: int = 1
    rounds: int = 1
    scattered: bool = False

    kind = "send-receive"

    def adjoint(self) -> type[Collective] | None:
        return SendReceive

    def volume(self) -> float:
        return sum(self._split(float(self._hops), 0.0))

    def _split(self, near: float, far: float) -> tuple[float, float]:
        """Bytes inside a domain and between domains, with what scattered tensors gather inside."""
        if not self.scattered:
            return near, far
        share = 1 / self.per_stage
        return near * share + (near + far) * (1 - share), far * share

    @property
    def _hops(self) -> int:
        """Hand-overs on the way through all parts of the network: the last one ends there."""
        return self.group * self.rounds - 1

    @property
    def devices(self) -> int:
        return self.group * self.per_stage

    def over_domains(self, domain: int) -> tuple[float, float]:
        """Hand-overs stay inside a domain unless the next stage lies in another one."""
        stages_inside = max(1, domain // self.per_stage)
        crossing = ceil_div(self.group, stages_inside) - 1
        crossing = crossing * self.rounds
        return self._split(float(self._hops - crossing), float(crossing))

    def exchanges(self, domain: float) -> int:
        return self._hops
