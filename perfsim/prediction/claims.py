"""Published claims against predictions: each holds, misses, cannot be derived, or waits for its workload."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from perfsim.catalog.models import model as find_model
from perfsim.catalog.systems import Claim, PublishedSystem, Setup, published_system, system_names
from perfsim.errors import InputError, PerfsimError, UnknownNameError
from perfsim.prediction.predict import predict
from perfsim.prediction.prediction import Prediction
from perfsim.workloads import job_of

__all__ = ["FORMS", "METRICS", "STATUSES", "Verdict", "check_claims", "measure", "run_setup", "tried"]

FORMS: Mapping[str, Callable[[float, float], float]] = MappingProxyType({
    "value": lambda new, _: new,
    "ratio": lambda new, old: new / old,
    "speedup": lambda new, old: old / new,
    "reduction": lambda new, old: 1 - new / old,
    "difference": lambda new, old: new - old,
})  # fmt: skip
"""How a claimed number is made of the metric with the system (first) and of its baseline (second)."""

METRICS = (
    "runtime", "ttft", "tpot", "throughput", "energy", "power", "cost", "carbon", "flops", "traffic", "mfu", "mbu",
    "hfu", "step_time", "memory.total", "memory.weights", "memory.kv_cache", "memory.activations", "memory.workspace",
    "model.parameters", "model.active_parameters", "model.macs", "operational_intensity", "ideal.runtime",
)  # fmt: skip
"""What a claim can be about: attributes of a prediction."""

STATUSES = ("holds", "misses", "not-derivable", "waiting")


@dataclass(frozen=True)
class Verdict:
    """A claim beside its prediction.

    predicted: with the setup as stated, or, where only a plausible value of what the paper does not state reaches the
    band, with the one that comes nearest to the published number (``why`` tells); it lies in the band of every claim
    that holds. plausible: least and most over the plausible parameters, None without any.
    """

    system: str
    claim: str
    metric: str
    form: str
    published: float | None
    predicted: float | None
    low: float | None
    high: float | None
    status: str
    why: str
    plausible: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain data, keys as in the documentation of ``perfsim claims --json``."""
        return {**vars(self), "plausible": None if self.plausible is None else list(self.plausible)}


def measure(prediction: Prediction, metric: str) -> float:
    """Value of a metric of a prediction, SI units.

    Raises
    ------
    UnknownNameError, InputError
        if there is no such metric, or this prediction has no value for it.
    """
    if metric not in METRICS:
        raise UnknownNameError("metric of a claim", metric, METRICS)
    value = attrgetter(metric)(prediction)
    if value is None:
        raise InputError(f"{prediction.model.name} on {prediction.system.device.key} has no {metric}")
    return float(value)


def run_setup(setup: Setup) -> Prediction:
    """The prediction of a setup.

    Raises
    ------
    PerfsimError
        if the setup names anything unknown, or its parts do not go together.
    """
    network = find_model(setup.model)
    return predict(
        network, job_of(network, setup.job), setup.on, count=setup.count, stack=setup.stack, using=setup.using,
        what_if=setup.what_if,
    )  # fmt: skip


def tried(system: PublishedSystem) -> tuple[Prediction, Prediction]:
    """A published system in its own setup, and the same without it.

    Raises
    ------
    PerfsimError
        as :func:`run_setup`.
    """
    return run_setup(system.setup), run_setup(replace(system.setup, using=()))


def check_claims(names: Iterable[str] = ()) -> Iterator[Verdict]:
    """Verdicts on all claims of the named systems, of all systems by default.

    Raises
    ------
    UnknownNameError, CatalogError
        if a system is unknown or its file is malformed.
    """
    for name in tuple(names) or system_names():
        system = published_system(name)
        for claim in system.claims:
            yield _verdict(system, claim)


def _verdict(system: PublishedSystem, claim: Claim) -> Verdict:
    def verdict(status: str, why: str, predicted: float | None = None, **more: Any) -> Verdict:
        stated = claim.published is not None
        return Verdict(
            system.key, claim.text, claim.metric, claim.form, claim.published, predicted,
            claim.low if stated else None, claim.high if stated else None, status, why, **more,
        )  # fmt: skip

    if claim.not_derivable:
        return verdict("not-derivable", claim.not_derivable)
    if system.waiting:
        return verdict("waiting", f"needs techniques of {system.workload} that this version does not have")
    try:
        predicted = _number(claim, claim.setup)
        others = [_number(claim, replace(claim.setup, using=using)) for using in claim.plausible]
    except PerfsimError as error:
        return verdict("misses", f"cannot be predicted: {error}")
    least, most = min([predicted, *others]), max([predicted, *others])
    spread = (least, most) if others else None
    if claim.low <= predicted <= claim.high:
        return verdict("holds", "predicted within the band", predicted, plausible=spread)
    reaching = [other for other in others if claim.low <= other <= claim.high]
    if reaching:
        nearest = min(reaching, key=lambda value: abs(value - (claim.published or value)))
        why = (
            "a plausible value of what the paper does not state reaches the band; predicted is the nearest such to the "
            f"published one, the setup as stated gives {predicted:.4g}"
        )
        return verdict("holds", why, nearest, plausible=spread)
    side = "above" if predicted > claim.high else "below"
    why = f"predicted {predicted:.4g} lies {side} the band {claim.low:g} to {claim.high:g}"
    if least < claim.low and most > claim.high:
        why += "; plausible values of what the paper does not state lie on both sides of it, none in it"
    why += f": {claim.why}" if claim.why else ""
    return verdict("misses", why, predicted, plausible=spread)


def _number(claim: Claim, setup: Setup) -> float:
    if claim.form not in FORMS:
        raise UnknownNameError("form of a claim", claim.form, FORMS)
    new = measure(run_setup(setup), claim.metric)
    old = new if claim.form == "value" else measure(run_setup(claim.baseline), claim.metric)
    return FORMS[claim.form](new, old)
