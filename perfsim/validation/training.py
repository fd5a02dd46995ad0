"""Training steps: the rows of public tables that the catalogue can predict.

``python -m perfsim.validation.training megatron vtrain_megatron_a100.csv`` prints measurements/megatron-training.csv,
from the iteration times of VIA-Research/vTrain (columns source_file, layers, hidden, heads, seq, global_batch,
micro_batch, tp, dp, pp, value, flag); ``fsdp llmfoundry_mpt_training.csv`` and ``timm timm_benchmark.csv`` print
measurements/fsdp-training.csv and measurements/timm-training.csv, from the tables of mosaicml/llm-foundry and of
huggingface/pytorch-image-models.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from perfsim.errors import InputError, PerfsimError
from perfsim.validation.repricing import Lines, print_lines
from perfsim.validation.vision import STACKS, networks

__all__ = ["TABLES", "foundry_lines", "main", "timm_training_lines", "vtrain_lines"]

SOURCE = "VIA-Research/vTrain@f8dda8473a48 data/{file}"
_HEADER = (
    "source", "device", "stack", "model", "task", "dtype", "global_batch", "micro_batch", "sequence",
    "tensor_parallel", "pipeline_parallel", "data_parallel", "using", "metric", "value", "fitted", "notes",
)  # fmt: skip
_IMAGES = (
    "source", "device", "stack", "model", "task", "dtype", "global_batch", "image_size", "metric", "value", "fitted",
    "notes",
)  # fmt: skip
FOUNDRY_DEVICES: Mapping[str, str] = MappingProxyType({"a100_80gb": "a100-sxm4-80gb", "a100_40gb": "a100-sxm4-40gb"})
TIMM = "huggingface/pytorch-image-models@aa4b5850c154"


def _digit(text: str) -> int:
    """Last hexadecimal digit of the hash of a text: a draw that anybody can repeat."""
    return int(hashlib.sha256(text.encode()).hexdigest()[-1], 16)


def vtrain_lines(table: Iterable[Mapping[str, str]]) -> Iterator[dict[str, str]]:
    """Lines of measurements/megatron-training.csv: every run over several nodes, and half of those on one, by hash.

    Of the kept runs on one node those with a last digit below 4 are fitted; none over several nodes is.
    """
    for row in table:
        fields = ("layers", "hidden", "global_batch", "micro_batch", "tp", "dp", "pp")
        digit = _digit(",".join(row[name] for name in fields))
        several = int(row["tp"]) * int(row["dp"]) * int(row["pp"]) > 8
        if row["flag"] or (digit >= 8 and not several):
            continue
        yield {
            "source": SOURCE.format(file=row["source_file"].rpartition("/")[2]), "device": "a100-sxm4-80gb",
            "stack": "megatron", "model": f"megatron-gpt-{row['hidden']}x{row['layers']}", "task": "training",
            "dtype": "fp16", "global_batch": row["global_batch"], "micro_batch": row["micro_batch"],
            "sequence": row["seq"], "tensor_parallel": row["tp"], "pipeline_parallel": row["pp"],
            "data_parallel": row["dp"], "using": "recompute:mode=full;dropout", "metric": "step_time",
            "value": f"{float(row['value']) / 1e3:.6g}", "fitted": str(int(digit < 4 and not several)), "notes": "",
        }  # fmt: skip


def foundry_lines(table: Iterable[Mapping[str, str]]) -> Iterator[dict[str, str]]:
    """Lines of measurements/fsdp-training.csv: every throughput. Runs on 80 GB with a last digit below 7 are fitted."""
    for row in table:
        if row["metric"] != "throughput":
            continue
        fields = ("model", "seq_in", "batch", "microbatch")
        digit = _digit(",".join(row[name] for name in fields))
        fitted = row["device"] == "a100_80gb" and digit < 7
        yield {
            "source": "mosaicml/llm-foundry@8c8dd48f7216 scripts/train/benchmarking/README.md",
            "device": FOUNDRY_DEVICES[row["device"]], "stack": "fsdp", "model": row["model"].lower(),
            "task": "training", "dtype": "bf16", "global_batch": row["batch"], "micro_batch": row["microbatch"],
            "sequence": row["seq_in"], "tensor_parallel": "1", "pipeline_parallel": "1",
            "data_parallel": row["n_devices"],
            "using": "zero:stage=3" + (";recompute:mode=full" if row["act_ckpt"] == "True" else ""),
            "metric": "throughput", "value": row["value"], "fitted": str(int(fitted)), "notes": "",
        }  # fmt: skip


def timm_training_lines(table: Iterable[Mapping[str, str]]) -> Iterator[dict[str, str]]:
    """Lines of measurements/timm-training.csv: half of the networks in the catalogue, by hash of their names."""
    known, seen = networks(), set[tuple[str, ...]]()
    for row in table:
        name = known.get(row["model"]) or known.get(row["model"].partition(".")[0])
        if name is None or row["mode"] != "train" or row["device"] != "RTX 3090" or _digit(name) >= 8:
            continue
        key = (name, row["layout"], row["img"], row["batch"])
        if key in seen:
            continue
        seen.add(key)
        yield {
            "source": f"{TIMM} results/benchmark-train-amp-{row['layout']}-pt112-cu113-rtx3090.csv",
            "device": "rtx-3090", "stack": STACKS[row["layout"]], "model": name, "task": "training", "dtype": "fp16",
            "global_batch": row["batch"], "image_size": row["img"], "metric": "throughput", "value": row["value"],
            "fitted": "0", "notes": row["model"],
        }  # fmt: skip


TABLES: Mapping[str, tuple[Lines, tuple[str, ...]]] = MappingProxyType(
    {
        "megatron": (vtrain_lines, _HEADER),
        "fsdp": (foundry_lines, _HEADER),
        "timm": (timm_training_lines, _IMAGES),
    }
)
"""Name of a table → what makes its lines, and their columns."""


def main(arguments: Sequence[str]) -> int:
    """Print the lines that a table gives: its name and its path are the arguments; the exit code."""
    try:
        if len(arguments) != 2 or arguments[0] not in TABLES:
            raise InputError(f"expected the name of a table, one of {', '.join(TABLES)}, and its path")
        make, header = TABLES[arguments[0]]
        print_lines(arguments[1], make, header)
    except PerfsimError as error:
        sys.stderr.write(f"perfsim: {' '.join(str(error).split())}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
