"""perfsim predicts latency, energy and memory of neural networks without running real weights."""

import importlib
from types import ModuleType

from perfsim.catalog import device, model, stack
from perfsim.errors import PerfsimError
from perfsim.prediction.compare import compare
from perfsim.prediction.ledger import ledger
from perfsim.prediction.predict import largest_batch, predict, system
from perfsim.prediction.prediction import Prediction
from perfsim.techniques.parallel import Parallel
from perfsim.workloads import Decode, Diffusion, Inference, Prefill, SinglePass

__all__ = [
    "Decode",
    "Diffusion",
    "Inference",
    "Parallel",
    "PerfsimError",
    "Prediction",
    "Prefill",
    "SinglePass",
    "compare",
    "device",
    "largest_batch",
    "ledger",
    "model",
    "predict",
    "stack",
    "system",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> ModuleType:
    """``perfsim.plots`` on first use: figures cost nothing until then."""
    if name == "plots":
        return importlib.import_module("perfsim.plots")
    raise AttributeError(f"module 'perfsim' has no attribute {name!r}")
