"""From a loaded ONNX message and a step to the operator graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfsim.architectures import ImageStep
from perfsim.errors import ConfigError
from perfsim.graph import OperatorGraph
from perfsim.importers.onnx.axes import Binding, inputs_of
from perfsim.importers.onnx.builder import Builder
from perfsim.importers.onnx.load import MOST_NODES
from perfsim.importers.onnx.order import subgraphs
from perfsim.importers.onnx.scope import Scope
from perfsim.importers.onnx.types import Typing
from perfsim.importers.onnx.values import Value

__all__ = ["operator_graph"]


def operator_graph(model: Any, path: str, step: ImageStep, axes: Mapping[str, int]) -> OperatorGraph:
    """The operators of ``model`` for one step.

    axes: sizes of open axes, trip counts and branches, by name.

    Raises
    ------
    ConfigError
        for an axis that nobody bound; ConfigError for a node that cannot be followed.
    """
    inputs = inputs_of(model.graph, path)
    if step.image_size is not None and not inputs.image_names() and inputs.fixed_side() != step.image_size:
        raise ConfigError(f"image_size={step.image_size}: no input of {path} is an image of open size; leave it out")
    binding = Binding(inputs, axes, step.batch, step.image_size)
    switches = tuple(_switches(model.graph))
    binding.check_stated(switches)
    builder = Builder(path, step)
    scope = Scope(model.graph, builder, Typing(model), axes, binding.known)
    given = [builder.given(Value(i.name, i.elem, builder.checked(i.name, binding.shape(i)))) for i in inputs.inputs]
    if len(model.graph.node) > MOST_NODES:
        raise builder.fail(f"has {len(model.graph.node)} nodes; expected at most {MOST_NODES}")
    scope.read(given)
    return builder.build()


def _switches(graph: Any) -> list[str]:
    """Names of the nodes with sub-graphs, which take a branch or a number of passes."""
    found = []
    waiting = list(graph.node)
    while waiting:
        node = waiting.pop()
        inside = subgraphs(node)
        if inside:
            found.append(node.name or node.output[0])
        waiting.extend(inner for sub in inside for inner in sub.node)
    return found
