"""Discrete Fourier transforms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from perfsim.importers.onnx.node import Node
from perfsim.importers.onnx.rules import rule
from perfsim.ops.fourier import fft_flops
from perfsim.ops.general import General

__all__ = ["fourier", "short_time_fourier"]


@rule("DFT", low="")
def fourier(node: Node) -> Any:
    """Transform along one axis of (..., 1 or 2); the last axis holds real and imaginary parts."""
    x = node.input(0)
    axis_input = node.optional(2)
    stated = node.attribute("axis", 1)
    if node.scope.typing.versions[""] >= 20:
        array = None if axis_input is None else axis_input.array
        stated = -2 if array is None else int(np.reshape(array, -1)[0])
    out = node.shape()
    axis = stated % len(out)
    onesided, inverse = bool(node.attribute("onesided", 0)), bool(node.attribute("inverse", 0))
    full = out[axis] if inverse and onesided else _length(node, x.shape[axis])
    real = x.shape[-1] == 1 or (inverse and onesided)
    transforms = math.prod(out[:-1]) // max(out[axis], 1)
    flops = fft_flops(transforms=transforms, points=full, real=real)
    return node.emit(General, [x], shapes=(out,), flops=flops, label="fft")


def _length(node: Node, default: int) -> int:
    stated = node.optional(1)
    array = None if stated is None else stated.array
    return default if array is None else int(np.reshape(array, -1)[0])


@rule("STFT", low="")
def short_time_fourier(node: Node) -> Any:
    """Transforms of windows: (batch, frames, bins, 2)."""
    signal = node.input(0)
    batch, frames, bins, _ = node.shape()
    length = 2 * (bins - 1) if node.attribute("onesided", 1) else bins
    real = signal.shape[-1] == 1 or len(signal.shape) == 2
    flops = fft_flops(transforms=batch * frames, points=length, real=real) + batch * frames * length
    return node.emit(General, [signal], shapes=(node.shape(),), flops=flops, label="fft")
