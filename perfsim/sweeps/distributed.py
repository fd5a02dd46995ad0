"""Sweeps on a dask cluster: parts are evaluated by workers; a part of a lost worker is evaluated by another one."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any

from perfsim.errors import InputError
from perfsim.sweeps.stream import ROWS, Evaluated, whole_result
from perfsim.sweeps.sweep import Sweep
from perfsim.sweeps.variant import Result

__all__ = ["LOCAL", "connected", "evaluate_on", "evaluated_by"]

LOCAL = "local"
"""Scheduler that stands for a cluster on this machine, which lives as long as the sweep."""

RETRIES = 5
"""Times that a part may lose its worker, or fail, before the sweep gives up."""

WAITING = 20.0
"""Time after which a scheduler that does not answer counts as absent [s]."""

_Part = tuple[slice, ...]


@contextmanager
def connected(scheduler: str = LOCAL, workers: int = 2) -> Iterator[Any]:
    """A dask client.

    scheduler: an address such as ``tcp://10.0.0.5:8786``, or ``local``; workers: processes of a local cluster.

    Raises
    ------
    InputError
        if dask is not installed, or the scheduler does not answer.
    """
    if importlib.util.find_spec("distributed") is None:
        raise InputError("a dask cluster needs distributed; install it with: pip install perfsim[distributed]")
    distributed: Any = importlib.import_module("distributed")
    if scheduler == LOCAL:
        cluster = distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        )
        with cluster, distributed.Client(cluster, timeout=WAITING) as client:
            yield client
        return
    try:
        client = distributed.Client(scheduler, timeout=WAITING)
    except (OSError, ValueError) as error:
        raise InputError(f'scheduler "{scheduler}": does not answer ({error}); expected e.g. tcp://HOST:8786') from None
    with client:
        yield client


def evaluate_on(plan: Sweep, client: Any, rows: int = ROWS) -> Result:
    """As :meth:`Sweep.evaluate` for all points, with the parts evaluated by the workers of a cluster.

    Raises
    ------
    PerfsimError
        as :func:`perfsim.sweep`.
    """
    return whole_result(plan, evaluated_by(client), rows)


def evaluated_by(client: Any) -> Evaluated:
    """What evaluates parts of a sweep in their order on the workers of a cluster, for
    :func:`perfsim.sweeps.write_sweep`.
    """

    def evaluated(plan: Sweep, parts: Sequence[_Part]) -> Iterator[Result]:
        shared = client.scatter(_packed(replace(plan, workers=1)), broadcast=True)
        waiting = [client.submit(_evaluated, shared, part, pure=False, retries=RETRIES) for part in parts]
        waiting.reverse()
        while waiting:
            result, refusals = waiting.pop().result()
            plan.refusals.update(refusals)
            yield result

    return evaluated


def _packed(plan: Sweep) -> bytes:
    return bytes(_pickle().dumps({f.name: getattr(plan, f.name) for f in fields(plan)}))


def _pickle() -> Any:
    return importlib.import_module("cloudpickle")


@lru_cache(maxsize=4)
def _unpacked(packed: bytes) -> Sweep:
    """The sweep on a worker; kept, so that its variants are recorded once per worker."""
    return Sweep(**_pickle().loads(packed))


def _evaluated(packed: bytes, part: _Part) -> tuple[Result, set[str]]:
    plan = _unpacked(packed)
    return plan.evaluate(part), set(plan.refusals)
