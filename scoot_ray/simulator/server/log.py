"""The server's log: its standard output, which the guardian turns into ``engine.log``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from scoot_ray.simulator import messages


def write_log(lines: Sequence[str]) -> None:
    """Write lines, at once."""
    sys.stdout.write(messages.text(lines))
    sys.stdout.flush()
