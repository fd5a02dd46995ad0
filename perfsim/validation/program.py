"""What the programs of this room share: ``python -m perfsim.validation.<name>`` ends with an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from perfsim.errors import PerfsimError

__all__ = ["exit_code"]


def exit_code(program: Callable[[], object]) -> int:
    """Run ``program``; 0, or after a refusal, which is one line of the standard error, the code of its kind."""
    try:
        program()
    except PerfsimError as error:
        sys.stderr.write(f"perfsim: {' '.join(str(error).split())}\n")
        return error.exit_code
    return 0
