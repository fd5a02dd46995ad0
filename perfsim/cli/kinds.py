"""Kinds of values on the command line: plain decimal numbers, written as people write them."""

from __future__ import annotations

import re
from typing import Any

import click

__all__ = ["WHOLE", "Batch", "Whole"]

MAXIMUM = "max"
"""The batch that fills the memory."""

_WHOLE = re.compile(r"[+-]?[0-9]+")


class Whole(click.ParamType[int]):
    """A whole number in the digits 0 to 9, without separators."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if not _WHOLE.fullmatch(value.strip()) or len(value) > 1000:
            self.fail(f"{value!r} is not a valid integer", param, ctx)
        return int(value)


WHOLE = Whole()


class Batch(click.ParamType[int | str]):
    """A whole number, or ``max``."""

    name = "N|max"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if isinstance(value, int):
            return value
        if value == MAXIMUM:
            return MAXIMUM
        if not _WHOLE.fullmatch(value.strip()) or len(value) > 1000:
            self.fail(f'"{value}" is neither a whole number nor {MAXIMUM}', param, ctx)
        return int(value)
