"""Codebook quantisation: weights are indices of short vectors."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.graph import Operator, OperatorGraph, Tensor
from perfsim.ops.codebook import DecodeCodebook
from perfsim.quantities.dtypes import DTYPES, DType
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.products import layer_products, nothing_stored
from perfsim.techniques.quantization.packing import Packing, pack_weights, partial_reader
from perfsim.techniques.quantization.rotation import rotated_products
from perfsim.workloads import Plan

__all__ = ["CodebookQuantization", "codebook_bits"]


def codebook_bits(*, vector: int, code_bits: int, codebooks: int, group: int) -> float:
    """Bits per weight without the tables [bit]: codebooks·code_bits/vector, and a 16-bit scale per ``group``."""
    return codebooks * code_bits / vector + 16 / group


@dataclass(frozen=True, kw_only=True)
class CodebookQuantization(GraphRewrite):
    """Every ``vector`` weights are the sum of ``codebooks`` table entries, each given by an index of ``code_bits``.

    Bits per weight: codebooks·code_bits/vector plus scales (AQLM 1×16: 16/8 = 2). Each matrix has its own tables of
    2^code_bits × vector 16-bit numbers per codebook, stored and read with every pass; ``shared`` 1 means one fixed
    table for all matrices that is part of the program, as the E8 lattice of QuIP#. Decoding costs one load and one
    addition per weight and codebook on the vector unit, inside the matrix kernel where the stack has a kernel for
    ``dequantize+linear``. ``hadamard`` 1 adds a transform of the features in front of and behind every product, as
    incoherence processing needs. Left out: bank conflicts of look-ups, and tables beyond the on-chip memory (1 MB per
    matrix at 16 bits), which make real kernels slower than their bytes say.

    References
    ----------
    .. [1] V. Egiazarian et al., "AQLM", arXiv 2401.06118. [2] A. Tseng et al., "QuIP#", arXiv 2402.04396. [3] V.
       Malinovskii et al., "PV-Tuning", arXiv 2405.14852.
    """

    vector: int = parameter(8, "weights per index", least=1, most=64)
    code_bits: int = parameter(16, "bits of an index", unit="bit", least=1, most=16)
    codebooks: int = parameter(1, "codebooks whose entries add up", least=1, most=16)
    group: int = parameter(1024, "weights that share a 16-bit scale", least=1, most=65536)
    shared: int = parameter(0, "1 if one fixed table serves all matrices, else 0", least=0, most=1)
    hadamard: int = parameter(0, "1 if features are transformed around every product, else 0", least=0, most=1)

    name = "codebook-quantization"
    reference = "arXiv 2401.06118"
    idempotent = False

    def requires(self, plan: Plan, context: Context) -> str | None:
        return nothing_stored(phase.graph for phase in plan.phases)

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        bits = codebook_bits(
            vector=self.vector, code_bits=self.code_bits, codebooks=self.codebooks, group=self.group
        )
        stored = DType(f"code{self.code_bits}x{self.codebooks}-v{self.vector}", bits, "int")  # type: ignore[arg-type]
        chosen = {op.name: Packing(stored, self._decode) for op in layer_products(graph)}
        return pack_weights(rotated_products(graph, chosen) if self.hadamard else graph, chosen)

    def _decode(
        self, op: Operator, weights: tuple[Tensor, ...], unpacked: tuple[str, ...]
    ) -> tuple[Operator, tuple[Tensor, ...]]:
        shape = (self.codebooks * 2**self.code_bits, self.vector)
        tables: tuple[Tensor, ...] = ()
        if not self.shared:
            tables = tuple(
                w.replace(name=f"{w.name}.codebook", shape=shape, dtype=DTYPES["fp16"], shard=None, expert=False)
                for w in weights
            )
        names = tuple(t.name for t in (*weights, *tables))
        name = f"{op.name}.dequantize"
        return DecodeCodebook(name, names, unpacked, op.region, partial_reader(op), self.vector, self.codebooks), tables
