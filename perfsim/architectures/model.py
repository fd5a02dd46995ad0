"""What every model tells the rest of perfsim, whatever its family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from perfsim.errors import InputError

__all__ = ["Model", "expect"]

M = TypeVar("M", bound="Model")


class Model(ABC):
    """Base of all families; a family is a frozen dataclass with a method that builds its graph for a job.

    name: for people and results; dtype: number format of the published weights, or None; context_limit: most
    positions it can see, or None; remarks: what of its description does not enter a prediction.
    """

    name: str
    dtype: str | None
    context_limit: int | None
    remarks: tuple[str, ...]

    family: str = "model"
    """What the family is called in messages, e.g. ``language model``."""
    usual_task: str = "inference"
    """What one does with such a model, unless a task is stated."""
    conventions: tuple[str, ...] = (
        "causal attention counts visible (query, key) pairs only; the naive attention graph counts all pairs it "
        "computes",
        "logits of the last position only; embedding rows are gathered, never read as a whole",
        "each weight is stored once and read once per pass; a tied head is stored once and read as the head",
        "a padded vocabulary counts with its padding",
    )
    """How its work is counted; printed with every result."""
    outside: tuple[str, ...] = ("tokenization and detokenization",)
    """What a request also takes and no prediction of this family covers."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """All stored parameters [1]."""

    @property
    def active_parameters(self) -> int:
        """Parameters that one token or sample uses [1]; all of them unless the family routes."""
        return self.parameters

    def shape(self) -> dict[str, int]:
        """A few sizes that people know the model by, e.g. layers and width."""
        return {}

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates of one sample [1], None where the count depends on the job."""
        return None


def expect(kind: type[M], model: Model, job: str, instead: str) -> M:
    """``model`` if it is of ``kind``, else a refusal that names the job to use.

    Raises
    ------
    InputError
        if the model is of another family.
    """
    if not isinstance(model, kind):
        raise InputError(f"{model.name} is a {model.family}, but {job} needs a {kind.family}; use {instead}")
    return model
