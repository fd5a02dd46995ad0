"""Published accuracies of catalogue models, from ``measurements/accuracy.csv``."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache

from perfsim.catalog.files import data_root

__all__ = ["Accuracy", "accuracies"]


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy on the validation set of ImageNet-1K [1] of published weights, on images of one size.

    model: catalogue name; image_size: pixels per side; weights: their name in the source; source: where it was read.
    """

    model: str
    image_size: int
    top1: float
    weights: str
    source: str


@lru_cache(maxsize=1)
def accuracies() -> tuple[Accuracy, ...]:
    """All rows of the table; several of one model and size are later trainings of it."""
    path = data_root() / "measurements" / "accuracy.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(
            Accuracy(row["model"], int(row["image_size"]), float(row["top1"]), row["weights"], row["source"])
            for row in csv.DictReader(file)
        )
