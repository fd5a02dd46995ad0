"""Stitched networks: early layers of a small network, late layers of a large one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.errors import GraphError
from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.graph.regions import carried
from perfsim.ops import Linear
from perfsim.techniques.base import Context, OptionalRewrite, parameter
from perfsim.workloads import Phase, Plan

__all__ = ["Stitching", "stitched"]


@dataclass(frozen=True, kw_only=True)
class Stitching(OptionalRewrite):
    """The first ``share`` of the layers is that of the network ``small``, the rest that of the model asked for.

    A linear stitching layer turns features of one width into the other. Work, traffic and weights interpolate between
    the two networks; with ``resident`` 1 both stay in memory whole, for switching between stitches at run time. The
    two must be of one family: one repeated kind of layer, of which each passes on what the next takes.

    References
    ----------
    .. [1] Z. Pan et al., "Stitchable Neural Networks", arXiv 2302.06586.
    """

    small: str = parameter("", "catalogue name of the network of the early layers; empty for none", unit="name")
    share: float = parameter(0.5, "early layers over those of the small network", least=0.0, most=1.0)
    resident: int = parameter(0, "1 if all weights of both networks stay in memory, else 0", least=0, most=1)

    name = "stitching"
    reference = "arXiv 2302.06586"
    idempotent = False
    neutral = {"small": ""}
    turn = 1

    def requires(self, plan: Plan, context: Context) -> str | None:
        if context.system.count > 1:
            return "a stitched network is not spread over devices; use count=1"
        other = context.find_model(self.small)
        if type(other) is not type(context.model):
            return f"{other.name} is a {other.family} of another kind, whose layers do not fit"
        if any(len(p.graph.regions) != 1 for p in plan.phases):
            return "its layers are of several kinds, of which no share can be replaced"
        passes, own = ([(p.name, p.sequences) for p in made] for made in (self._early(plan, context), plan.phases))
        return None if passes == own else "another technique makes other phases of the job; state one of them"

    def apply(self, plan: Plan, context: Context) -> Plan:
        both = zip(self._early(plan, context), plan.phases, strict=True)
        return plan.replace(phases=tuple(replace(p, graph=self._joined(early.graph, p.graph)) for early, p in both))

    def _early(self, plan: Plan, context: Context) -> tuple[Phase, ...]:
        """What the job makes of the network of the early layers."""
        return plan.job.plan(context.find_model(self.small), context.stack).phases

    def _joined(self, early: OperatorGraph, late: OperatorGraph) -> OperatorGraph:
        graph = stitched(early, late, self.share)
        if not self.resident:
            return graph
        dtype = next(graph.of_role(Role.WEIGHT)).dtype
        rest = max(0, early.parameters + late.parameters - graph.parameters)
        spare = Tensor("stitching.rest", (rest,), dtype, Role.WEIGHT)
        return replace(graph, tensors={**graph.tensors, spare.name: spare})


def stitched(early: OperatorGraph, late: OperatorGraph, share: float) -> OperatorGraph:
    """The first ``share`` of the layers of ``early``, a linear layer, the other layers of ``late`` and its end.

    As many layers of ``late`` are left out as the share is of its depth.

    Raises
    ------
    GraphError
        if one of them passes no features from layer to layer.
    """
    region = next(iter(late.regions))
    first = next(iter(early.regions))
    taken = round(share * int(early.regions[first]))
    left = int(late.regions[region]) - round(share * int(late.regions[region]))
    if not taken or not left:
        return late if not taken else early
    leaving, entering = carried(early, first)[1], carried(late, region)[0]
    front = _until(early, first)
    names = {n: f"small.{n}" for op in front for n in (*op.inputs, *op.outputs)}
    tensors = {new: _own(early.tensors[old], new, names) for old, new in names.items()}
    operators = [_renamed(op, names) for op in front]
    source = tensors[names[leaving]]
    narrow, wide = source.shape[-1], late.tensors[entering].shape[-1]
    weight = Tensor("stitch.weight", (narrow, wide), next(early.of_role(Role.WEIGHT)).dtype, Role.WEIGHT)
    joint = late.tensors[entering].replace(name="stitch.out")
    operators.append(Linear("stitch", (source.name, weight.name), (joint.name,)))
    back = late.operators[len(late.operators) - len(_from(late, region)) :]
    operators += [replace(op, inputs=tuple(joint.name if n == entering else n for n in op.inputs)) for op in back]
    used = {n for op in back for n in (*op.inputs, *op.outputs)}
    tensors |= {weight.name: weight, joint.name: joint}
    tensors |= {name: t for name, t in late.tensors.items() if name in used and name != entering}
    return OperatorGraph(tuple(operators), tensors, {f"small.{first}": taken, region: left})


def _until(graph: OperatorGraph, region: str) -> tuple[Operator, ...]:
    last = max(index for index, op in enumerate(graph.operators) if op.region == region)
    return graph.operators[: last + 1]


def _from(graph: OperatorGraph, region: str) -> tuple[Operator, ...]:
    first = next((index for index, op in enumerate(graph.operators) if op.region == region), None)
    if first is None:
        raise GraphError(f'region "{region}" has no operators')
    return graph.operators[first:]


def _own(tensor: Tensor, name: str, names: dict[str, str]) -> Tensor:
    region = f"small.{tensor.region}" if tensor.region else ""
    return tensor.replace(name=name, region=region, view_of=names.get(tensor.view_of, tensor.view_of))


def _renamed(op: Operator, names: dict[str, str]) -> Operator:
    region = f"small.{op.region}" if op.region else ""
    inputs, outputs = (tuple(names[n] for n in group) for group in (op.inputs, op.outputs))
    return replace(op, name=f"small.{op.name}", inputs=inputs, outputs=outputs, region=region)
