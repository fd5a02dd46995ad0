"""Training: forward and backward passes over micro-batches, exchange of gradients, update of the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar

from perfsim.architectures import DecoderModel, ForwardModel, Model, expect
from perfsim.devices import Device, Stack
from perfsim.errors import InputError
from perfsim.graph import Operator
from perfsim.ops import AllGather
from perfsim.quantities.dtypes import dtype as find_dtype
from perfsim.quantities.numbers import Number, ceil_div
from perfsim.workloads.differentiate import Passes, differentiate, nothing
from perfsim.workloads.job import Job, check_whole
from perfsim.workloads.plan import Layout, Phase, Plan
from perfsim.workloads.replicas import REPLICATION
from perfsim.workloads.sharding import reduced
from perfsim.workloads.trained import images_pass, text_pass, trainable
from perfsim.workloads.update import STATES, update_of

__all__ = ["RECOMPUTE", "Training"]


_DECIDED = frozenset({"batch", "data", "pipeline", "interleave", "recompute", "zero", "dropout"})


def _fetched(op: Operator) -> bool:
    """Positions that other devices have saved."""
    return isinstance(op, AllGather) and op.axis == 1


def _everything(_: Operator) -> bool:
    return True


def _in_core(op: Operator) -> bool:
    """Scores, and what lies between them and the weighted values."""
    return op.kind in ("scores", "softmax") or op.fusion_kind == "mask" or op.name.endswith("attention.dropout")


RECOMPUTE: Mapping[str, Callable[[Operator], bool]] = MappingProxyType(
    {"none": nothing, "selective": _in_core, "full": _everything}
)
"""Which operators of a layer are computed again instead of saved. Selective: the core of attention [1].

