"""Published systems from their TOML files: which techniques with which parameters, and what was claimed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from perfsim.catalog.files import find, names, read_toml
from perfsim.catalog.reader import Fields

__all__ = ["PREFIX", "SCOPES", "Claim", "PublishedSystem", "Setup", "expanded", "published_system", "system_names"]

PREFIX = "system:"
"""What a published system is called by in a list of techniques, e.g. ``system:awq``."""

SCOPES = ("core", "technique", "model", "metric")
"""What a paper brings: a method of this tool itself, a transform, a network, or a way to count."""

_FIELDS = frozenset({
    "title", "scope", "workload", "mechanism", "reference", "using", "changes", "setup", "declared", "claim", "notes",
})  # fmt: skip
_CLAIM_FIELDS = frozenset({
    "text", "metric", "form", "published", "band", "source", "setup", "baseline", "range", "not_derivable", "why",
})  # fmt: skip
_SETUP_FIELDS = frozenset({"model", "on", "stack", "count", "job", "using", "set"})


@dataclass(frozen=True)
class Setup:
    """Where a number is predicted: model, device, stack, devices, fields of the job, techniques, what-ifs."""

    model: str = ""
    on: str = ""
    stack: str = "ideal"
    count: int | None = None
    job: Mapping[str, Any] = field(default_factory=dict)
    using: tuple[str, ...] = ()
    what_if: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """One published number.

    text: the claim in few words; metric: attribute of a prediction, e.g. ``tpot`` or ``memory.kv_cache``; form: how the
    number is made of prediction and baseline; published: the number, None where the paper gives none; low, high: band
    within which a prediction confirms it; setup, baseline: what is predicted and what it is compared with; plausible:
    other lists of techniques over which a parameter that the paper does not state may range; not_derivable: why
    shapes and declared parameters do not give the number, "" where they do; why: the reason of a miss, in one sentence.
    """

    text: str
    metric: str
    form: str
    published: float | None
    low: float
    high: float
    setup: Setup
    baseline: Setup
    plausible: tuple[tuple[str, ...], ...]
    source: str
    not_derivable: str
    why: str = ""


@dataclass(frozen=True)
class PublishedSystem:
    """A published system: techniques in order, what it changes, on what it is tried, and its claims.

    workload: ``inference``, ``training`` ...; using: techniques as texts; metric, lower: what it claims to change, and
    whether down; declared: the parameters that a user must know, with the source of each value.
    """

    key: str
    title: str
    scope: str
    workload: str
    mechanism: str
    reference: str
    using: tuple[str, ...]
    metric: str
    lower: bool
    setup: Setup
    declared: Mapping[str, str]
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]

    @property
    def waiting(self) -> bool:
        """Whether it needs techniques of its workload that are not predicted yet: no setup tries it in training."""
        return self.workload not in ("inference", "any", self.setup.job.get("task"))


def system_names() -> tuple[str, ...]:
    """Names of all published systems of the catalogue."""
    return names("techniques")


def published_system(name: str) -> PublishedSystem:
    """Published system by name.

    Raises
    ------
    UnknownNameError, CatalogError
        if there is none of that name, or its file is malformed.
    """
    return _read(find("system", "techniques", name))


def expanded(using: Iterable[Any]) -> Iterable[Any]:
    """The list with every ``system:NAME`` replaced by the techniques of that system.

    Raises
    ------
    UnknownNameError, CatalogError
        as :func:`published_system`.
    """
    if isinstance(using, str) or not isinstance(using, Iterable):
        return using  # refused by whoever resolves it, with the advice to write a list
    result: list[Any] = []
    for item in using:
        named = isinstance(item, str) and item.startswith(PREFIX)
        result += published_system(item.removeprefix(PREFIX)).using if named else [item]
    return result


@lru_cache(maxsize=512)
def _read(path: Path) -> PublishedSystem:
    table = read_toml(path)
    fields = Fields(table, path)
    _only(fields, table, _FIELDS, "")
    scope, workload = fields.text("scope"), fields.text("workload", "inference")
    if scope not in SCOPES:
        raise fields.fail("scope", f'is "{scope}", expected one of {", ".join(SCOPES)}')
    using = fields.texts("using")
    changes = dict(fields.section("changes"))
    setup = _setup(fields, "setup", fields.section("setup"), Setup(using=using))
    return PublishedSystem(
        path.stem, fields.text("title"), scope, workload, fields.text("mechanism"), fields.text("reference", ""), using,
        str(changes.get("metric", "")), changes.get("direction", "lower") == "lower", setup,
        {str(key): str(value) for key, value in fields.section("declared").items()},
        tuple(_claim(fields, index, entry, setup) for index, entry in enumerate(fields.tables("claim"))),
        fields.texts("notes"),
    )  # fmt: skip


def _only(fields: Fields, table: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise fields.fail(f"{where}{key}", f"is not known; expected some of {', '.join(sorted(known))}")


def _setup(fields: Fields, where: str, table: Mapping[str, Any], base: Setup) -> Setup:
    if not isinstance(table, dict):
        raise fields.fail(where, f"is {table!r}, expected a table")
    _only(fields, table, _SETUP_FIELDS, f"{where}.")
    job, what_if, using = table.get("job", {}), table.get("set", {}), table.get("using", base.using)
    if not isinstance(job, dict) or not isinstance(what_if, dict):
        raise fields.fail(where, "job and set are expected to be tables")
    if isinstance(using, str) or not all(isinstance(item, str) for item in using):
        raise fields.fail(f"{where}.using", f"is {using!r}, expected a list of texts")
    return Setup(
        str(table.get("model", base.model)), str(table.get("on", base.on)), str(table.get("stack", base.stack)),
        table.get("count", base.count), {**base.job, **job}, tuple(using),
        {**base.what_if, **{key: str(value) for key, value in what_if.items()}},
    )  # fmt: skip


def _claim(fields: Fields, index: int, entry: Mapping[str, Any], base: Setup) -> Claim:
    where = f"claim[{index}]"
    _only(fields, entry, _CLAIM_FIELDS, f"{where}.")
    for key in ("text", "source"):
        if not isinstance(entry.get(key), str):
            raise fields.fail(f"{where}.{key}", "is missing, expected a text")
    reason, published = str(entry.get("not_derivable", "")), entry.get("published")
    setup = _setup(fields, f"{where}.setup", entry.get("setup", {}), base)
    plain = Setup(setup.model, setup.on, setup.stack, setup.count, setup.job, (), setup.what_if)
    baseline = _setup(fields, f"{where}.baseline", entry.get("baseline", {}), plain)
    low, high = _band(fields, where, entry, published, needed=not reason)
    return Claim(
        entry["text"], str(entry.get("metric", "")), str(entry.get("form", "value")),
        None if published is None else float(published), low, high, setup, baseline,
        tuple(tuple(item) for item in entry.get("range", ())), entry["source"], reason,
        str(entry.get("why", "")),
    )  # fmt: skip


def _band(
    fields: Fields, where: str, entry: Mapping[str, Any], published: Any, *, needed: bool
) -> tuple[float, float]:
    band = entry.get("band")
    if band is None and not needed:
        return (float(published), float(published)) if isinstance(published, int | float) else (0.0, 0.0)
    low, high = band if isinstance(band, list) and len(band) == 2 else (None, None)
    if not isinstance(low, int | float) or not isinstance(high, int | float) or low > high:
        raise fields.fail(f"{where}.band", f"is {band!r}, expected [low, high] around the published number")
    if not isinstance(published, int | float) or not low <= published <= high:
        raise fields.fail(f"{where}.published", f"is {published!r}, expected a number within the band {band}")
    return float(low), float(high)
