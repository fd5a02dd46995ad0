"""Blocks that are trained with parallel branches and can be merged into one convolution for use."""

from __future__ import annotations

from perfsim.architectures.vision.net import Net

__all__ = ["large_kernel", "mobile_one"]


def mobile_one(
    net: Net, name: str, x: str, out: int, kernel: int = 3, stride: int = 1, *, groups: int = 1, act: str = "gelu",
    branches: int = 1, scale: bool = True, squeezed: int = 0, merged: bool = False,
) -> str:  # fmt: skip
    """MobileOne block: a norm of the input where shapes agree, a 1×1 convolution, ``branches`` k×k ones, their sum.

    scale: whether there is a 1×1 branch beside kernels above 1; squeezed: inner channels of a squeeze-and-excite, 0 for
    none; merged: all branches as one convolution with a bias, which computes the same.

    References
    ----------
    .. [1] P. Vasu et al., "MobileOne", arXiv 2206.04040.
    """
    if merged:
        y = net.conv(name, x, out, kernel, stride, groups=groups, bias=True)
    else:
        parts = []
        if kernel > 1 and scale:
            parts.append(net.conv_norm(f"{name}.scale", x, out, 1, stride, groups=groups, act=""))
        if stride == 1 and net.channels(x) == out:
            parts.append(net.batch_norm(f"{name}.identity", x))
        parts += [
            net.conv_norm(f"{name}.conv{i}", x, out, kernel, stride, groups=groups, act="") for i in range(branches)
        ]
        y = _sum(net, name, parts)
    if squeezed:
        y = net.squeeze_excite(f"{name}.se", y, squeezed)
    return net.act(f"{name}.act", y, act)


def large_kernel(
    net: Net, name: str, x: str, out: int, kernel: int, small: int, stride: int, *, groups: int, squeezed: int = 0,
    act: str = "", merged: bool = False,
) -> str:  # fmt: skip
    """A large-kernel convolution with a small one beside it (RepLKNet, arXiv 2203.06717)."""
    if merged:
        y = net.conv(name, x, out, kernel, stride, groups=groups, bias=True)
    else:
        sizes = {"large": kernel, "small": small}
        parts = [
            net.conv_norm(f"{name}.{part}", x, out, size, stride, groups=groups, act="") for part, size in sizes.items()
        ]
        y = _sum(net, name, parts)
    if squeezed:
        y = net.squeeze_excite(f"{name}.se", y, squeezed)
    return net.act(f"{name}.act", y, act)


def _sum(net: Net, name: str, parts: list[str]) -> str:
    total = parts[0]
    for index, part in enumerate(parts[1:]):
        total = net.combine(f"{name}.add{index}", total, part)
    return total
