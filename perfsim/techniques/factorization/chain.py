"""Chains of block-diagonal factors in place of weight matrices: what all structured factorisations share."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

from perfsim.graph import Operator, OperatorGraph, Tensor
from perfsim.graph.edit import exchanged, reshaped
from perfsim.ops import Linear
from perfsim.ops.block_linear import BlockLinear
from perfsim.techniques.base import Context, GraphRewrite
from perfsim.techniques.products import layer_products, no_matrices, part_of, stored_weights
from perfsim.workloads import Plan

__all__ = ["PARTS", "Factor", "Factorization", "balanced", "factored_parameters", "factorize", "matrices", "refusal"]

PARTS = ("all", "attention", "ffn")
"""Parts of a network whose matrices can be chosen."""


@dataclass(frozen=True)
class Factor:
    """A matrix of ``blocks`` diagonal blocks (inner × outer), applied ``repeat`` times along a vector."""

    blocks: int
    inner: int
    outer: int
    repeat: int = 1

    @property
    def parameters(self) -> int:
        """Stored weights [1]."""
        return self.blocks * self.inner * self.outer


def factored_parameters(factors: list[Factor]) -> int:
    """Stored weights of a chain [1]."""
    return sum(factor.parameters for factor in factors)


def balanced(total: int, parts: int) -> list[int]:
    """``parts`` whole factors of ``total``, each the divisor nearest to an equal share."""
    result: list[int] = []
    for left in range(parts, 1, -1):
        target = total ** (1 / left)
        divisor = min((d for d in range(1, total + 1) if total % d == 0), key=lambda d: abs(math.log(d / target)))
        result.append(divisor)
        total //= divisor
    return [*result, total]


def refusal(plan: Plan, context: Context) -> str | None:
    """Why no factorisation by blocks can apply, or None."""
    if context.system.count > 1:
        return "the factors are not spread over devices; use count=1"
    return no_matrices(phase.graph for phase in plan.phases)


class Factorization(GraphRewrite):
    """Every matrix of a part's layers as a chain of :meth:`factors`; ``part`` is a parameter of the subclass."""

    part: str

    def requires(self, plan: Plan, context: Context) -> str | None:
        return refusal(plan, context)

    @abstractmethod
    def factors(self, rows: int, columns: int) -> list[Factor]:
        """The chain for a matrix (rows × columns)."""

    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        return factorize(graph, self.part, self.factors)


def matrices(graph: OperatorGraph, part: str) -> list[Linear]:
    """The plain products of a part's layers."""
    return [op for op in layer_products(graph) if isinstance(op, Linear) and part in ("all", part_of(op))]


def factorize(graph: OperatorGraph, part: str, factors: Callable[[int, int], list[Factor]]) -> OperatorGraph:
    """The graph with every matrix (rows × columns) of a part's layers as a chain of ``factors(rows, columns)``.

    Matrices for which the chain would not be smaller stay as they are.
    """
    return reshaped(exchanged(graph, matrices(graph, part), lambda op, tensors: _chains(op, graph, tensors, factors)))


def _chains(
    op: Linear, graph: OperatorGraph, tensors: dict[str, Tensor], factors: Callable[[int, int], list[Factor]]
) -> list[Operator]:
    """One chain for each matrix of a product; those that stay keep one product together."""
    made: list[Operator] = []
    kept: list[tuple[str, str]] = []
    stored = stored_weights(op, graph)
    for name, output in zip(op.inputs[1:], op.outputs, strict=True):
        shape = graph.tensors[name].shape
        rows, columns = math.prod(shape[: op.contracted]), math.prod(shape[op.contracted :])
        chain = factors(rows, columns)
        if name not in stored or factored_parameters(chain) >= rows * columns:
            kept.append((name, output))
            continue
        made += _chain(op, tensors, name, output, chain)
        del tensors[name]
    if kept:
        names, outputs = zip(*kept, strict=True)
        made.append(replace(op, inputs=(op.inputs[0], *names), outputs=outputs))
    return made


def _chain(op: Linear, tensors: dict[str, Tensor], name: str, output: str, chain: list[Factor]) -> list[Operator]:
    weight, result = tensors[name], tensors[output]
    source, contracted, made = op.inputs[0], op.contracted, list[Operator]()
    for index, factor in enumerate(chain):
        last = index == len(chain) - 1
        leaving = output if last else f"{name}.after{index}"
        out = weight.shape[op.contracted :] if last else (factor.repeat * factor.blocks * factor.outer,)
        shape = (factor.blocks, factor.inner, factor.outer)
        tensors[f"{name}.factor{index}"] = weight.replace(name=f"{name}.factor{index}", shape=shape, shard=None)
        if not last:
            tensors[leaving] = result.replace(name=leaving, shape=())
        named, inputs = f"{name}.product{index}", (source, f"{name}.factor{index}")
        made.append(BlockLinear(named, inputs, (leaving,), op.region, contracted, factor.repeat, out))
        source, contracted = leaving, 1
    return made
