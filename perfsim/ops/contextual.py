"""Products of which each token needs only some neurons."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfsim.graph import Tensor, Tensors, Work
from perfsim.ops.sparse import SparseProduct
from perfsim.quantities.numbers import Number

__all__ = ["ContextualProduct", "active_union"]


def active_union(*, active: Number, tokens: Number) -> Number:
    """Share of neurons that at least one of ``tokens`` tokens needs [1]: 1 − (1 − active)^tokens.

    active: share that one token needs [1], chosen independently of the others; correlated choices need fewer.

    References
    ----------
    .. [1] Z. Liu et al., "Deja Vu", arXiv 2310.17157, section 5 on batches.
    """
    return 1 - (1 - active) ** tokens


@dataclass(frozen=True, eq=False)
class ContextualProduct(SparseProduct):
    """The product ``dense`` with the rows or columns of active neurons only.

    kept: share of neurons that one token needs [1], which is the useful work; the kernel reads and multiplies those
    that any token of the pass needs.
    """

    kind = "contextual-product"
    reference = "arXiv 2310.17157"

    def _union(self, tensors: Tensors) -> Number:
        rows = math.prod(tensors[self.inputs[0]].shape[:-1])
        return active_union(active=self.kept, tokens=rows)

    def work(self, tensors: Tensors) -> Work:
        """FLOP of the dense product × kept [FLOP]; executed: union over kept."""
        work = super().work(tensors)
        return Work(work.flops, work.unit, work.dtype, work.matrix, self._union(tensors) / self.kept)

    def accessed(self, tensor: Tensor, tensors: Tensors) -> Number:
        """Weights: those of the union, gathered row by row [byte]."""
        nbytes = super().accessed(tensor, tensors)
        return nbytes * self._union(tensors) if tensor.name in self.inputs[1:] else nbytes

    def touched(self, tensors: Tensors) -> Number:
        """Expected rows of the weights that a pass needs [1], as for experts."""
        return self._union(tensors) * tensors[self.inputs[1]].shape[0]
