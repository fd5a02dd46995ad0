"""The forward pass of a network that is trained: with its loss, and norms that look at the batch."""

from __future__ import annotations

from dataclasses import replace

from perfsim.architectures import DecoderModel, ForwardModel, ImageStep, Model, Step
from perfsim.devices import Stack
from perfsim.errors import InputError
from perfsim.graph import Operator, OperatorGraph, Role, Tensor
from perfsim.ops import BatchMoments, BatchNorm, BatchNormalise, CrossEntropy, Elementwise
from perfsim.quantities.dtypes import DTYPES, DType
from perfsim.quantities.numbers import Number
from perfsim.workloads.frameworks import as_run

__all__ = ["images_pass", "text_pass", "trainable", "with_batch_statistics", "with_loss"]


def trainable(model: Model) -> Model:
    """The model, if its backward pass is known.

    Raises
    ------
    InputError
        if it is of another kind than decoders and networks for images.
    """
    if isinstance(model, DecoderModel) or (isinstance(model, ForwardModel) and model.size_field == "image_size"):
        return model
    raise InputError(
        f"{model.name}: training is predicted for decoders and for networks that see images; expected one of these. "
        f"For its forward pass use {model.usual_task}"
    )


def text_pass(
    model: DecoderModel, stack: Stack, *, batch: Number, tokens: Number, dtype: DType, dropout: bool
) -> OperatorGraph:
    """A pass over ``batch`` sequences of ``tokens`` positions, up to the loss of every position."""
    attention = "naive" if stack.attention == "naive" else "fused"
    step = Step(batch, tokens, tokens, dtype, dtype, dtype, attention, training=True, dropout=dropout)
    return model.graph(step)


def images_pass(model: ForwardModel, stack: Stack, *, batch: Number, size: Number, dtype: DType) -> OperatorGraph:
    """A pass over ``batch`` images of ``size`` pixels per side, up to the loss of every output.

    Raises
    ------
    InputError
        if the network cannot see images of that size.
    """
    try:
        graph = model.graph(ImageStep(batch, size, dtype, dtype, stack.attention, fold=False))
    except InputError as error:
        raise InputError(f"image_size={size} for {model.name}: {error}") from None
    return with_loss(as_run(with_batch_statistics(graph), stack))


def with_batch_statistics(graph: OperatorGraph) -> OperatorGraph:
    """The graph with batch norms that take mean and variance from the batch instead of stored ones."""
    operators, tensors = list[Operator](), dict(graph.tensors)
    for op in graph.operators:
        if not isinstance(op, BatchNorm):
            operators.append(op)
        else:
            features, *parameters = op.inputs[:3]
            moments = Tensor(f"{op.name}.moments", (2, tensors[features].shape[1]), DTYPES["fp32"], region=op.region)
            tensors[moments.name] = moments
            operators += [
                BatchMoments(f"{op.name}.batch", (features,), (moments.name,), op.region),
                BatchNormalise(op.name, (features, *parameters, moments.name), op.outputs, op.region),
            ]
    used = {name for op in operators for name in (*op.inputs, *op.outputs)}
    return replace(graph, operators=tuple(operators), tensors={n: t for n, t in tensors.items() if n in used})


def with_loss(graph: OperatorGraph) -> OperatorGraph:
    """The graph with a cross entropy in fp32 over the last axis of each of its results.

    That is the loss of classifiers. Those of other tasks are taken to cost as much, which is little beside the network.
    """
    results = [name for op in graph.operators for name in op.outputs if not graph.consumers(name)]
    operators, tensors = list(graph.operators), dict(graph.tensors)
    for place, name in enumerate(results):
        suffix = f".{place}" if place else ""
        logits, labels = f"loss.logits{suffix}", f"labels{suffix}"
        made = tensors[name]
        tensors[logits] = Tensor(logits, made.shape, DTYPES["fp32"])
        tensors[labels] = Tensor(labels, made.shape[:-1], DTYPES["int32"], Role.INDEX)
        tensors[f"loss{suffix}"] = Tensor(f"loss{suffix}", made.shape[:-1], DTYPES["fp32"])
        operators += [
            Elementwise(f"loss.to_fp32{suffix}", (name,), (logits,), function="upcast"),
            CrossEntropy(f"cross_entropy{suffix}", (logits, labels), (f"loss{suffix}",)),
        ]
    return replace(graph, operators=tuple(operators), tensors=tensors)
