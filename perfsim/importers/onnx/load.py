"""From a file to a checked ONNX message: no weights, functions inlined."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from perfsim.errors import ConfigError
from perfsim.importers.onnx.wire import slim_file

__all__ = ["library", "load"]

MOST_NODES = 20_000
"""Nodes of a graph with its functions inlined; published networks have a few thousand."""


def library(name: str, path: str) -> ModuleType:
    """``onnx`` or a part of it.

    Raises
    ------
    ConfigError
        if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConfigError(
            f"{path}: reading ONNX files needs the package onnx; install it with: pip install perfsim[onnx]"
        ) from None


def load(path: Path) -> Any:
    """The ``ModelProto`` of a file, without large payloads of tensors.

    External data files are never opened. Local functions are inlined.

    Raises
    ------
    ConfigError
        if the package is missing, the file is no ONNX model, or a function calls itself.
    """
    onnx = library("onnx", str(path))
    failure = library("google.protobuf.message", str(path)).DecodeError
    content = slim_file(path)
    try:
        model = onnx.ModelProto.FromString(content)
    except failure as error:
        raise ConfigError(f"{path}: not an ONNX model: {str(error).splitlines()[0] or 'cannot be decoded'}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply; no exporter writes such graphs") from None
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise ConfigError(f"{path}: not an ONNX model: it holds no graph")
    if not any(entry.domain in ("", "ai.onnx") for entry in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid("", 1))
    _check_texts(model, path)
    return _inlined(model, path) if model.functions else model


def _check_texts(model: Any, path: Path) -> None:
    """Names that are no text arrive as bytes.

    Raises
    ------
    ConfigError
        naming the first one.
    """
    nodes = [*model.graph.node, *(n for f in model.functions for n in f.node)]
    for node in _all_nodes(nodes):
        names = [node.name, node.op_type, node.domain, *node.input, *node.output, *(a.name for a in node.attribute)]
        graphs = [a.g for a in node.attribute if a.HasField("g")]
        _check_names([*names, *(name for g in graphs for name in _graph_names(g))], path)
    functions = [text for f in model.functions for text in (f.name, f.domain, *f.input, *f.output)]
    _check_names([*_graph_names(model.graph), *functions, *(entry.domain for entry in model.opset_import)], path)


def _graph_names(graph: Any) -> list[Any]:
    infos = [*graph.input, *graph.output, *graph.value_info]
    dims = [dim.dim_param for info in infos for dim in info.type.tensor_type.shape.dim]
    sparse = [tensor.values.name for tensor in graph.sparse_initializer]
    return [graph.name, *(i.name for i in infos), *dims, *(t.name for t in graph.initializer), *sparse]


def _check_names(names: list[Any], path: Path) -> None:
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(f"{path}: not an ONNX model: the name {name!r} is no text; the file is damaged")


def _inlined(model: Any, path: Path) -> Any:
    """The model with its local functions inlined.

    Raises
    ------
    ConfigError
        if a function calls itself, or so often that the graph would grow beyond :data:`MOST_NODES`.
    """
    inliner = library("onnx.inliner", str(path))
    bodies = {(f.domain, f.name): [(n.domain, n.op_type) for n in _all_nodes(f.node)] for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(key: tuple[str, str], callers: tuple[tuple[str, str], ...]) -> int:
        if key in callers or len(callers) > 100:
            raise ConfigError(f"{path}: function {key[1]} calls itself; such graphs cannot be inlined")
        if key not in sizes:
            sizes[key] = sum(size(call, (*callers, key)) if call in bodies else 1 for call in bodies[key])
        return sizes[key]

    total = sum(
        size(k, ()) if k in bodies else 1 for k in ((n.domain, n.op_type) for n in _all_nodes(model.graph.node))
    )
    if total > MOST_NODES:
        raise ConfigError(f"{path}: {total} nodes with its functions inlined; expected at most {MOST_NODES}")
    try:
        return inliner.inline_local_functions(model)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ConfigError(f"{path}: its functions cannot be inlined: {str(error).splitlines()[0]}") from None


def _all_nodes(nodes: Any) -> list[Any]:
    """The nodes and those of their sub-graphs."""
    found, waiting = [], list(nodes)
    while waiting:
        node = waiting.pop()
        found.append(node)
        for attribute in node.attribute:
            waiting.extend(attribute.g.node)
            for graph in attribute.graphs:
                waiting.extend(graph.node)
    return found
