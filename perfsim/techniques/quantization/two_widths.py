"""Integers of two widths: what techniques share that store a part of the weights in fewer bits than the rest."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.quantities.dtypes import DType
from perfsim.techniques.base import Context, GraphRewrite, parameter
from perfsim.techniques.quantization.packing import integer_format, unknown_width
from perfsim.workloads import Plan

__all__ = ["TwoWidths"]


@dataclass(frozen=True, kw_only=True)
class TwoWidths(GraphRewrite):
    """A ``share`` [1] in ``bits`` bits, the rest in ``other`` bits; 16 leaves the rest as it is.

    Subclasses say of what, and with which defaults. Each ``group`` of weights has a 16-bit scale and a zero point.
    """

    share: float
    bits: int
    other: int
    group: int = parameter(128, "weights that share a scale", least=1, most=65536)

    idempotent = False
    neutral = {"share": 0.0, "other": 16}

    def requires(self, plan: Plan, context: Context) -> str | None:
        return unknown_width(self.bits, self.other)

    @property
    def narrow(self) -> DType:
        """Format of the share, scales and zero points included."""
        return integer_format(bits=self.bits, group=self.group)

    @property
    def wide(self) -> DType | None:
        """Format of the rest; None where it stays as it is."""
        return integer_format(bits=self.other, group=self.group) if self.other < 16 else None