References
----------
.. [1] V. Korthikanti et al., "Reducing Activation Recomputation in Large Transformer Models", arXiv 2205.05198.
"""


@dataclass(frozen=True, kw_only=True)
class Training(Job):
    """Steps of an optimizer over ``global_batch`` sequences of ``sequence`` tokens, or images of ``image_size`` pixels.

    tokens: of the whole run (images of networks for images), one step if None; batch: sequences per pass of one
    replica, the micro-batch; 0 for the replica's share of the global batch, or 1 where a pipeline has to be filled;
    optimizer: ``adam``, ``momentum``, ``lion`` or ``sgd``; gradient_dtype: format in which gradients are kept and
    exchanged, that of the weights if None.

    What the layout and techniques decide: data: replicas; pipeline: stages of each; interleave: parts of the network
    per stage; recompute: ``none``, ``selective`` or ``full``; zero: what replicas share out, 1 the state of the
    optimizer, 2 gradients too, 3 weights too; dropout: whether attention weights and branches are dropped at random.

    A step is m = global_batch / (data · batch) passes forward and backward, the exchange of gradients between replicas
    beside the last of them, and the update. In a pipeline of p stages passes follow each other at the pace of the
    slowest stage, and (p − 1) / interleave more go by while it fills and drains [2].

    Mixed precision keeps weights and gradients in ``dtype``, and a copy of the weights and both moments of Adam in
    fp32: 2 + 2 + 12 bytes per parameter [1].

    References
    ----------
    .. [1] S. Rajbhandari et al., "ZeRO", arXiv 1910.02054, section 3.1.
    .. [2] D. Narayanan et al., arXiv 2104.04473, section 2.2.
    """

    batch: Number = 0
    global_batch: Number = 1
    sequence: Number | None = None
    image_size: Number | None = None
    tokens: float | None = None
    optimizer: str = "adam"
    gradient_dtype: str | None = None
    data: int = 1
    pipeline: int = 1
    interleave: int = 1
    recompute: str = "none"
    zero: int = 0
    dropout: bool = False

    task: ClassVar[str] = "training"
    purpose: ClassVar[str] = "training"
    at_least: ClassVar[dict[str, int]] = {"batch": 0, "global_batch": 1, "data": 1, "pipeline": 1, "interleave": 1}

    def describe(self) -> dict[str, Any]:
        """Fields as plain data; those that layout and techniques decide are theirs to tell, unless stated here."""
        decided = {f.name: f.default for f in fields(self) if f.name in _DECIDED}
        return {name: value for name, value in super().describe().items() if decided.get(name, ...) != value}

    @property
    def delivers(self) -> str:  # type: ignore[override]
        """What is learnt from: tokens, or images."""
        return "token" if self.image_size is None else "image"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, size in (("sequence", self.sequence), ("image_size", self.image_size)):
            if size is not None:
                check_whole(name, size, 1)
        choices: dict[str, Mapping[Any, Any]] = {"recompute": RECOMPUTE, "optimizer": STATES, "zero": REPLICATION}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise InputError(f"{name}={getattr(self, name)!r}: expected one of {', '.join(map(str, known))}")
        if self.gradient_dtype is not None:
            find_dtype(self.gradient_dtype)
        number = isinstance(self.tokens, int | float) and not isinstance(self.tokens, bool)
        if self.tokens is not None and not (number and 1 <= self.tokens <= 1e18):
            raise InputError(f"tokens={self.tokens!r}: expected the tokens of a run, 1 to 1e18")

    def resolved(self, model: Model, device: Device) -> Training:
        """The job with number format and size of the samples settled."""
        settled = super().resolved(trainable(model), device)
        chosen = find_dtype(settled.dtype or "fp32")
        if chosen.kind != "float" or chosen.bits < 16:
            raise InputError(f"dtype={chosen}: weights are trained in fp32, tf32, bf16 or fp16 here; state one of them")
        if isinstance(model, ForwardModel):
            if settled.sequence is not None:
                raise InputError(f"sequence={settled.sequence}: {model.name} is a {model.family}; state image_size")
            return settled if settled.image_size is not None else replace(settled, image_size=model.image_size)
        if settled.image_size is not None:
            raise InputError(f"image_size={settled.image_size}: {model.name} is a {model.family}; state sequence")
        return settled if settled.sequence is not None else replace(settled, sequence=model.context_limit or 2048)

    def spread(self, *, data: int, pipeline: int, micro_batch: int, interleave: int) -> Training:
        if micro_batch and isinstance(self.batch, int) and self.batch not in (0, micro_batch):
            raise InputError(f"batch={self.batch} and micro_batch={micro_batch} both say what a pass holds; state one")
        batch = micro_batch or self.batch
        return replace(self, data=data, pipeline=pipeline, batch=batch, interleave=interleave)

    @property
    def share(self) -> Number:
        """Samples of a step that one replica gets [1], rounded up."""
        return ceil_div(self.global_batch, self.data)

    def _check(self, layout: Layout) -> None:
        """Refuse what the layout contradicts, and passes that hold more than there is."""
        if (self.data, self.pipeline) != (layout.data, layout.pipeline):
            raise InputError(
                f"data={self.data}, pipeline={self.pipeline}: replicas and stages are those of the layout, "
                f"{layout.data} and {layout.pipeline} here; state them by parallel:data=N,pipeline=N"
            )
        if self.zero and layout.data == 1:
            raise InputError(f"zero={self.zero}: there is one replica; state more by parallel:data=N")
        share = self.share
        if isinstance(self.batch, int) and isinstance(share, int) and self.batch > share:
            raise InputError(
                f"a pass of {self.batch} samples: a replica gets {share} of the {self.global_batch} of a step; "
                f"state at most that as micro_batch"
            )

    def conventions(self, model: Model) -> tuple[str, ...]:
        return (
            "forward, backward and update are phases of a step; recomputed work counts for hfu, not for mfu",
            "fused attention counts visible (query, key) pairs only, and five products backward for two forward",
            "16 byte per weight with Adam in mixed precision, unless replicas share them; nothing for an allocator",
            "input pipeline, clipping of gradients, checkpoints and failures are not part of a step",
        )

    def largest_pass(self, replicas: int) -> int | None:
        share = ceil_div(self.global_batch, replicas)
        return share if isinstance(share, int) else None

    @property
    def samples(self) -> Number:
        return self.global_batch

    def replicas_at_work(self, data: int) -> Number:
        spread = replace(self, data=data)
        return ceil_div(self.global_batch, spread.passes * spread.micro_batch)

    @property
    def micro_batch(self) -> Number:
        """Samples per pass of one replica [1]."""
        if isinstance(self.batch, int) and self.batch == 0:
            return 1 if self.pipeline > 1 else self.share
        return self.batch

    @property
    def passes(self) -> Number:
        """Micro-batches per optimizer step and replica [1], rounded up."""
        return ceil_div(self.global_batch, self.data * self.micro_batch)

    @property
    def step_tokens(self) -> Number:
        """Tokens, or images, of one optimizer step [1]."""
        return self.global_batch if self.sequence is None else self.global_batch * self.sequence

    @property
    def optimizer_steps(self) -> Number:
        """Optimizer steps of the run [1], rounded up."""
        return 1 if self.tokens is None else ceil_div(int(self.tokens), self.step_tokens)

    @property
    def tokens_out(self) -> Number:
        return self.step_tokens * self.optimizer_steps

    def plan(self, model: Model, stack: Stack) -> Plan:
        """The forward pass of a micro-batch; what follows from it is made when all techniques have changed it."""
        size, chosen = self.micro_batch, self.format
        if self.sequence is None:
            network = expect(ForwardModel, model, type(self).__name__, model.usual_task)  # type: ignore[type-abstract]
            graph = images_pass(network, stack, batch=size, size=self.image_size or 0, dtype=chosen)
        else:
            text = expect(DecoderModel, model, type(self).__name__, model.usual_task)
            graph = text_pass(
                text, stack, batch=size, tokens=self.sequence, dtype=chosen, dropout=self.dropout
            )  # fmt: skip
        tokens = size if self.sequence is None else size * self.sequence
        return Plan(self, (Phase("forward", graph, self.passes * self.optimizer_steps, tokens, size),))

    def finished(self, plan: Plan, stack: Stack) -> Plan:
        """Forward, recomputation, backward, exchange of gradients and update, from the forward pass as it is now."""
        self._check(plan.layout)
        (forward,) = plan.phases
        once = isinstance(self.passes, int) and self.passes == 1
        passes = differentiate(
            forward.graph,
            gradient_dtype=None if self.gradient_dtype is None else find_dtype(self.gradient_dtype),
            accumulations=1 if once else 2,
            recomputed=lambda op: _fetched(op) or RECOMPUTE[self.recompute](op),
        )
        return plan.replace(phases=self._phases(forward, passes, plan.layout))

    def _phases(self, forward: Phase, passes: Passes, layout: Layout) -> tuple[Phase, ...]:
        stages, steps = layout.pipeline, self.optimizer_steps
        replicas = REPLICATION[self.zero if layout.data > 1 else 0](layout)
        fill = (stages - 1) * steps / self.interleave
        every = replace(forward, stages=stages, interleave=self.interleave, fill=fill)
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
        update = replicas.update(update_of(passes, self.optimizer, replicas.shards))
        found.append(Phase("update", update, steps, 0, 0, stages=stages))
        return tuple(phase for phase in found if not _empty(phase))

    def sizes(self, model: Model) -> tuple[int, int | None]:
        """Parameters and multiply-accumulates per image of the size that is trained on [1]."""
        if isinstance(model, ForwardModel):
            counts = model.counts(self.image_size)
            return counts.parameters, counts.macs
        return super().sizes(model)


def _empty(phase: Phase) -> bool:
    """Whether a phase has neither passes nor a pipeline to fill."""
    return isinstance(phase.steps, int) and phase.steps == 0 and phase.fill == 0
