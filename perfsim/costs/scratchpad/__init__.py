"""Software-managed memory: layers cut into tiles, weights streamed, nothing cached."""

from perfsim.costs.scratchpad.plan import LayerPlan, NetworkPlan, plan_network
from perfsim.costs.scratchpad.rates import KINDS, KernelRate, Machine, machine_of
from perfsim.costs.scratchpad.room import Misfit

__all__ = ["KINDS", "KernelRate", "LayerPlan", "Machine", "Misfit", "NetworkPlan", "machine_of", "plan_network"]
