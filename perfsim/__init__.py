"""perfsim predicts latency, energy and memory of neural networks without running real weights."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perfsim.catalog import device, model, stack
    from perfsim.errors import PerfsimError
    from perfsim.prediction.compare import compare
    from perfsim.prediction.duty import duty_cycle, duty_cycles
    from perfsim.prediction.ledger import ledger
    from perfsim.prediction.predict import largest_batch, predict, system
    from perfsim.prediction.prediction import Prediction
    from perfsim.sweeps.solve import solve
    from perfsim.sweeps.sweep import sweep
    from perfsim.sweeps.symbolic import symbolic
    from perfsim.techniques.parallel import Parallel
    from perfsim.workloads import Decode, Diffusion, Inference, Prefill, SinglePass, Training

__all__ = [
    "Decode",
    "Diffusion",
    "Inference",
    "Parallel",
    "PerfsimError",
    "Prediction",
    "Prefill",
    "SinglePass",
    "Training",
    "compare",
    "device",
    "duty_cycle",
    "duty_cycles",
    "largest_batch",
    "ledger",
    "model",
    "predict",
    "solve",
    "stack",
    "sweep",
    "symbolic",
    "system",
]
__version__ = "0.1.0"

_HOMES = {
    "catalog": ("device", "model", "stack"),
    "errors": ("PerfsimError",),
    "prediction.compare": ("compare",),
    "prediction.duty": ("duty_cycle", "duty_cycles"),
    "prediction.ledger": ("ledger",),
    "prediction.predict": ("largest_batch", "predict", "system"),
    "prediction.prediction": ("Prediction",),
    "sweeps.solve": ("solve",),
    "sweeps.sweep": ("sweep",),
    "sweeps.symbolic": ("symbolic",),
    "techniques.parallel": ("Parallel",),
    "workloads": ("Decode", "Diffusion", "Inference", "Prefill", "SinglePass", "Training"),
}
"""Module → the public names that it holds."""


def __getattr__(name: str) -> Any:
    """Public names, ``perfsim.plots`` and ``perfsim.sweeps`` on first use: they cost nothing until then."""
    if name in ("plots", "sweeps"):
        return importlib.import_module(f"perfsim.{name}")
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(f"perfsim.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'perfsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
