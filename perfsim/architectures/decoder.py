"""Decoder-only transformers of every common kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from perfsim.architectures.attention import Attention
from perfsim.architectures.attention_kernels import dropped
from perfsim.architectures.language import LanguageModel
from perfsim.architectures.latent_attention import LatentAttention
from perfsim.architectures.mlp import MixtureOfExperts, Mlp
from perfsim.architectures.ssm import ChunkedStateSpace, SelectiveStateSpace
from perfsim.architectures.step import Step
from perfsim.graph import GraphBuilder, OperatorGraph, Role
from perfsim.ops import CrossEntropy, Elementwise, Embedding, Linear, Norm, Sample, Select
from perfsim.quantities.dtypes import DTYPES

__all__ = ["Block", "DecoderModel", "LayerGroup", "Mixer"]


Mixer = Attention | LatentAttention | SelectiveStateSpace | ChunkedStateSpace
"""What mixes the positions of a layer."""


@dataclass(frozen=True)
class Block:
    """How a layer wires its two branches.

    before: norm in front of each branch; after: norm on each branch's output, before the addition;
    post: norm behind the addition; parallel: both branches read the layer's input; shared: parallel
    branches share one norm.
    """

    before: bool = True
    after: bool = False
    post: bool = False
    parallel: bool = False
    shared: bool = False


@dataclass(frozen=True)
class LayerGroup:
    """``count`` equal layers: a mixer of positions and a feed-forward block, either of which may be missing.

    mixer: how the first branch is called.
    """

    name: str
    count: int
    attention: Mixer | None
    mlp: Mlp | MixtureOfExperts | None
    mixer: str = "attention"


@dataclass(frozen=True)
class DecoderModel(LanguageModel):
    """An autoregressive transformer, described by its shape.

    hidden: model width; vocabulary: tokens; vocabulary_multiple: the table is padded to a multiple of it;
    groups: layers; positions: rows of a learned position table, 0 for none; norm, norm_bias; block: wiring;
    tied: whether the head shares the token table; head_bias; embedding_norm; embedding_width: width of the
    token table where a projection follows it, else equal to hidden; dtype: format of the published weights;
    logit_softcap; remarks: what of the configuration does not enter the prediction.
    """

    name: str
    hidden: int
    vocabulary: int
    groups: tuple[LayerGroup, ...]
    positions: int = 0
    norm: str = "rmsnorm"
    norm_bias: bool = False
    norm_weight: bool = True
    final_norm: bool = True
    block: Block = field(default_factory=Block)
    tied: bool = False
    head_bias: bool = False
    embedding_norm: bool = False
    embedding_scale: bool = False
    embedding_width: int = 0
    vocabulary_multiple: int = 1
    logit_softcap: bool = False
    dtype: str | None = None
    context_limit: int | None = None
    remarks: tuple[str, ...] = ()

    def shape(self) -> dict[str, int]:
        return {"layers": self.layers, "hidden": self.hidden}

    @property
    def layers(self) -> int:
        """Number of layers."""
        return sum(group.count for group in self.groups)

    @property
    def padded_vocabulary(self) -> int:
        """Rows of the token table."""
        return -(-self.vocabulary // self.vocabulary_multiple) * self.vocabulary_multiple

    @cached_property
    def _unit_graph(self) -> OperatorGraph:
        fp16 = DTYPES["fp16"]
        return self.graph(Step(1, 1, 1, fp16, fp16, fp16))

    @cached_property
    def parameters(self) -> int:
        """All stored parameters; tied tables count once, padding of the vocabulary included."""
        return int(self._unit_graph.parameters)

    @cached_property
    def active_parameters(self) -> int:
        """Parameters that one token uses, by the convention of most published counts: where tokens are routed, all but
        the experts that a token is not routed to and the table of which it reads one row. A tied table is the head as
        well and counts. A model without routing uses all of its parameters.
        """
        inactive = 0
        for group in self.groups:
            if isinstance(group.mlp, MixtureOfExperts):
                region = [t for t in self._unit_graph.of_role(Role.WEIGHT) if t.expert and t.region == group.name]
                experts = sum(t.elements for t in region) * group.count
                inactive += experts * (group.mlp.experts - group.mlp.top_k) // group.mlp.experts
        return self.parameters - inactive - (self._looked_up if inactive else 0)

    @property
    def _looked_up(self) -> int:
        """Weights of which a token reads rows and with which it multiplies nothing."""
        graph = self._unit_graph
        multiplied = {
            graph.tensors[name].view_of or name
            for op in graph.operators if not isinstance(op, Embedding) for name in op.inputs
        }  # fmt: skip
        return sum(int(t.elements) for t in graph.of_role(Role.WEIGHT) if t.name not in multiplied)

    def graph(self, step: Step, sample: bool = True) -> OperatorGraph:
        """The graph of one pass: embedding, layers, and logits (of the last position, or of all of them).

        ``sample``: whether the pass ends with a drawn token (generation).
        """
        b = GraphBuilder()
        x = self._embed(b, step)
        for group in self.groups:
            with b.region(group.name, group.count):
                x = self._layer(b, step, x, group)
        self._head(b, step, x, sample)
        return b.build()

    def _norm(self, b: GraphBuilder, step: Step, name: str, x: str) -> str:
        parts = (("weight",) if self.norm_weight else ()) + (("bias",) if self.norm_bias else ())
        params = tuple(b.weight(f"{name}.{p}", (self.hidden,), step.weight_dtype) for p in parts)
        y: str = b.add(Norm, name, (x, *params), function=self.norm)
        return y

    def _embed(self, b: GraphBuilder, step: Step) -> str:
        ids = b.tensor("token_ids", (step.batch, step.tokens), DTYPES["int32"], Role.INDEX)
        width = self.embedding_width or self.hidden
        table = b.weight("embedding.weight", (self.padded_vocabulary, width), step.weight_dtype, 0)
        x: str = b.add(Embedding, "embedding", (ids, table), dtype=step.dtype)
        if self.embedding_width:
            up = b.weight("embedding.projection.weight", (width, self.hidden), step.weight_dtype)
            x = b.add(Linear, "embedding.projection", (x, up))
        if self.embedding_scale:
            x = b.add(Elementwise, "embedding.scale", (x,), function="scale")
        if self.positions:
            places = b.weight("positions.weight", (self.positions, self.hidden), step.weight_dtype)
            where = b.tensor("position_ids", (step.batch, step.tokens), DTYPES["int32"], Role.INDEX)
            learned = b.add(Embedding, "positions", (where, places), dtype=step.dtype)
            x = b.add(Elementwise, "embedding.add", (x, learned), function="add")
        x = dropped(b, step, "embedding.dropout", x)
        return self._norm(b, step, "embedding.norm", x) if self.embedding_norm else x

    def _layer(self, b: GraphBuilder, step: Step, x: str, group: LayerGroup) -> str:
        mixer, mlp = group.attention, group.mlp
        if not self.block.parallel or mixer is None or mlp is None:
            if mixer is not None:
                x = self._branch(b, step, x, group.mixer, lambda y: mixer.build(b, step, y, self.hidden))
            if mlp is not None:
                x = self._branch(b, step, x, "mlp", lambda y: mlp.build(b, step, y, self.hidden))
            return x
        first = self._norm(b, step, "attention_norm", x) if self.block.before else x
        second = first if self.block.shared or not self.block.before else self._norm(b, step, "mlp_norm", x)
        attended, fed = mixer.build(b, step, first, self.hidden), mlp.build(b, step, second, self.hidden)
        both = b.add(Elementwise, "branches.add", (attended, fed), function="add")
        both = dropped(b, step, "residual.dropout", both)
        y: str = b.add(Elementwise, "residual.add", (both, x), function="add")
        return y

    def _branch(self, b: GraphBuilder, step: Step, x: str, name: str, branch: Callable[[str], str]) -> str:
        y = branch(self._norm(b, step, f"{name}_norm", x) if self.block.before else x)
        if self.block.after:
            y = self._norm(b, step, f"{name}_after_norm", y)
        y = dropped(b, step, f"{name}_residual.dropout", y)
        y = b.add(Elementwise, f"{name}_residual.add", (y, x), function="add")
        return self._norm(b, step, f"{name}_post_norm", y) if self.block.post else y

    def _head(self, b: GraphBuilder, step: Step, x: str, sample: bool) -> None:
        if not step.all_logits and not step.training:
            x = b.add(Select, "head.last", (x,))
        if self.final_norm:
            x = self._norm(b, step, "head.norm", x)
        width = self.embedding_width or self.hidden
        if self.embedding_width:
            down = b.weight("head.projection.weight", (self.hidden, width), step.weight_dtype)
            x = b.add(Linear, "head.projection", (x, down))
        shape = (width, self.padded_vocabulary)
        if self.tied:
            head = b.view("head.weight", "embedding.weight", shape, 1)
        else:
            head = b.weight("head.weight", shape, step.weight_dtype, 1)
        logits = b.add(Linear, "head", (x, head))
        if self.head_bias:
            bias = b.weight("head.bias", (self.padded_vocabulary,), step.weight_dtype, 0)
            logits = b.add(Elementwise, "head_bias", (logits, bias), function="bias")
        if self.logit_softcap:
            logits = b.add(Elementwise, "head.softcap", (logits,), function="softcap")
        if step.training:
            labels = b.tensor("labels", (step.batch, step.tokens), DTYPES["int32"], Role.INDEX)
            logits = b.add(Elementwise, "head.to_fp32", (logits,), dtype=DTYPES["fp32"], function="upcast")
            b.add(CrossEntropy, "loss", (logits, labels))
            return
        if step.all_logits:
            logits = b.add(Elementwise, "head.to_fp32", (logits,), dtype=DTYPES["fp32"], function="copy")
            logits = b.add(Select, "head.last", (logits,))
        if sample:
            b.add(Sample, "sample", (logits,), dtype=DTYPES["int32"])
