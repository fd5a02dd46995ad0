"""Retrieval in front of generation: embed the query, search an index, re-rank, read the passages."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import EncoderModel, LanguageModel, Model
from perfsim.graph import GraphBuilder, OperatorGraph, Role
from perfsim.ops.index_scan import IndexScan
from perfsim.quantities.dtypes import DType, dtype
from perfsim.quantities.numbers import Number
from perfsim.techniques.base import Context, PlanRewrite, parameter
from perfsim.workloads import Inference, Job, Phase, Plan, Prefill, SinglePass

__all__ = ["Retrieval"]


@dataclass(frozen=True, kw_only=True)
class Retrieval(PlanRewrite):
    """``passages`` of ``tokens`` tokens come in front of the prompt, found by a search that is part of the wait.

    Phases before the prompt pass, all counted to ttft: the query (the job's prompt) through the ``embedder``; the scan
    of ``probe`` of an index of ``vectors`` × ``width`` numbers of ``bits`` bits (FLOP on the vector unit, bytes from
    the device's memory, where the index lies); a pass of the ``reranker`` over query and passage for each of
    ``candidates``; a declared ``delay`` for what runs elsewhere, e.g. a vector store behind a network. Then the longer
    prompt is read. Graph indices, product quantisation and their recall are left out: declare the bytes per vector and
    the share looked at.

    References
    ----------
    .. [1] P. Lewis et al., "Retrieval-Augmented Generation", arXiv 2005.11401. [2] J. Johnson et al., arXiv 1702.08734.
       [3] R. Nogueira and K. Cho, "Passage Re-ranking with BERT", arXiv 1901.04085.
    """

    passages: int = parameter(0, "passages that enter the prompt", least=0, most=10**6)
    tokens: int = parameter(100, "tokens of a passage", least=1, most=10**6)
    vectors: float = parameter(0.0, "vectors of the index; 0 if it is searched elsewhere", least=0.0, most=1e13)
    width: int = parameter(768, "numbers of a vector", least=1, most=65536)
    bits: int = parameter(32, "bits of a stored number", unit="bit", least=1, most=64)
    probe: float = parameter(1.0, "vectors that a query is compared with, over all", least=0.0, most=1.0)
    embedder: str = parameter("", "catalogue name of the network that embeds the query; empty for none", unit="name")
    reranker: str = parameter("", "catalogue name of the network that re-ranks; empty for none", unit="name")
    candidates: int = parameter(0, "passages that are re-ranked", least=0, most=10**6)
    delay: float = parameter(0.0, "declared time of a search elsewhere", unit="s", least=0.0, most=3600.0)

    name = "retrieval"
    reference = "arXiv 2005.11401"
    idempotent = False
    neutral = {"passages": 0}
    turn = 0

    def requires(self, plan: Plan, context: Context) -> str | None:
        """A job with a prompt."""
        return None if isinstance(plan.job, Inference | Prefill) else "it needs a prompt to search for; use Inference"

    def prepare(self, job: Job, context: Context) -> Job:
        """The passages lengthen the prompt."""
        if not isinstance(job, Inference | Prefill):
            return job
        return job.replace(prompt_tokens=job.prompt_tokens + self.passages * self.tokens)

    def apply(self, plan: Plan, context: Context) -> Plan:
        job = plan.job
        assert isinstance(job, Inference | Prefill)
        query, share = job.prompt_tokens - self.passages * self.tokens, plan.phases[0].share
        found: list[Phase] = []
        if self.embedder:
            found.append(_reading(job, context, self.embedder, query, job.batch, "prefill/embed"))
        if self.vectors or self.delay:
            graph = self._search(job.batch) if self.vectors else OperatorGraph((), {})
            found.append(Phase("prefill/search", graph, 1, 0, 0, network="index", delay=self.delay))
        if self.reranker and self.candidates:
            pairs = job.batch * self.candidates
            found.append(_reading(job, context, self.reranker, query + self.tokens, pairs, "prefill/rerank"))
        return plan.replace(phases=(*(replace(p, share=p.share * share) for p in found), *plan.phases))

    def _search(self, batch: Number) -> OperatorGraph:
        b = GraphBuilder()
        queries = b.tensor("queries", (batch, self.width), dtype("fp32"), Role.ACTIVATION)
        index = b.weight("index", (round(self.vectors), self.width), DType("index", self.bits, "float"))
        b.add(IndexScan, "search", (queries, index), dtype=dtype("int32"), probe=self.probe, kept=max(1, self.passages))
        return b.build()


def _reading(job: Job, context: Context, name: str, tokens: Number, batch: Number, phase: str) -> Phase:
    """One pass of another network of the catalogue over ``batch`` texts of ``tokens`` tokens."""
    model: Model = context.find_model(name)
    asked: Job = Prefill(prompt_tokens=tokens, batch=batch, dtype=job.dtype)
    if isinstance(model, EncoderModel) and not isinstance(model, LanguageModel):
        asked = SinglePass(sequence=tokens, batch=batch, dtype=job.dtype)
    return replace(asked.plan(model, context.stack).phases[0], name=phase, network=phase.partition("/")[2])
