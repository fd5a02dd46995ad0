"""Learned sparse vectors: an inverted index that a query walks through, and collections that are encoded once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import GraphBuilder, OperatorGraph, Role
from perfsim.ops.index_scan import IndexScan
from perfsim.quantities.dtypes import DTYPES, DType
from perfsim.quantities.numbers import Number
from perfsim.techniques.base import Context, OptionalRewrite, parameter
from perfsim.workloads import Phase, Plan

__all__ = ["EncodeOnce", "SparseRetrieval", "visited_share"]

POSTING = DType("posting", 64, "index")
"""An entry of an inverted index: number of the document and weight of the term, 32 bits each."""


def visited_share(*, query_terms: float, vocabulary: int, skew: float) -> float:
    """Share of all postings that a query visits [1]: min(1, skew · query terms / vocabulary).

    skew: length of the lists of a query's terms over the mean length of a list; 1 if terms were drawn uniformly.
    """
    return min(1.0, skew * query_terms / vocabulary)


def _index(*, batch: Number, postings: float, probe: float) -> OperatorGraph:
    b = GraphBuilder()
    queries = b.tensor("index.queries", (batch, 1), DTYPES["fp32"], Role.INPUT)
    lists = b.weight("index.postings", (round(postings), 1), POSTING)
    b.add(IndexScan, "index.scan", (queries, lists), probe=probe, kept=1)
    return b.build()


@dataclass(frozen=True, kw_only=True)
class SparseRetrieval(OptionalRewrite):
    """Behind its encoder a query visits the posting lists of its terms: one product and sum per posting.

    The index holds ``documents`` × ``document_terms`` postings of 8 byte in main memory; a query visits the share of
    :func:`visited_share`. Sums per document stay in a cache. Skipping by upper bounds (WAND, MaxScore) is left out:
    declare it as a smaller ``skew``. ``documents`` 0 for no index.

    References
    ----------
    .. [1] T. Formal et al., "SPLADE v2", arXiv 2109.10086. [2] C. Lassance, S. Clinchant, "An Efficiency Study for
       SPLADE Models", arXiv 2207.03834.
    """

    documents: float = parameter(0.0, "documents of the collection; 0 for no index", least=0.0, most=1e12)
    document_terms: float = parameter(100.0, "terms with a weight per document", least=1.0, most=1e6)
    query_terms: float = parameter(20.0, "terms with a weight per query", least=0.0, most=1e6)
    vocabulary: int = parameter(30522, "terms that there are", least=1, most=10**8)
    skew: float = parameter(1.0, "length of the lists of a query's terms over the mean", least=0.0, most=1e5)

    name = "sparse-retrieval"
    reference = "arXiv 2207.03834"
    idempotent = False
    neutral = {"documents": 0.0}

    def apply(self, plan: Plan, context: Context) -> Plan:
        probe = visited_share(query_terms=self.query_terms, vocabulary=self.vocabulary, skew=self.skew)
        graph = _index(batch=plan.job.batch, postings=self.documents * self.document_terms, probe=probe)
        search = Phase(f"{plan.phases[-1].stage}/index", graph, 1, 0, 0, network="index")
        return plan.replace(phases=(*plan.phases, search))


@dataclass(frozen=True, kw_only=True)
class EncodeOnce(OptionalRewrite):
    """Of ``rounds`` rounds over one collection only the first runs the network; the others score stored vectors.

    The plan is what every round did before: all documents through the network. Now a round costs 1 / ``rounds`` of it
    on average, and one product per stored term of each of the ``documents``, which a linear model rescored in every
    round needs. Its training on the labelled part is left out: it is small beside the scoring of all documents.

    References
    ----------
    .. [1] E. Yang, "Contextualization with SPLADE for High Recall Retrieval", arXiv 2405.03972.
    """

    rounds: int = parameter(1, "rounds over the collection", least=1, most=10**6)
    documents: float = parameter(0.0, "documents of the collection", least=0.0, most=1e12)
    terms: float = parameter(100.0, "terms with a weight per document", least=1.0, most=1e6)

    name = "encode-once"
    reference = "arXiv 2405.03972"
    idempotent = False
    neutral = {"rounds": 1}

    def apply(self, plan: Plan, context: Context) -> Plan:
        first = tuple(replace(p, share=p.share / self.rounds) for p in plan.phases)
        graph = _index(batch=1, postings=max(1.0, self.documents * self.terms), probe=1.0)
        return plan.replace(phases=(*first, Phase(f"{plan.phases[-1].stage}/scores", graph, 1, 0, 0, network="index")))
