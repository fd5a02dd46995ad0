"""Training: forward and backward passes over micro-batches, exchange of gradients, update of the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar

from perfsim.architectures import DecoderModel, Model, Step, expect
from perfsim.devices import Device, Stack
from perfsim.errors import InputError
from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.ops import Softmax, Update
from perfsim.quantities.dtypes import DTYPES, DType
from perfsim.quantities.dtypes import dtype as find_dtype
from perfsim.quantities.numbers import Number, ceil_div
from perfsim.workloads.differentiate import Passes, differentiate
from perfsim.workloads.job import Job, check_whole
from perfsim.workloads.plan import Layout, Phase, Plan
from perfsim.workloads.replicas import REPLICATION, parts_of
from perfsim.workloads.sharding import reduced

__all__ = ["RECOMPUTE", "STATES", "Training"]

STATES: Mapping[str, int] = MappingProxyType({"adam": 2, "momentum": 1, "lion": 1, "sgd": 0})
"""Numbers in fp32 that an optimizer keeps per parameter [1], beside the fp32 copy of weights in narrower formats."""


def _in_attention(op: Operator) -> bool:
    """Scores, and what is between them and the weighted values."""
    in_core = op.name.endswith("attention.dropout")
    return in_core or op.kind in ("scores", "softmax") or op.fusion_kind == "mask"


RECOMPUTE: Mapping[str, Callable[[Operator], bool]] = MappingProxyType(
    {"none": lambda op: False, "selective": _in_attention, "full": lambda op: True}
)
"""Which operators of a layer are computed again instead of saved. Selective: the core of attention [1].

