"""A prediction as plain data, with the keys of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfsim.export.plain import plain
from perfsim.prediction.rows import whole

if TYPE_CHECKING:
    from perfsim.prediction.prediction import Prediction

__all__ = ["result_dict"]

_MEMORY = ("total", "weights", "kv_cache", "activations", "gradients", "optimizer_states", "workspace", "capacity")


def result_dict(p: Prediction) -> dict[str, Any]:
    """Everything a program may want of ``p`` in SI units; what does not apply or is not finite is None."""
    data = {**_asked(p), **_metrics(p), **_judgement(p)}
    data["memory"] = {name: whole(getattr(p.memory, name)) for name in _MEMORY} | {"fits": p.memory.fits}
    data["memory"]["weights_in"] = None if p.memory.weights_in is None else vars(p.memory.weights_in)
    data["memory"]["misfits"] = [vars(misfit) for misfit in p.memory.misfits]
    data["plan"] = [layer.to_dict() for layer in p.plan] or None
    data["phases"] = [vars(row) for row in p.phases]
    data["operators"] = [{k: v for k, v in vars(row).items() if k != "parts"} for row in p.operators]
    result: dict[str, Any] = plain(data)
    return result


def _asked(p: Prediction) -> dict[str, Any]:
    return {
        "model": p.model.name,
        "device": p.system.device.key,
        "count": p.devices,
        "stack": p.stack.key,
        "task": p.job.task,
        "workload": p.job.describe(),
        "using": [str(technique) for technique in p.using],
        "what_if": {
            f"{profile.kind}.{path}": datum.value
            for profile in (p.system.device, p.stack)
            for path, datum in profile.data.items()
            if datum.status == "what-if"
        },
    }


def _metrics(p: Prediction) -> dict[str, Any]:
    return {
        "runtime": p.runtime,
        "ttft": p.ttft,
        "tpot": p.tpot,
        "throughput": p.throughput,
        "step_time": p.step_time,
        "energy": p.energy,
        "power": p.power,
        "throttling": p.throttling,
        "cost": p.cost,
        "carbon": p.carbon,
        "flops": p.flops,
        "traffic": p.traffic,
        "operational_intensity": p.operational_intensity,
        "computational_efficiency": p.mfu,
        "mfu": p.mfu,
        "hfu": p.hfu,
        "mbu": p.mbu,
        "parameters": p.job.sizes(p.model)[0],
        "active_parameters": p.model.active_parameters,
        "macs": p.job.sizes(p.model)[1],
    }


def _judgement(p: Prediction) -> dict[str, Any]:
    coverage = p.coverage
    return {
        "ideal_runtime": p.ideal_runtime,
        "interval": {"runtime": list(p.interval), "why": p.relative_interval.why},
        "coverage": {
            "operators": coverage.operators,
            "flops": coverage.flops,
            "traffic": coverage.traffic,
            "missing": list(coverage.missing),
        },
        "economics": {
            "price": p.economics.price,
            "offer": p.economics.offer,
            "date": p.economics.date,
            "pue": p.economics.pue,
            "grid": p.economics.intensity,
            "region": p.economics.region,
        },
        "conventions": list(p.conventions),
        "remarks": list(p.remarks),
    }
