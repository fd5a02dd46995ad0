"""Continual inference: a stream of frames, of which every layer keeps what later frames need."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfsim.architectures import Model
from perfsim.architectures.vision.video import SlowFast, VideoResNet
from perfsim.graph import OperatorGraph, Role, Tensor
from perfsim.ops import Conv
from perfsim.techniques.base import Context, ModelRewrite, parameter
from perfsim.workloads import Plan

__all__ = ["ContinualInference"]


@dataclass(frozen=True, kw_only=True)
class ContinualInference(ModelRewrite):
    """A video network takes ``frames`` new frames per prediction instead of a whole clip; a job's sample is one step.

    A convolution that spans n frames keeps the last n − 1 of its input in a rolling buffer and multiplies all of its
    taps for the new frames only, so the work per prediction is that of one step, not of the clip. Buffers count as
    memory next to the caches, and are read in every step. Merging of frames inside the network, which would make it
    answer less often than frames come, is left out of the network, as in the published conversions; the running mean
    at the end is not charged.

    References
    ----------
    .. [1] L. Hedegaard, A. Iosifidis, "Continual 3D Convolutional Neural Networks", arXiv 2106.00050. [2] L. Hedegaard,
       "Efficient Online Processing with Deep Neural Networks", arXiv 2306.13474.
    """

    frames: int = parameter(1, "new frames per prediction", least=1, most=1024)

    name = "continual-inference"
    reference = "arXiv 2106.00050"

    def refuses(self, model: Model, context: Context) -> str | None:
        if not isinstance(model, VideoResNet) or isinstance(model, SlowFast):
            return "only networks for clips with one pathway can go on frame by frame"
        return None if self.frames <= model.frames else f"its clips have {model.frames} frames; use at most so many"

    def remodelled(self, model: Model, context: Context) -> Model:
        assert isinstance(model, VideoResNet)
        return replace(model, frames=self.frames, halved_after_first=False)

    def apply(self, plan: Plan, context: Context) -> Plan:
        return plan.map_graphs(_buffered)


def _buffered(graph: OperatorGraph) -> OperatorGraph:
    """Every convolution over several frames with a buffer of the earlier ones as a further input."""
    tensors, operators = dict(graph.tensors), []
    for op in graph.operators:
        spans = tensors[op.inputs[1]].shape[3] if isinstance(op, Conv) and len(op.stride) == 3 else 1
        if spans > 1:
            source = tensors[op.inputs[0]]
            batch, channels, _, *pixels = source.shape
            name = f"{op.name}.earlier"
            shape = (batch, channels, spans - 1, *pixels)
            tensors[name] = Tensor(name, shape, source.dtype, Role.KV_CACHE, op.region)
            operators.append(replace(op, inputs=(*op.inputs, name)))
        else:
            operators.append(op)
    return replace(graph, tensors=tensors, operators=tuple(operators))
