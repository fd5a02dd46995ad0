"""Training steps: the rows of public tables that the catalogue can predict.

``python -m perfsim.validation.training vtrain_megatron_a100.csv`` prints measurements/megatron-training.csv, from the
iteration times of VIA-Research/vTrain in one table (columns layers, hidden, heads, seq, global_batch, micro_batch, tp,
dp, pp, value, flag).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from perfsim.errors import InputError, PerfsimError
from perfsim.validation.repricing import print_lines

__all__ = ["main", "vtrain_lines"]

SOURCE = "VIA-Research/vTrain@f8dda8473a48 data/{file}"
_HEADER = (
    "source", "device", "stack", "model", "task", "dtype", "global_batch", "micro_batch", "sequence",
    "tensor_parallel", "pipeline_parallel", "data_parallel", "using", "metric", "value", "fitted", "notes",
)  # fmt: skip


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


def main(arguments: Sequence[str]) -> int:
    """Print the lines that the table at ``arguments[0]`` gives; the exit code."""
    try:
        if len(arguments) != 1:
            raise InputError("expected one argument: the table of vTrain's measurements, as CSV")
        print_lines(arguments[0], vtrain_lines, _HEADER)
    except PerfsimError as error:
        sys.stderr.write(f"perfsim: {' '.join(str(error).split())}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