References
----------
.. [1] V. Korthikanti et al., "Reducing Activation Recomputation in Large Transformer Models", arXiv 2205.05198.
"""


@dataclass(frozen=True, kw_only=True)
class Training(Job):
    """Steps of an optimizer over ``global_batch`` sequences of ``sequence`` tokens each.

    tokens: of the whole run, one step if None; batch: sequences per pass of one replica (the micro-batch), 0 for the
    replica's share of the global batch, or 1 where a pipeline has to be filled; data: replicas; pipeline: stages of each;
    interleave: parts of the network per stage (all three as the layout says); recompute: ``none``, ``selective`` or ``full``; optimizer: ``adam``, ``momentum``,
    ``lion`` or ``sgd``; gradient_dtype: format in which gradients are kept and exchanged, as the weights if None; zero:
    stage of ZeRO, i.e. what replicas share out: 1 the state of the optimizer, 2 gradients too, 3 weights too; dropout:
    whether attention weights and branches are dropped at random.

    A step is m = global_batch / (data · batch) passes forward and backward, the exchange of gradients between replicas
    beside the last of them, and the update. In a pipeline of p stages passes follow each other at the pace of the
    slowest stage, and (p − 1) / interleave more go by while it fills and drains [2].

    Mixed precision keeps weights and gradients in ``dtype`` and the weights and moments of Adam in fp32: 2 + 2 + 12 bytes
    per parameter [1].

    References
    ----------
    .. [1] S. Rajbhandari et al., "ZeRO", arXiv 1910.02054, section 3.1.
    .. [2] D. Narayanan et al., arXiv 2104.04473, section 2.2.
    """

    batch: Number = 0
    global_batch: Number = 1
    sequence: Number | None = None
    tokens: float | None = None
    data: int = 1
    pipeline: int = 1
    interleave: int = 1
    recompute: str = "none"
    optimizer: str = "adam"
    gradient_dtype: str | None = None
    zero: int = 0
    dropout: bool = False

    task: ClassVar[str] = "training"
    at_least: ClassVar[dict[str, int]] = {"batch": 0, "global_batch": 1, "data": 1, "pipeline": 1, "interleave": 1}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sequence is not None:
            check_whole("sequence", self.sequence, 1)
        for name, value, known in (("recompute", self.recompute, RECOMPUTE), ("optimizer", self.optimizer, STATES), ("zero", self.zero, REPLICATION)):
            if value not in known:
                raise InputError(f"{name}={value!r}: expected one of {', '.join(map(str, known))}")
        if self.gradient_dtype is not None:
            find_dtype(self.gradient_dtype)
        if isinstance(self.tokens, bool) or (self.tokens is not None and not self.tokens > 0):
            raise InputError(f"tokens={self.tokens!r}: expected a number of tokens above 0")

    def resolved(self, model: Model, device: Device) -> Training:
        """The job with number format and length of the sequences settled."""
        settled = super().resolved(model, device)
        return settled if settled.sequence is not None else replace(settled, sequence=model.context_limit or 2048)

    def spread(self, *, data: int, pipeline: int, micro_batch: int, interleave: int) -> Training:
        batch = micro_batch or self.batch
        return replace(self, data=data, pipeline=pipeline, batch=batch, interleave=interleave)

    @property
    def micro_batch(self) -> Number:
        """Sequences per pass of one replica [1]."""
        if isinstance(self.batch, int) and self.batch == 0:
            return 1 if self.pipeline > 1 else ceil_div(self.global_batch, self.data)
        return self.batch

    @property
    def passes(self) -> Number:
        """Micro-batches per optimizer step and replica [1], rounded up."""
        return ceil_div(self.global_batch, self.data * self.micro_batch)

    @property
    def step_tokens(self) -> Number:
        """Tokens of one optimizer step [1]."""
        return self.global_batch * (self.sequence or 0)

    @property
    def optimizer_steps(self) -> Number:
        """Optimizer steps of the run [1], rounded up."""
        return 1 if self.tokens is None else ceil_div(int(self.tokens), self.step_tokens)

    @property
    def tokens_out(self) -> Number:
        return self.step_tokens * self.optimizer_steps

    def plan(self, model: Model, stack: Stack) -> Plan:
        """The forward pass of a micro-batch; what follows from it is made when all techniques have changed it."""
        network = expect(DecoderModel, model, type(self).__name__, model.usual_task)
        attention = "naive" if stack.attention == "naive" else "fused"
        chosen = self._format()
        step = Step(self.micro_batch, self.sequence, self.sequence, chosen, chosen, chosen, attention, training=True,
                    dropout=self.dropout)
        count = self.passes * self.optimizer_steps
        tokens = self.micro_batch * self.sequence
        return Plan(self, (Phase("forward", network.graph(step), count, tokens, self.micro_batch),))

    def _format(self) -> DType:
        if self.dtype is None:
            raise InputError("the number format of the job is not settled; call resolved() first, or state dtype")
        return find_dtype(self.dtype)

    def finished(self, plan: Plan, stack: Stack) -> Plan:
        """Forward, recomputation, backward, exchange of gradients and update, from the forward pass as it is now."""
        (forward,) = plan.phases
        kept = self._format() if self.gradient_dtype is None else find_dtype(self.gradient_dtype)
        once = isinstance(self.passes, int) and self.passes == 1
        passes = differentiate(
            forward.graph, gradient_dtype=kept, recomputed=RECOMPUTE[self.recompute], accumulations=1 if once else 2
        )
        return plan.replace(phases=self._phases(forward, passes, plan.layout))

    def _phases(self, forward: Phase, passes: Passes, layout: Layout) -> tuple[Phase, ...]:
        stages, steps = layout.pipeline, self.optimizer_steps
        every = replace(forward, stages=stages, fill=(stages - 1) * steps / self.interleave)
        replicas = REPLICATION[self.zero if layout.data > 1 else 0](layout)
        found = [replace(every, graph=replicas.forward(passes.forward))]
        if passes.recompute.operators:
            found.append(replace(every, name="recompute", graph=replicas.forward(passes.recompute)))
        backward = reduced(passes.backward, layout.tensor)
        if layout.data == 1:
            found.append(replace(every, name="backward", graph=backward))
        else:
            rest = (self.passes - 1) * steps
            found.append(replace(every, name="backward", graph=replicas.backward(backward), steps=rest))
            found.append(replace(every, name="backward/last", graph=replicas.last(backward), steps=steps, fill=0))
        update = replicas.update(self._update(passes, replicas.shards))
        found.append(Phase("update", update, steps, 0, 0, stages=stages))
        return tuple(found)

    def _update(self, passes: Passes, shards: int) -> OperatorGraph:
        """One kernel per part of the network that updates the device's share of its weights."""
        wide = DTYPES["fp32"]
        copies = STATES[self.optimizer] + (1 if self._format().bits < wide.bits else 0)
        operators, tensors = [], dict[str, Tensor]()
        for region, gradients in parts_of(passes.backward, Role.GRADIENT).items():
            size, prefix = ceil_div(sum(t.elements for t in gradients), shards), f"{region}." if region else ""
            parts = (
                Tensor(f"{prefix}gradients", (size,), gradients[0].dtype, Role.INDEX, region),
                Tensor(f"{prefix}weights", (size,), self._format(), Role.INDEX, region),
                Tensor(f"{prefix}optimizer", (size, copies), wide, Role.OPTIMIZER, region),
            )
            used = parts if copies else parts[:2]
            tensors |= {t.name: t for t in used}
            names = tuple(t.name for t in used)
            operators.append(Update(f"{prefix}update", names, (), region, function=self.optimizer))
        regions = {name: count for name, count in passes.forward.regions.items() if name in {o.region for o in operators}}
        return OperatorGraph(tuple(operators), tensors, regions)
