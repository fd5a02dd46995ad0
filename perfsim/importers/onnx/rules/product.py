"""Matrix products: dense layers, batches of matrices, sums over any indices, in full numbers or quantised."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from perfsim.importers.onnx.node import Node, Shape
from perfsim.importers.onnx.rules import MICROSOFT, rule
from perfsim.importers.onnx.values import FLOATS, Value
from perfsim.ops import Elementwise, Linear
from perfsim.ops.general import Move, Reduction
from perfsim.ops.product import Contraction

__all__ = [
    "biased", "einsum", "few_bit_matmul", "fused_matmul", "gemm", "integer_matmul", "integer_to_float",
    "matmul", "product", "quantized_matmul",
]  # fmt: skip

Term = tuple[str, Value]
"""Index letters of an operand of an einsum, and its value."""


def product(
    node: Node, a: Value, b: Value, turn_a: bool = False, turn_b: bool = False, *, more: bool = False, suffix: str = ""
) -> Value:  # fmt: skip
    """The product a @ b, each maybe transposed: a dense layer where ``b`` is one stored matrix.

    more: whether the node has more work to do on the result, which is then not yet its output.

    Raises
    ------
    ConfigError
        if the operands do not fit.
    """
    left, right = _matrix(a.shape, turn_a, True), _matrix(b.shape, turn_b, False)
    if not left or not right or left[-1] != right[-2]:
        raise node.fail(f"multiplies {list(a.shape)} by {list(b.shape)}")
    *batch_a, m, k = left
    *batch_b, _, n = right
    batch = np.broadcast_shapes(tuple(batch_a), tuple(batch_b))
    shape = (*batch, *((m,) if len(a.shape) > 1 else ()), *((n,) if len(b.shape) > 1 else ()))
    elem = node.types[0][0] if node.types else a.elem
    types = [(elem, shape)] if more or not node.types else None
    if b.const and len(right) == 2:
        views = [(*batch, m, k), (k, n)]
        made: Value = node.emit(Linear, [a, b], seen=views, types=types, suffix=suffix)
        return made
    many = math.prod(batch)
    if math.prod(batch_b) == 1:
        many, m = 1, m * many
    sizes: dict[str, Any] = {"batch": many, "m": m, "n": n, "k": k}
    result: Value = node.emit(Contraction, [a, b], types=types, suffix=suffix, shapes=(shape,), **sizes)
    return result


def _matrix(shape: Shape, turn: bool, left: bool) -> Shape:
    if not shape:
        return ()
    if len(shape) == 1:
        return (1, *shape) if left else (*shape, 1)
    return (*shape[:-2], shape[-1], shape[-2]) if turn else shape


def biased(node: Node, y: Value, bias: Value | None) -> Value:
    """``y`` plus a bias, as the node's output."""
    if bias is None or (bias.const and bias.elements <= 1):
        return node.alias(y)
    made: Value = node.emit(Elementwise, [y, bias], suffix=".bias", function="bias")
    return made


def _turns(node: Node) -> tuple[bool, bool]:
    """Whether the operands are transposed."""
    return bool(node.attribute("transA", 0)), bool(node.attribute("transB", 0))


@rule("MatMul", low="matrix")
def matmul(node: Node) -> Any:
    """Products of the last two axes."""
    return product(node, node.input(0), node.input(1))


@rule("MatMulInteger")
def integer_matmul(node: Node) -> Any:
    """8-bit operands, 32-bit sums."""
    node.low = True
    return product(node, node.input(0), node.input(1))


@rule("QLinearMatMul")
def quantized_matmul(node: Node) -> Any:
    """The form with scales and zero points among its inputs."""
    node.low = True
    return product(node, node.input(0), node.input(3))


@rule("Gemm", low="matrix")
def gemm(node: Node) -> Any:
    """A' · B' times alpha, plus beta · C; the factors are folded into the stored matrix."""
    bias = node.optional(2)
    turns = _turns(node)
    y = product(node, node.input(0), node.input(1), *turns, more=bias is not None)
    return y if bias is None else biased(node, y, bias)


@rule("Einsum", low="matrix")
def einsum(node: Node) -> Any:
    """Operands are contracted in pairs, in the order of the least work."""
    terms, out = _terms(node)
    values = [v for v in node.inputs if v is not None]
    sizes: dict[str, int] = {}
    for term, value in zip(terms, values, strict=True):
        for index, size in zip(term, value.shape, strict=True):
            sizes[index] = max(size, sizes.get(index, 1))
    if len(values) == 1:
        inner = math.prod(sizes[i] for i in terms[0] if i not in out)
        kind, flops = (Move, 0) if inner == 1 else (Reduction, values[0].elements)
        return node.emit(kind, values, shapes=(node.shape(),), flops=flops, label="einsum")
    pairs = list(zip(terms, values, strict=True))
    while len(pairs) > 1:
        first, second = min(itertools.combinations(range(len(pairs)), 2), key=lambda p: _work(pairs, p, sizes))
        rest = [pair for i, pair in enumerate(pairs) if i not in (first, second)]
        pairs = [*rest, _contracted(node, pairs[first], pairs[second], rest, out, sizes)]
    return pairs[0][1]


