"""Suites: what ``perfsim validate`` can compare, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from perfsim.catalog.files import data_root
from perfsim.errors import CatalogError, ConfigError, InputError, PerfsimError, UnknownNameError
from perfsim.validation.report import Pair, Report
from perfsim.validation.rows import Row, predict_row, predicted_value, read_rows

__all__ = [
    "SUITES",
    "diffusion_suite",
    "fastertransformer_suite",
    "file_suite",
    "fsdp_training_suite",
    "gap8_suite",
    "megatron_training_suite",
    "mlperf_tiny_suite",
    "ncnn_suite",
    "onnxruntime_suite",
    "power_suite",
    "run_suite",
    "sparse_suite",
    "timm_suite",
    "timm_training_suite",
    "vision_suite",
    "vllm_suite",
    "xnnpack_suite",
]


def file_suite(path: Path, name: str | None = None) -> Report:
    """Every row of a measurement file against its prediction; rows that cannot be predicted are listed, not dropped.

    Raises
    ------
    InputError
        if the file cannot be read, or a row names something that is not known.
    """
    pairs, skipped = [], []
    for row in read_rows(path):
        what = _what(row)
        try:
            value = predicted_value(predict_row(row), row)
        except (UnknownNameError, CatalogError, ConfigError) as error:
            raise InputError(f"{path}:{row.line}: {row.model} on {row.device}: {error}") from None
        except PerfsimError as error:
            skipped.append(f"{row.model} on {row.device}, {what}: {error}")
            continue
        if value is None:
            skipped.append(f"{row.model} on {row.device}, {what}: this job has no {row.metric}")
            continue
        pairs.append(Pair(row.device, row.model, what, float(value), row.value, row.fitted))
    return Report(name or path.stem, tuple(pairs), tuple(skipped))


def _what(row: Row) -> str:
    """A row in words."""
    size = getattr(row.job, "image_size", None)
    pixels = "" if size is None else f", {size} pixels"
    part = "".join(f", {text}" for text in (row.operator, row.operating_point) if text)
    return f"{row.job.task} {row.metric}, batch {row.job.batch}{pixels}{part}, {row.count} device(s), {row.stack}"


def timm_suite(path: Path | None = None) -> Report:
    """Throughput of vision networks in PyTorch on an RTX 3090."""
    return file_suite(path or data_root() / "measurements" / "timm.csv", "timm")


def gap8_suite(path: Path | None = None) -> Report:
    """Layers, networks and power on GAP8 under DORY and the AutoTiler."""
    return file_suite(path or data_root() / "measurements" / "gap8.csv", "gap8")


def vision_suite(path: Path | None = None) -> Report:
    """Vision networks in PyTorch and TensorRT on V100, A100 and H100."""
    return file_suite(path or data_root() / "measurements" / "vision.csv", "vision")


def ncnn_suite(path: Path | None = None) -> Report:
    """Vision networks in ncnn on the processors of phones, boards and small computers."""
    return file_suite(path or data_root() / "measurements" / "ncnn.csv", "ncnn")


def onnxruntime_suite(path: Path | None = None) -> Report:
    """Vision networks in onnxruntime on one core of a server."""
    return file_suite(path or data_root() / "measurements" / "onnxruntime-cpu.csv", "onnxruntime-cpu")


def xnnpack_suite(path: Path | None = None) -> Report:
    """MobileNets in TFLite with XNNPACK on a phone and a board."""
    return file_suite(path or data_root() / "measurements" / "xnnpack.csv", "xnnpack")


def sparse_suite(path: Path | None = None) -> Report:
    """Published sparse networks of Fast Sparse ConvNets on a phone."""
    return file_suite(path or data_root() / "measurements" / "sparse-convnets.csv", "sparse-convnets")


def mlperf_tiny_suite(path: Path | None = None) -> Report:
    """The four networks of MLPerf Tiny on microcontrollers: time and energy."""
    return file_suite(path or data_root() / "measurements" / "mlperf-tiny.csv", "mlperf-tiny")


def vllm_suite(path: Path | None = None) -> Report:
    """Inter-token latencies and whole requests of vLLM on A100 and H100."""
    return file_suite(path or data_root() / "measurements" / "vllm.csv", "vllm")


def power_suite(path: Path | None = None) -> Report:
    """Mean power of vLLM servers on A100 and H100."""
    return file_suite(path or data_root() / "measurements" / "vllm-power.csv", "vllm-power")


def diffusion_suite(path: Path | None = None) -> Report:
    """Time and energy of images from diffusion models on an H100."""
    return file_suite(path or data_root() / "measurements" / "diffusion.csv", "diffusion")


def fastertransformer_suite(path: Path | None = None) -> Report:
    """BERT, ViT and GPT in FasterTransformer on T4 and A100."""
    return file_suite(path or data_root() / "measurements" / "fastertransformer.csv", "fastertransformer")


def megatron_training_suite(path: Path | None = None) -> Report:
    """Steps of training GPT in Megatron-DeepSpeed on 2 to 64 A100."""
    return file_suite(path or data_root() / "measurements" / "megatron-training.csv", "megatron-training")


def fsdp_training_suite(path: Path | None = None) -> Report:
    """Training of MPT in LLM Foundry, fully sharded, on 8 to 64 A100."""
    return file_suite(path or data_root() / "measurements" / "fsdp-training.csv", "fsdp-training")


def timm_training_suite(path: Path | None = None) -> Report:
    """Training of vision networks in PyTorch on an RTX 3090."""
    return file_suite(path or data_root() / "measurements" / "timm-training.csv", "timm-training")


def _helm(path: Path | None = None) -> Report:
    from perfsim.validation.helm import helm_suite

    return helm_suite(path)


def _helm_prompt(path: Path | None = None) -> Report:
    from perfsim.validation.helm import prompt_suite

    return prompt_suite(path)


def _helm_token(path: Path | None = None) -> Report:
    from perfsim.validation.helm import token_suite

    return token_suite(path)


def _gemm(path: Path | None = None) -> Report:
    from perfsim.validation.gemm import gemm_suite

    return gemm_suite(path)


SUITES: Mapping[str, tuple[str, Callable[[Path | None], Report]]] = MappingProxyType(
    {
        "helm": ("whole requests of 13 Megatron profiles on A100 and V100", _helm),
        "helm-prompt": ("prompt times of the same profiles", _helm_prompt),
        "helm-token": ("times per output token of the same profiles", _helm_token),
        "gemm": ("matrix multiplication kernels on A100, H100 and H200", _gemm),
        "vllm-power": ("mean power of vLLM servers on A100 and H100", power_suite),
        "diffusion": ("time and energy of images from diffusion models on an H100", diffusion_suite),
        "megatron-training": ("Training steps of GPT in Megatron-DeepSpeed on 2 to 64 A100", megatron_training_suite),
        "fsdp-training": ("Training of MPT in LLM Foundry, fully sharded, on 8 to 64 A100", fsdp_training_suite),
        "timm-training": ("Training of vision networks in PyTorch on an RTX 3090", timm_training_suite),
        "fastertransformer": ("BERT, ViT and GPT in FasterTransformer on T4 and A100", fastertransformer_suite),
        "gap8": ("layers, networks and power on GAP8 under DORY and the AutoTiler", gap8_suite),
        "mlperf-tiny": ("the four networks of MLPerf Tiny on microcontrollers", mlperf_tiny_suite),
        "ncnn": ("vision networks in ncnn on the processors of phones and boards", ncnn_suite),
        "onnxruntime-cpu": ("vision networks in onnxruntime on one core of a server", onnxruntime_suite),
        "sparse-convnets": ("sparse MobileNets and EfficientNets on a phone", sparse_suite),
        "timm": ("throughput of vision networks in PyTorch on an RTX 3090", timm_suite),
        "vision": ("vision networks in PyTorch and TensorRT on V100, A100 and H100", vision_suite),
        "xnnpack": ("MobileNets in TFLite with XNNPACK on a phone and a board", xnnpack_suite),
        "vllm": ("inter-token latencies and requests of vLLM on A100 and H100", vllm_suite),
    }
)
"""Suite by name: what it compares, and the function that runs it on the shipped rows or on a file like them."""


def run_suite(name: str, path: Path | None = None) -> Report:
    """Run a suite by name, on ``path`` instead of the shipped rows if given.

    Raises
    ------
    UnknownNameError
        if there is no such suite; InputError if its file cannot be read.
    """
    if name not in SUITES:
        raise UnknownNameError("suite", name, SUITES)
    if path is not None and not path.is_file():
        raise InputError(f"{path}: no such file; expected measured rows for the suite {name}")
    return SUITES[name][1](path)
