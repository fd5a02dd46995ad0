"""State-space layers: Mamba (selective scan) and Mamba-2 (scan in chunks), as mixers of a decoder layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfsim.architectures.step import Step
from perfsim.errors import ConfigError
from perfsim.graph import GraphBuilder, Role
from perfsim.ops import CausalConv, ChunkedScan, Elementwise, Linear, Norm, SelectiveScan

__all__ = ["ChunkedStateSpace", "SelectiveStateSpace"]


def _linear(b: GraphBuilder, step: Step, name: str, x: str, sizes: dict[str, int], bias: bool) -> tuple[str, ...]:
    """Projections of ``x`` to several widths in one kernel, with or without biases."""
    width = b.shape(x)[-1]
    weights = tuple(b.weight(f"{name}.{part}.weight", (width, size), step.weight_dtype) for part, size in sizes.items())
    made = b.add(Linear, name, (x, *weights), outputs=tuple(sizes))
    outputs: tuple[str, ...] = made if len(sizes) > 1 else (made,)
    if not bias:
        return outputs
    biases = tuple(b.weight(f"{name}.{part}.bias", (size,), step.weight_dtype) for part, size in sizes.items())
    made = b.add(Elementwise, f"{name}_bias", (*outputs, *biases), outputs=tuple(sizes), function="bias")
    return made if len(sizes) > 1 else (made,)


@dataclass(frozen=True)
class SelectiveStateSpace:
    """Mamba: project to ``inner`` channels twice, short convolution, selective scan, gate, project back.

    inner: channels; state: entries of the state of one channel; kernel: taps of the convolution; rank: width in front
    of the step size's projection; bias: of the two outer projections; conv_bias.

    References
    ----------
    .. [1] A. Gu, T. Dao, "Mamba", arXiv 2312.00752.
    """

    inner: int
    state: int
    kernel: int
    rank: int
    bias: bool = False
    conv_bias: bool = True

    heads: ClassVar[int] = 1
    """Its channels mix in one projection, so they are not split over devices."""

    def cached_elements(self) -> int:
        """Kept per position [1]: nothing, the state does not grow."""
        return 0

    def build(self, b: GraphBuilder, step: Step, x: str, hidden: int) -> str:
        """Add the mixer of ``x`` (batch, tokens, hidden) and return its output of equal shape."""
        u, z = _linear(b, step, "mixer.in", x, {"x": self.inner, "z": self.inner}, self.bias)
        (u,) = _convolved(b, step, {"x": u}, self.kernel, self.conv_bias)
        low, read, write = _linear(b, step, "mixer.x", u, {"dt": self.rank, "b": self.state, "c": self.state}, False)
        (dt,) = _linear(b, step, "mixer.dt", low, {"dt": self.inner}, True)
        dt = b.add(Elementwise, "mixer.dt_softplus", (dt,), function="softplus")
        a = b.weight("mixer.a", (self.inner, self.state), step.weight_dtype)
        d = b.weight("mixer.d", (self.inner,), step.weight_dtype)
        kept = b.tensor("mixer.state", (step.batch, self.inner, self.state), step.cache_dtype, Role.KV_CACHE)
        y = b.add(SelectiveScan, "mixer.scan", (u, dt, a, read, write, d, kept), carried=step.decode)
        y = b.add(Elementwise, "mixer.gate", (y, z), function="silu-gate")
        return _linear(b, step, "mixer.out", y, {"out": hidden}, self.bias)[0]


@dataclass(frozen=True)
class ChunkedStateSpace:
    """Mamba-2: one projection to gate, inputs, B, C and step sizes, short convolution, scan, gated norm, project back.

    groups: pairs of B and C that the heads share; chunk: positions per chunk of a prompt; others as for Mamba. A decode
    step runs the plain recurrence.

    References
    ----------
    .. [1] T. Dao, A. Gu, "Transformers are SSMs", arXiv 2405.21060.
    """

    inner: int
    state: int
    kernel: int
    head_dim: int
    groups: int = 1
    chunk: int = 256
    bias: bool = False
    conv_bias: bool = True

    heads: ClassVar[int] = 1
    """Its channels mix in one projection, so they are not split over devices."""

    def __post_init__(self) -> None:
        if self.inner % self.head_dim or (self.inner // self.head_dim) % self.groups:
            raise ConfigError(
                f"{self.inner} channels cannot make heads of {self.head_dim} in {self.groups} groups evenly"
            )

    def cached_elements(self) -> int:
        """Kept per position [1]: nothing, the state does not grow."""
        return 0

    def build(self, b: GraphBuilder, step: Step, x: str, hidden: int) -> str:
        """Add the mixer of ``x`` (batch, tokens, hidden) and return its output of equal shape."""
        heads, shared = self.inner // self.head_dim, self.groups * self.state
        sizes = {"z": self.inner, "x": self.inner, "b": shared, "c": shared, "dt": heads}
        z, u, read, write, dt = _linear(b, step, "mixer.in", x, sizes, self.bias)
        u, read, write = _convolved(b, step, {"x": u, "b": read, "c": write}, self.kernel, self.conv_bias)
        bias = b.weight("mixer.dt.bias", (heads,), step.weight_dtype)
        dt = b.add(Elementwise, "mixer.dt_softplus", (dt, bias), function="softplus")
        y = self._scan(b, step, u, dt, read, write)
        y = b.add(Elementwise, "mixer.gate", (y, z), function="silu-gate")
        weight = b.weight("mixer.norm.weight", (self.inner,), step.weight_dtype)
        y = b.add(Norm, "mixer.norm", (y, weight), function="rmsnorm")
        return _linear(b, step, "mixer.out", y, {"out": hidden}, self.bias)[0]

    def _scan(self, b: GraphBuilder, step: Step, u: str, dt: str, read: str, write: str) -> str:
        heads = self.inner // self.head_dim
        a, d = (b.weight(f"mixer.{name}", (heads,), step.weight_dtype) for name in ("a", "d"))
        kept = b.tensor("mixer.state", (step.batch, self.inner, self.state), step.cache_dtype, Role.KV_CACHE)
        inputs = (u, dt, a, read, write, d, kept)
        if step.decode:
            y: str = b.add(SelectiveScan, "mixer.scan", inputs, groups=self.groups, carried=True)
        else:
            y = b.add(ChunkedScan, "mixer.scan", inputs, groups=self.groups, head_dim=self.head_dim, chunk=self.chunk)
        return y


def _convolved(b: GraphBuilder, step: Step, parts: dict[str, str], kernel: int, bias: bool) -> tuple[str, ...]:
    """Short convolution and SiLU of all parts in one kernel; the window of the last inputs is kept per sequence."""
    names, widths = tuple(parts), [b.shape(x)[-1] for x in parts.values()]
    sized = tuple(zip(names, widths, strict=True))
    w = step.weight_dtype
    inputs = [*parts.values(), *(b.weight(f"mixer.conv.{n}.weight", (width, kernel), w) for n, width in sized)]
    if bias:
        inputs += [b.weight(f"mixer.conv.{n}.bias", (width,), w) for n, width in sized]
    for n, width in sized:
        shape = (step.batch, width, kernel)
        inputs.append(b.tensor(f"mixer.conv.{n}.window", shape, step.cache_dtype, Role.KV_CACHE))
    made = b.add(CausalConv, "mixer.conv", tuple(inputs), outputs=names, carried=step.decode)
    made = made if len(names) > 1 else (made,)
    made = b.add(Elementwise, "mixer.conv.act", made, outputs=names, function="silu")
    return made if len(names) > 1 else (made,)
