"""Blocks of convolutions as graphs, and a machine to fuse them for; shared by the tests of block fusion."""

from functools import lru_cache

import perfsim as ps
from perfsim.architectures.vision.net import ImageStep, Net
from perfsim.costs import phase_cost
from perfsim.costs.fusion import Limits, Settings, fused_graph
from perfsim.devices import System
from perfsim.graph import Role
from perfsim.quantities.dtypes import DTYPES
from perfsim.workloads import Phase
from tests.strategies import make_device

FP16 = DTYPES["fp16"]
HUGE = 2**40


def start(channels, size, batch, dtype=FP16):
    net = Net(ImageStep(batch, size, dtype, dtype))
    return net, net.builder.tensor("x", (batch, channels, size, size), dtype, Role.ACTIVATION)


def convnext(channels, size, batch=128):
    """7×7 depthwise, layer norm, 1×1 to 4C, GELU, 1×1 to C, layer scale, residual."""
    net, x = start(channels, size, batch)
    y = net.layer_norm("norm", net.conv("depthwise", x, channels, 7, groups=channels))
    y = net.conv("project", net.act("act", net.conv("expand", y, 4 * channels), "gelu"), channels)
    net.add("residual", net.combine("scale", y, net.weight("scale.weight", channels), "scale"), x)
    return net.finish()


def convfirst(channels, expansion, size, batch=128):
    """3×3 grouped by 8, 1×1 to eC, SiLU, 1×1 to C, residual; batch norms folded."""
    net, x = start(channels, size, batch)
    y = net.conv("grouped", x, channels, 3, groups=channels // 8)
    y = net.act("act", net.conv("expand", y, expansion * channels), "silu")
    net.add("residual", net.conv("project", y, channels), x)
    return net.finish()


def mbconv(channels, expansion, size, batch=128, group=8, kernel=3, stride=1):
    """1×1 to eC, SiLU, k×k grouped, SiLU, 1×1 to C, residual if the shapes agree; batch norms folded."""
    net, x = start(channels, size, batch)
    wide = expansion * channels
    y = net.act("act1", net.conv("expand", x, wide), "silu")
    y = net.act("act2", net.conv("grouped", y, wide, kernel, stride, groups=wide // group), "silu")
    y = net.conv("project", y, channels)
    if stride == 1:
        net.add("residual", y, x)
    return net.finish()


def fused_mbconv(channels, expansion, size, batch=128):
    """3×3 to eC, SiLU, 1×1 to C, residual."""
    net, x = start(channels, size, batch)
    y = net.act("act", net.conv("expand", x, expansion * channels, 3), "silu")
    net.add("residual", net.conv("project", y, channels), x)
    return net.finish()


def bottleneck(channels, size, batch=128):
    """1×1 to C/4, 3×3, 1×1 to C, residual, ReLU after each."""
    net, x = start(channels, size, batch)
    y = net.act("act1", net.conv("reduce", x, channels // 4), "relu")
    y = net.act("act2", net.conv("conv", y, channels // 4, 3), "relu")
    net.add("residual", net.conv("expand", y, channels), x, "relu")
    return net.finish()


def squeezed(channels, size, batch=8):
    """An inverted residual with squeeze-and-excite in the middle."""
    net, x = start(channels, size, batch)
    with net.block("block"):
        y = net.act("act1", net.conv("expand", x, 4 * channels), "silu")
        y = net.act("act2", net.conv("depthwise", y, 4 * channels, 3, groups=4 * channels), "silu")
        y = net.conv("project", net.squeeze_excite("se", y, channels), channels)
        net.add("residual", y, x)
    return net.finish()


BLOCKS = {
    "ConvFirst": convfirst(64, 6, 32, 8),
    "MBConv": mbconv(32, 4, 28, 8),
    "inverted residual": mbconv(24, 6, 28, 8, group=1, kernel=5),
    "inverted residual, stride 2": mbconv(24, 6, 28, 8, group=1, stride=2),
    "Fused-MBConv": fused_mbconv(32, 4, 28, 8),
    "ConvNeXt": convnext(96, 28, 8),
    "bottleneck": bottleneck(128, 28, 8),
}


@lru_cache
def layerwise():
    return ps.stack("layerwise")


def machine(ridge=100.0, bandwidth=1e12, **changes):
    """A device without a cache, whose ridge point is ``ridge``, and the stack of one perfect kernel per layer."""
    device = make_device(peak=ridge * bandwidth, bandwidth=bandwidth, **changes)
    return System(device), layerwise().on(device)


def costs(graph, ridge=100.0):
    system, stack = machine(ridge)
    return [cost for cost, _ in phase_cost(Phase("test", graph), system, stack).kernels]


def fuse(graph, limits=None, ridge=100.0, blocks=1):
    system, stack = machine(ridge)
    return fused_graph(graph, system, stack, Settings(limits or Limits(HUGE, 1), "test", blocks))


def one_kernel(graph, **options):
    (cost,) = costs(fuse(graph, **options).graph)
    return cost


def runtime(graph, ridge=100.0):
    return phase_cost(Phase("test", graph), *machine(ridge)).runtime
