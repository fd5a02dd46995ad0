"""Lists of numbers inside the text of a technique, e.g. ``acceptance=0.8/0.7/0.6``."""

from __future__ import annotations

from perfsim.errors import InputError

__all__ = ["numbers_of", "probabilities_of"]


def numbers_of(where: str, text: str) -> tuple[float, ...]:
    """Numbers separated by slashes; none for an empty text.

    Raises
    ------
    InputError
        if a part is no number; ``where`` says of which parameter.
    """
    try:
        return tuple(float(part) for part in text.split("/")) if text else ()
    except ValueError:
        raise InputError(f'{where}="{text}": expected numbers with slashes between them, e.g. 0.8/0.7') from None


def probabilities_of(where: str, text: str) -> tuple[float, ...]:
    """Numbers from 0 to 1 separated by slashes.

    Raises
    ------
    InputError
        if a part is no number from 0 to 1.
    """
    numbers = numbers_of(where, text)
    if not all(0 <= number <= 1 for number in numbers):
        raise InputError(f'{where}="{text}": expected shares from 0 to 1')
    return numbers
