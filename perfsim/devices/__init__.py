"""Devices, systems of devices, and the software stacks on them."""

from perfsim.devices.cluster import cluster, spread
from perfsim.devices.device import Device, Link
from perfsim.devices.profile import Datum, Profile
from perfsim.devices.stack import PARAMETERS, TILED_PARAMETERS, Calibration, KernelRates, Stack
from perfsim.devices.system import System

__all__ = [
    "PARAMETERS", "TILED_PARAMETERS", "Calibration", "Datum", "Device", "KernelRates", "Link", "Profile", "Stack",
    "System", "cluster", "spread",
]  # fmt: skip
