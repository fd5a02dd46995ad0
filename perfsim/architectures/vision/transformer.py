"""Pieces of vision transformers: attention over all given tokens, and the two-layer perceptron."""

from __future__ import annotations

from perfsim.architectures.vision.net import Net
from perfsim.ops import Elementwise, FusedAttention, Linear, Scores, Softmax, Values

__all__ = ["attend", "attend_in_steps", "attention", "mlp"]


def attention(net: Net, x: str, heads: int, *, bias: bool = True, tables: tuple[str, ...] = ()) -> str:
    """Multi-head attention of (batch, tokens, width) without a mask, projections included.

    heads: they share the width evenly; bias: of the first projection; tables: weights that are added to the scores.

    References
    ----------
    .. [1] A. Vaswani et al., arXiv 1706.03762.
    """
    b, width = net.builder, net.channels(x)
    parts = ("query", "key", "value")
    weights = tuple(net.weight(f"attention.{part}.weight", width, heads, width // heads) for part in parts)
    qkv: tuple[str, str, str] = b.add(Linear, "attention.qkv", (x, *weights), outputs=("q", "k", "v"))
    if bias:
        biases = tuple(net.weight(f"attention.{part}.bias", heads, width // heads) for part in parts)
        qkv = b.add(Elementwise, "attention.qkv_bias", (*qkv, *biases), outputs=("q", "k", "v"), function="bias")
    attended = attend(net, qkv, tables)
    weight = net.weight("attention.output.weight", heads, width // heads, width)
    y: str = b.add(Linear, "attention.output", (attended, weight), contracted=2)
    return net.combine("attention.output_bias", y, net.weight("attention.output.bias", width), "bias")


def attend(net: Net, qkv: tuple[str, str, str], tables: tuple[str, ...] = (), name: str = "attention") -> str:
    """Every query (batch, tokens, heads, dim) over all keys and values, by the kernels of the step's stack."""
    if net.step.attention == "naive":
        return attend_in_steps(net, qkv, tables, name)
    context = net.builder.shape(qkv[1])[1]
    fused: str = net.builder.add(FusedAttention, f"{name}.fused", (*qkv, *tables), context=context, causal=False)
    return fused


def attend_in_steps(
    net: Net, qkv: tuple[str, str, str], tables: tuple[str, ...] = (), name: str = "attention"
) -> str:  # fmt: skip
    """The same as products and a softmax between them, for attention that no fused kernel knows."""
    b, context = net.builder, net.builder.shape(qkv[1])[1]
    scores = b.add(Scores, f"{name}.scores", qkv[:2], context=context)
    probabilities = b.add(Softmax, f"{name}.softmax", (scores, *tables))
    attended: str = b.add(Values, f"{name}.values", (probabilities, qkv[2]))
    return attended


def mlp(net: Net, x: str, hidden: int, act: str = "gelu") -> str:
    """Expand to ``hidden``, activate, project back."""
    y = net.act("mlp.act", net.linear("mlp.expand", x, hidden), act)
    return net.linear("mlp.project", y, net.channels(x))
