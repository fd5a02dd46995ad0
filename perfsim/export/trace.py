"""Chrome / Perfetto traces of a predicted run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfsim.export.files import write_whole
from perfsim.export.plain import json_text

if TYPE_CHECKING:
    from perfsim.prediction.prediction import Prediction

__all__ = ["trace_events", "write_trace"]

MICROSECOND = 1e6
"""Microseconds per second: the unit of time of the format."""

_TOTALS = ("count", "flops", "traffic", "bound", "operational_intensity", "computational_efficiency")


def trace_events(p: Prediction) -> list[dict[str, Any]]:
    """One bar per kernel, one row per phase, laid end to end; repeated executions are one bar of their total time.

    Times are in microseconds, as the format wants them.
    """
    phases = {phase.name: index for index, phase in enumerate(p.phases, start=1)}
    events = [_name("process_name", 0, p.setup), *(_name("thread_name", index, name) for name, index in phases.items())]
    clock = 0.0
    for row in p.operators:
        events.append(
            {
                "name": row.name,
                "cat": row.kind,
                "ph": "X",
                "pid": 0,
                "tid": phases[row.phase],
                "ts": clock * MICROSECOND,
                "dur": row.runtime * MICROSECOND,
                "args": {name: getattr(row, name) for name in _TOTALS},
            }
        )
        clock += row.runtime
    return events


def _name(what: str, thread: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": 0, "tid": thread, "args": {"name": name}}


def write_trace(p: Prediction, path: str | Path) -> None:
    """Write the trace as JSON that chrome://tracing and ui.perfetto.dev read.

    Raises
    ------
    InputError
        if the file cannot be written; nothing is left behind then.
    """
    write_whole(path, json_text({"traceEvents": trace_events(p), "displayTimeUnit": "ms"}, indent=None))
