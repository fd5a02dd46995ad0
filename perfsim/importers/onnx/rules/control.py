"""Nodes with graphs inside: branches, loops and scans."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from perfsim.errors import ConfigError
from perfsim.importers.onnx.node import Node
from perfsim.importers.onnx.rules import rule
from perfsim.importers.onnx.values import BOOL, INT64, Value
from perfsim.ops.general import Move

__all__ = ["branch", "loop", "scan"]

UNROLLED = 64
"""Most passes of a loop whose shapes change from pass to pass, so that it has to be unrolled."""

LONGEST = 10**9
"""Most passes of a loop."""


def _graph(node: Node, name: str) -> Any:
    for attribute in node.proto.attribute:
        if attribute.name == name and attribute.HasField("g"):
            return attribute.g
    raise node.fail(f"lacks its graph {name}")


def _name(node: Node) -> str:
    return str(node.proto.name or node.proto.output[0])


def _prefix(node: Node) -> str:
    return f"{node.scope.prefix}{_name(node)}/"


def _number(value: Value | None) -> int | None:
    array = None if value is None else value.array
    return None if array is None or array.size != 1 else int(np.reshape(array, -1)[0])


@rule("If", own_shapes=True, low="")
def branch(node: Node) -> Any:
    """The branch of a condition that is known, or that the user has bound: 1 takes then_branch, 0 else_branch."""
    chosen = node.scope.stated.get(_name(node), _number(node.input(0)))
    if chosen is None:
        raise node.fail(
            f"depends on data; say which branch is taken with --set model.axis.{_name(node)}=1 (then_branch) or 0 "
            f"(else_branch)"
        )
    graph = _graph(node, "then_branch" if chosen else "else_branch")
    return node.scope.inner(graph, _prefix(node)).read([])


@rule("Loop", own_shapes=True, low="")
def loop(node: Node) -> Any:
    """The body times its number of passes: the trip count of the file, or the one that the user has bound."""
    body = _graph(node, "body")
    count = node.scope.stated.get(_name(node), _number(node.optional(0)))
    if _number(node.optional(1)) == 0:
        count = 0
    if count is None or count > LONGEST:
        raise node.fail(f"has a trip count that depends on data; bind it with --set model.axis.{_name(node)}=PASSES")
    carried = node.inputs[2:]
    if len(body.input) != len(carried) + 2 or len(body.output) < len(carried) + 1:
        raise node.fail(f"carries {len(carried)} values into a body of {len(body.input)} inputs")
    if any(v is None for v in carried):
        raise node.fail("leaves out a value that its body needs")
    if count < 1:
        return _skipped(node, body, len(carried))
    builder, states = node.scope.builder, [v for v in carried if v is not None]
    try:
        with builder.undone_on_failure():
            return _repeated(node, body, states, count)
    except ConfigError:
        if count > UNROLLED:
            raise
        return _unrolled(node, body, states, count)


def _skipped(node: Node, body: Any, states: int) -> list[Value | None]:
    if len(body.output) - 1 > states and any(node.proto.output[states:]):
        raise node.fail("never runs, but its stacked outputs are needed")
    return list(node.inputs[2:])


def _repeated(node: Node, body: Any, states: list[Value], count: int) -> list[Value]:
    """All passes as one region of equal shapes."""
    scope = node.scope
    region = f"{_prefix(node)}body"
    total = count * scope.count
    scope.builder.regions[region] = total
    inner = scope.inner(body, _prefix(node), region, total)
    held = [_held(node, value) for value in states]
    condition, *results = inner.read([*_counters(body, None), *_named(body, held, 2)])
    if _number(condition) == 0:
        raise node.fail("ends after its first pass, but states more")
    for state, result in zip(held, results, strict=False):
        if state.shape != result.shape:
            change = f"{list(state.shape)} to {list(result.shape)}"
            raise node.fail(f"changes the shape of {state.name} from pass to pass: {change}")
    return [
        *results[: len(states)],
        *(_stacked(node, inner, v, count, i) for i, v in enumerate(results[len(states) :])),
    ]


def _counters(body: Any, index: int | None) -> list[Value]:
    """Pass number and condition, which a repeated body does not know."""
    number = None if index is None else (lambda: np.array(index, np.int64))
    return [
        Value(body.input[0].name, INT64, (), const=True, load=number),
        Value(body.input[1].name, BOOL, (), const=True, load=lambda: np.array(True)),
    ]


def _named(body: Any, values: list[Value], first: int) -> list[Value]:
    return [replace(value, name=info.name) for value, info in zip(values, body.input[first:], strict=False)]


def _held(node: Node, value: Value) -> Value:
    """A start value whose numbers are those of the first pass only."""
    if not value.const:
        return value
    root = node.scope.builder.root(value, value.shape)
    return Value(value.name, value.elem, value.shape, root)


def _stacked(node: Node, inner: Any, value: Value, count: int, index: int) -> Value:
    """A result of every pass, written to its place in the whole."""
    builder = node.scope.builder
    shape = builder.checked(value.name, (count, *value.shape))
    builder.root(value, value.shape)
    name = f"{_prefix(node)}stack{index}"
    dtype = builder.tensors[value.root].dtype
    fields = {"shapes": (shape,), "written": value.elements, "label": "stack"}
    (root,) = builder.add(Move, name, [(value, value.shape)], [(f"{name}.out", dtype)], inner.region, fields, None)
    return Value(name, value.elem, shape, root)


def _unrolled(node: Node, body: Any, states: list[Value], count: int) -> list[Value]:
    """Pass after pass, for bodies whose shapes depend on the pass."""
    stacks: list[list[Value]] = []
    for index in range(count):
        inner = node.scope.inner(body, f"{_prefix(node)}{index}/")
        condition, *results = inner.read([*_counters(body, index), *_named(body, states, 2)])
        known = len(states)
        states, rest = results[:known], results[known:]
        stacks = [[*old, new] for old, new in zip(stacks or [[] for _ in rest], rest, strict=True)]
        if _number(condition) == 0:
            break
    return [*states, *(_joined(node, parts, i) for i, parts in enumerate(stacks))]


def _joined(node: Node, parts: list[Value], index: int) -> Value:
    builder = node.scope.builder
    if len({part.shape for part in parts}) > 1:
        raise node.fail("stacks results of different shapes")
    shape = builder.checked(parts[0].name, (len(parts), *parts[0].shape))
    name = f"{_prefix(node)}stack{index}"
    for part in parts:
        builder.root(part, part.shape)
    dtype = builder.tensors[parts[0].root].dtype
    fields = {"shapes": (shape,), "label": "stack"}
    operands = [(part, part.shape) for part in parts]
    (root,) = builder.add(Move, name, operands, [(f"{name}.out", dtype)], node.scope.region, fields, None)
    return Value(name, parts[0].elem, shape, root)


@rule("Scan", own_shapes=True, low="")
def scan(node: Node) -> Any:
    """The body once per entry of the scanned axes; states keep their shape."""
    body = _graph(node, "body")
    scanned = int(node.attribute("num_scan_inputs", 0))
    inputs = [v for v in node.inputs if v is not None]
    batch_first = node.scope.typing.versions[""] == 8
    if batch_first:
        raise node.fail("is a Scan of operator set 8; convert the model to operator set 9 or newer")
    if not 0 < scanned <= len(inputs) or len(body.input) != len(inputs):
        raise node.fail(f"scans {scanned} of {len(inputs)} inputs with a body of {len(body.input)}")
    states, sequences = inputs[: len(inputs) - scanned], inputs[len(inputs) - scanned :]
    axes = list(node.attribute("scan_input_axes", [0] * scanned))
    lengths = {v.shape[axis] for v, axis in zip(sequences, axes, strict=True) if v.shape}
    if len(lengths) != 1:
        raise node.fail(f"scans axes of different lengths {sorted(lengths)}")
    count = lengths.pop()
    scope, region = node.scope, f"{_prefix(node)}body"
    scope.builder.regions[region] = count * scope.count
    inner = scope.inner(body, _prefix(node), region, count * scope.count)
    held = [_held(node, v) for v in states]
    slices = [_slice(node, region, v, axis, i) for i, (v, axis) in enumerate(zip(sequences, axes, strict=True))]
    results = inner.read(_named(body, [*held, *slices], 0))
    for state, result in zip(held, results, strict=False):
        if state.shape != result.shape:
            raise node.fail(f"changes the shape of {state.name} from {list(state.shape)} to {list(result.shape)}")
    known = len(states)
    stacked = [_stacked(node, inner, v, count, i) for i, v in enumerate(results[known:])]
    places = list(node.attribute("scan_output_axes", [0] * len(stacked)))
    for value, axis in zip(stacked, places, strict=True):
        _, *rest = value.shape
        rest.insert(axis % (len(rest) + 1), count)
        value.shape = tuple(rest)
    return [*results[:known], *stacked]


def _slice(node: Node, region: str, value: Value, axis: int, index: int) -> Value:
    """One entry of a scanned input."""
    builder = node.scope.builder
    axis %= len(value.shape)
    shape = (*value.shape[:axis], *value.shape[axis + 1 :])
    builder.root(value, value.shape)
    name = f"{_prefix(node)}slice{index}"
    elements = value.elements // max(value.shape[axis], 1)
    fields = {"shapes": (shape,), "touched": (elements,), "label": "slice"}
    dtype = builder.tensors[value.root].dtype
    (root,) = builder.add(Move, name, [(value, value.shape)], [(f"{name}.out", dtype)], region, fields, None)
    return Value(name, value.elem, shape, root)
