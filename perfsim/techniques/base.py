"""What a technique is: fields are its parameters, ``requires`` says when it cannot apply, ``apply`` rewrites."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar

from perfsim.architectures import Model
from perfsim.devices import Stack, System
from perfsim.errors import InputError
from perfsim.graph import OperatorGraph, check, same
from perfsim.quantities.dtypes import DTYPES
from perfsim.workloads import Job, Plan

__all__ = ["Context", "GraphRewrite", "ModelRewrite", "OptionalRewrite", "PlanRewrite", "Technique", "parameter"]


@dataclass(frozen=True, eq=False)
class Context:
    """What a technique may look at: the model, the system and the stack.

    find_model: the catalogue, for techniques that bring a second network (a draft, a cascade, an auxiliary model).
    """

    model: Model
    system: System
    stack: Stack
    find_model: Callable[[str], Model]


def parameter(
    default: Any, meaning: str, *, unit: str = "1", least: float | None = None, most: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:  # fmt: skip
    """A documented field of a technique: unit, range or choices, and meaning."""
    notes = {"meaning": meaning, "unit": unit, "least": least, "most": most, "choices": choices}
    return field(default=default, metadata=notes)


@dataclass(frozen=True, kw_only=True)
class Technique(ABC):
    """Base of all techniques; a subclass is a frozen dataclass whose fields are :func:`parameter` s.

    Raises
    ------
    InputError
        when a parameter is outside its range.
    """

    name: ClassVar[str] = ""
    reference: ClassVar[str] = ""
    idempotent: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, Any] | None] = None
    """Parameters with which it changes no prediction; None where there are none."""
    in_training: ClassVar[bool] = False
    """Whether it applies to training, too."""
    turn: ClassVar[int] = 2
    """When it rewrites the plan, before those with a larger turn: 0 multiplies the work, 1 makes other phases of it,
    2 edits what is there. Techniques of one turn keep the order in which they are stated."""

    def __post_init__(self) -> None:
        for item in fields(self):
            self._check(item, getattr(self, item.name))

    def _check(self, item: Field[Any], value: Any) -> None:
        where, notes = f"{self.name}: {item.name}={value!r}", item.metadata
        if notes["choices"]:
            if value not in notes["choices"]:
                raise InputError(f"{where}: expected one of {', '.join(notes['choices'])}")
            return
        if isinstance(item.default, str):
            if not isinstance(value, str):
                raise InputError(f"{where}: expected a text")
            return
        whole = isinstance(item.default, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise InputError(f"{where}: expected a {'whole number' if whole else 'number'} [{notes['unit']}]")
        if (notes["least"] is not None and value < notes["least"]) or (
            notes["most"] is not None and value > notes["most"]
        ):
            raise InputError(f"{where}: expected {notes['least']} to {notes['most'] or 'any'} [{notes['unit']}]")

    def requires(self, plan: Plan, context: Context) -> str | None:
        """Why the technique cannot apply here, or None."""
        return None

    def remodel(self, model: Model, context: Context) -> Model:
        """The model that is used instead; most techniques leave it as it is.

        Raises
        ------
        InputError
            with the reason, when the technique cannot apply to the model.
        """
        return model

    def prepare(self, job: Job, context: Context) -> Job:
        """The job that is planned instead; most techniques leave it as it is."""
        return job

    @abstractmethod
    def apply(self, plan: Plan, context: Context) -> Plan:
        """The rewritten plan."""

    def rewritten(self, plan: Plan, context: Context) -> Plan:
        """Check ``requires``, apply, check the graphs, and note whether anything changed.

        Raises
        ------
        InputError
            with the reason, when the technique cannot apply.
        """
        reason = self.requires(plan, context)
        if reason is None and plan.job.optimizer_steps is not None and not self.in_training:
            reason = "it changes inference; what it does to a backward pass is not modelled"
        if reason is not None:
            raise InputError(f"{self.name} cannot apply to {context.model.name}: {reason}")
        result = self.apply(plan, context)
        for old, new in zip(plan.phases, result.phases, strict=False):
            if new.graph is not old.graph:
                check(new.graph)
        return result if same(plan, result) else result.replace(changed_by=plan.changed_by | {str(self)})

    @property
    def is_neutral(self) -> bool:
        """Whether its parameters make it the identity."""
        return self.neutral is not None and all(getattr(self, name) == at for name, at in self.neutral.items())

    def __str__(self) -> str:
        """The text form: ``name:key=value,...``."""
        changed = [f"{f.name}={getattr(self, f.name)}" for f in fields(self)]
        return self.name + (":" + ",".join(changed) if changed else "")

    @classmethod
    def describe(cls) -> list[dict[str, Any]]:
        """Parameters as plain data: name, default, unit, range, meaning."""
        return [{"name": f.name, "default": f.default, **f.metadata} for f in fields(cls)]


class GraphRewrite(Technique):
    """A technique that acts on the graph of every phase."""

    @abstractmethod
    def rewrite(self, graph: OperatorGraph, context: Context) -> OperatorGraph:
        """The rewritten graph."""

    def apply(self, plan: Plan, context: Context) -> Plan:
        return plan.map_graphs(lambda graph: self.rewrite(graph, context))


class PlanRewrite(Technique):
    """A technique that changes phases, repetitions, placement or layout."""


class OptionalRewrite(PlanRewrite):
    """A plan rewrite that is off at its ``neutral`` parameters, e.g. without a second network.

    Off, it fits every plan and leaves it as it is: ``requires`` and ``apply`` see only techniques that are on.
    """

    def rewritten(self, plan: Plan, context: Context) -> Plan:
        return plan if self.is_neutral else super().rewritten(plan, context)


class ModelRewrite(Technique):
    """A technique that changes the model itself before anything is planned: layers, widths, another network.

    All model rewrites come before all others, among themselves in the order given.
    """

    in_training = True

    def refuses(self, model: Model, context: Context) -> str | None:
        """Why the technique cannot apply to ``model``, or None."""
        return None

    @abstractmethod
    def remodelled(self, model: Model, context: Context) -> Model:
        """The changed model."""

    def remodel(self, model: Model, context: Context) -> Model:
        reason = self.refuses(model, context)
        if reason is not None:
            raise InputError(f"{self.name} cannot apply to {model.name}: {reason}")
        return self.remodelled(model, context)

    def apply(self, plan: Plan, context: Context) -> Plan:
        return plan


INTEGER_FORMATS: Mapping[int, str] = {d.bits: d.name for d in DTYPES.values() if d.kind == "int"}
"""Name of the integer format of a width in bits."""
