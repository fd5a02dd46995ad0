"""Where the console script starts: everything else is loaded where Ctrl-C is one line already."""

from __future__ import annotations

import sys

__all__ = ["main"]

INTERRUPTED = 130
"""Exit code: what a shell reports for SIGINT."""


def main() -> None:
    """Run the command line; an interruption while it loads is told like any other."""
    try:
        from perfsim.cli.main import main as run

        run()
    except KeyboardInterrupt:
        print("perfsim: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
