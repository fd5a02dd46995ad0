"""perfsim predicts latency, energy and memory of neural networks without running real weights."""

import importlib
from typing import Any

from perfsim.catalog import device, model, stack
from perfsim.errors import PerfsimError
from perfsim.prediction.compare import compare
from perfsim.prediction.duty import duty_cycle, duty_cycles
from perfsim.prediction.ledger import ledger
from perfsim.prediction.predict import largest_batch, predict, system
from perfsim.prediction.prediction import Prediction
from perfsim.sweeps.solve import solve
from perfsim.sweeps.sweep import sweep
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


def __getattr__(name: str) -> Any:
    """``perfsim.plots``, ``perfsim.sweeps`` and ``perfsim.symbolic`` on first use: they cost nothing until then."""
    if name in ("plots", "sweeps"):
        return importlib.import_module(f"perfsim.{name}")
    if name == "symbolic":
        return importlib.import_module("perfsim.sweeps.symbolic").symbolic
    raise AttributeError(f"module 'perfsim' has no attribute {name!r}")
