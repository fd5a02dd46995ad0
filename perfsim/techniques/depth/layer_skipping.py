"""Layer skipping: every input runs through the same part of the layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.graph import OperatorGraph
from perfsim.techniques.base import Context, GraphRewrite, parameter

__all__ = ["LayerSkipping", "spread"]


def spread(*, counts: dict[str, int], keep: float) -> dict[str, int]:
    """Layers of each region that run if ``keep`` of all run, evenly spaced over the depth; at least one in all.

    Layer i of n runs if ⌊(i + 1)·kept / n⌋ exceeds ⌊i·kept / n⌋, where kept = max(1, round(keep·n)).
    """
    total = sum(counts.values())
    kept = max(1, round(keep * total))
    result, start = {}, 0
    for name, count in counts.items():
        result[name] = (start + count) * kept // total - start * kept // total
        start += count
    return result


@dataclass(frozen=True, kw_only=True)
class LayerSkipping(GraphRewrite):
    """``keep`` of the layers run, evenly spaced and the same for every input, in prompts and in decoding alike.

    Work, traffic, cache and weights of the other layers vanish; embedding, head and the host's work per step stay,
    which is why the speed-up is less than 1 / keep. Batches stay aligned. Weights of skipped layers are taken not to
    be loaded: if requests with other targets share the device, their memory comes on top.

    References
    ----------
    .. [1] Y. Liu et al., "Accelerating Inference in Large Language Models with a Unified Layer Skipping Strategy",
       arXiv 2404.06954.
    """

    keep: float = parameter(1.0, "layers that run, over all layers", least=0.0001, most=1.0)

    name = "layer-skipping"
    reference = "arXiv 2404.06954"
    idempotent = False
    neutral = {"keep": 1.0}

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        if self.keep == 1 or not any(count > 1 for count in graph.regions.values()):
            return graph
        counts = spread(counts={name: int(count) for name, count in graph.regions.items()}, keep=self.keep)
        return replace(graph, regions={name: max(1, count) for name, count in counts.items()})