def _work(pairs: list[Term], chosen: tuple[int, int], sizes: dict[str, int]) -> int:
    return math.prod(sizes[i] for i in {*pairs[chosen[0]][0], *pairs[chosen[1]][0]})


def _contracted(
    node: Node, a: Term, b: Term, rest: list[Term], out: str, sizes: dict[str, int]
) -> Term:  # fmt: skip
    """One pair as a product: indices of both that stay are the batch, those that vanish the sum."""
    needed = {*out, *(i for term, _ in rest for i in term)}
    both = {*a[0], *b[0]}
    kept = "".join(i for i in (out if not rest else sorted(both)) if i in both and i in needed)

    def size(indices: set[str]) -> int:
        return math.prod(sizes[i] for i in indices)

    shared = set(a[0]) & set(b[0])
    batch, inner = shared & needed, both - needed
    m, n = (set(a[0]) - shared) & needed, (set(b[0]) - shared) & needed
    shape = tuple(sizes[i] for i in kept)
    types = [(a[1].elem, shape)] if rest else None
    final = node.shape() if not rest else shape
    made = node.emit(
        Contraction, [a[1], b[1]], types=types, suffix=f".{kept}" if rest else "", shapes=(final,),
        batch=size(batch), m=size(m), n=size(n), k=size(inner),
    )  # fmt: skip
    return kept, made


def _terms(node: Node) -> tuple[list[str], str]:
    """Index letters of operands and output; an ellipsis becomes letters of its own."""
    equation = str(node.attribute("equation", "")).replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    values = [v for v in node.inputs if v is not None]
    if len(terms) != len(values):
        raise node.fail(f'has {len(values)} operands for the equation "{equation}"')
    spans = [len(v.shape) - len(t.replace("...", "")) for t, v in zip(terms, values, strict=True) if "..." in t]
    most = max(spans, default=0)
    free = [chr(0x3B1 + i) for i in range(max(most, 0))]
    spread = []
    for term, value in zip(terms, values, strict=True):
        own = len(value.shape) - len(term.replace("...", ""))
        spread.append(term.replace("...", "".join(free[len(free) - own :]) if own > 0 else ""))
        if len(spread[-1]) != len(value.shape):
            raise node.fail(f'has an operand of shape {list(value.shape)} for the indices "{term}"')
    if not arrow:
        letters = "".join(spread)
        right = "".join(free) + "".join(sorted(i for i in set(letters) if letters.count(i) == 1 and i not in free))
    return spread, right.replace("...", "".join(free))


@rule("FusedMatMul", "FusedGemm", domain=MICROSOFT)
def fused_matmul(node: Node) -> Any:
    """A product of maybe transposed operands with a factor."""
    turns = _turns(node)
    y = product(node, node.input(0), node.input(1), *turns, more=node.optional(2) is not None)
    node.types = [(y.elem, y.shape)]
    return y if node.optional(2) is None else biased(node, y, node.optional(2))


@rule("MatMulNBits", domain=MICROSOFT)
def few_bit_matmul(node: Node) -> Any:
    """A dense layer with packed weights of 2 to 8 bits, unpacked in the kernel."""
    x, packed = node.input(0), node.input(1)
    n, k, bits = (int(node.attribute(name, default)) for name, default in (("N", 0), ("K", 0), ("bits", 4)))
    elem = {2: 25, 4: 21, 8: 2}.get(bits, 2)
    weight = Value(packed.name, elem, (k, n), const=packed.const, root=packed.root, origin=packed.origin)
    node.types = [(x.elem, (*x.shape[:-1], n))]
    scales = node.optional(2)
    y = product(node, x, weight, more=node.optional(5) is not None)
    if scales is not None and scales.const:
        node.scope.builder.root(scales, scales.shape)
    return y if node.optional(5) is None else biased(node, y, node.optional(5))


@rule("MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QGemm", domain=MICROSOFT)
def integer_to_float(node: Node) -> Any:
    """8-bit products with scales in the kernel's end."""
    node.low = True
    index = 3 if node.op_type == "QGemm" else 1
    a, b = node.input(0), node.input(index)
    turns = _turns(node)
    elem = a.elem if node.op_type == "QGemm" and node.optional(7) is not None else 1
    if a.elem in FLOATS:
        a = a if a.low is not None else _quantized(node, a)
    left = _matrix(a.shape, turns[0], True)
    node.types = [(elem, (*left[:-1], _matrix(b.shape, turns[1], False)[-1]))]
    return product(node, a, b, *turns)


def _quantized(node: Node, a: Value) -> Value:
    made: Value = node.emit(
        Reduction,
        [a],
        types=[(3, a.shape)],
        suffix=".quantize",
        shapes=(a.shape,),
        flops=4 * a.elements,
        label="quantize",
    )
    return made
