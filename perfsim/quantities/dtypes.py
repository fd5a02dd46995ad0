"""Number formats and their sizes."""

from __future__ import annotations

from dataclasses import dataclass

from perfsim.errors import UnknownNameError, checked_type
from perfsim.quantities.numbers import Number, ceil_div

__all__ = ["DTYPES", "DType", "dtype"]


@dataclass(frozen=True)
class DType:
    """A number format.

    name: as in the nomenclature, e.g. ``bf16``; bits: width of one element [bit];
    kind: ``float``, ``int`` or ``index``.
    """

    name: str
    bits: int
    kind: str

    def nbytes(self, elements: Number) -> Number:
        """Bytes of ``elements`` packed elements [byte]; a whole number for whole elements."""
        if self.bits % 8 == 0:
            return elements * (self.bits // 8)
        return ceil_div(elements * self.bits, 8)

    def __str__(self) -> str:
        return self.name


def _all() -> dict[str, DType]:
    floats = {
        "fp64": 64,
        "fp32": 32,
        "tf32": 32,
        "bf16": 16,
        "fp16": 16,
        "fp8_e4m3": 8,
        "fp8_e5m2": 8,
        "fp6": 6,
        "fp4": 4,
    }
    ints = {f"int{bits}": bits for bits in (64, 32, 16, 8, 6, 5, 4, 3, 2, 1)}
    table = {name: DType(name, bits, "float") for name, bits in floats.items()}
    return table | {name: DType(name, bits, "int") for name, bits in ints.items()}


DTYPES: dict[str, DType] = _all()
"""Known number formats by name."""

_ALIASES = {
    "float32": "fp32", "float16": "fp16", "half": "fp16", "bfloat16": "bf16", "float64": "fp64",
    "fp8": "fp8_e4m3", "float": "fp32",
}  # fmt: skip


def dtype(name: str | DType) -> DType:
    """Number format by name; ``bfloat16``, ``float16``, ``fp8`` and the like are understood.

    Raises
    ------
    UnknownNameError, InputError
        if no such format is known, or ``name`` is no text.
    """
    if isinstance(name, DType):
        return name
    checked_type("dtype", name, str, 'the name of a number format, e.g. "bf16"')
    key = _ALIASES.get(name, name)
    if key not in DTYPES:
        raise UnknownNameError("dtype", name, [*DTYPES, "fp8"])
    return DTYPES[key]
