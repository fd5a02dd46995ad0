"""Energy of the same circuit in another process, or at another voltage."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from perfsim.errors import InputError
from perfsim.quantities.numbers import Number

__all__ = ["ENERGY", "NODES", "switching_energy", "technology_factor"]

ENERGY: Mapping[float, tuple[float, float, float]] = MappingProxyType(
    {
        130e-9: (7.171, -6.709, 2.904), 90e-9: (4.762, -4.781, 2.092), 65e-9: (3.755, -4.398, 1.975),
        45e-9: (1.103, -0.362, 0.2767), 32e-9: (0.9559, -0.7823, 0.471), 20e-9: (0.373, -0.1582, 0.04104),
        16e-9: (0.2958, -0.1241, 0.03024), 14e-9: (0.2363, -0.09675, 0.02239), 10e-9: (0.2068, -0.09311, 0.02375),
        7e-9: (0.1776, -0.09097, 0.02447),
    }
)  # fmt: skip
"""Node [m] → coefficients a, b, c of the energy a·V² + b·V + c of one operation, in arbitrary units [1]."""

NODES = tuple(sorted(ENERGY))
"""Nodes of the table, smallest first [m]."""


def technology_factor(*, node: float, reference: float, voltage: float = 0.8) -> float:
    """Energy in one process over that in another, at the same supply voltage [1].

    node, reference: smallest feature as the process is named [m], from 3 to 130 nm; between two entries of the table
    the factor is interpolated in logarithms, below 7 nm it goes with the square root of the node, as the published code
    does; voltage: 0.8 to 1.0 V, where the fits are monotone in the node [V].

    Raises
    ------
    InputError
        for a node or a voltage outside of these ranges.

    References
    ----------
    .. [1] A. Stillmaker, B. Baas, "Scaling equations for the accurate prediction of CMOS device performance from 180 nm
       to 7 nm", Integration 58, 2017.
    """
    if not 0.8 <= voltage <= 1.0:
        raise InputError(f"voltage {voltage:g} V: expected 0.8 to 1.0 V, where the scaling table is monotone")
    return _relative(node, voltage) / _relative(reference, voltage)


def _relative(node: float, voltage: float) -> float:
    """Energy of one operation in a process [1], in the table's units."""
    if not 2.9e-9 <= node <= NODES[-1] * (1 + 1e-9):
        raise InputError(f"node {node * 1e9:g} nm: expected 3 to 130 nm, the range of the scaling table")
    if node <= NODES[0]:
        return float(_polynomial(NODES[0], voltage) * (node / NODES[0]) ** 0.5)
    above = next(n for n in NODES if n >= node * (1 - 1e-9))
    below = NODES[NODES.index(above) - 1]
    share = (node - below) / (above - below)
    return float(_polynomial(below, voltage) ** (1 - share) * _polynomial(above, voltage) ** share)


def _polynomial(node: float, voltage: float) -> float:
    a, b, c = ENERGY[node]
    return a * voltage**2 + b * voltage + c


def switching_energy(*, energy: Number, voltage: Number, reference: Number) -> Number:
    """Dynamic energy at another supply voltage: capacitances are charged to V, E = C·V².

    energy: at the reference voltage, of an operation or a byte [J]; voltage, reference [V].

    References
    ----------
    .. [1] A. Chandrakasan, S. Sheng, R. Brodersen, "Low-power CMOS digital design", IEEE JSSC 27(4), 1992.
    """
    return energy * (voltage / reference) ** 2
