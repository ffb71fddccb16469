"""Faults on request, to show what a tuner makes of them: ``--sim-fault kind[@seconds]``.

They are acted out from the first request on that comes ``seconds`` (0) after the server was ready:

===============  ==============================================================================
``crash``        the process ends at once, with a traceback in the log
``oom``          the engine dies for want of memory, as its version does
``hang``         the engine computes nothing more; the server stays healthy
``http-500``     every request is answered with status 500
``cut``          every stream is cut half-way
``stream-error`` every stream ends half-way with an error event
``garbage``      every answer is no HTTP
``slow-start``   no request is needed: the server is ready ``seconds`` later
===============  ==============================================================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from scoot_ray.simulator import messages
from scoot_ray.simulator.settings import Version

FaultKind: TypeAlias = Literal["crash", "oom", "hang", "http-500", "cut", "stream-error", "garbage", "slow-start"]


class BadFault(ValueError):  # noqa: N818 - says what is wrong
    """There is no such fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and when."""

    kind: FaultKind
    seconds: float = 0.0


def parse_fault(text: str) -> Fault:
    """Read ``kind`` or ``kind@seconds``.

    Raises:
        BadFault: one line with what is allowed.
    """
    name, _, after = text.partition("@")
    for kind in get_args(FaultKind):
        if name == kind:
            return Fault(kind, _seconds(text, after))
    raise BadFault(f"{text!r}: allowed are {', '.join(get_args(FaultKind))}, each with @SECONDS or without")


def last_words(version: Version, kind: FaultKind) -> messages.Lines:
    """What the log says of a fault that kills the engine."""
    if kind == "oom":
        name = "torch.cuda.OutOfMemoryError" if version == "0.4.2" else "torch.OutOfMemoryError"
        return messages.died(version, f"{name}: CUDA out of memory. Tried to allocate 1.50 GiB.")
    return messages.died(version, "RuntimeError: CUDA error: an illegal memory access was encountered")


def _seconds(text: str, after: str) -> float:
    try:
        seconds = float(after or 0)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise BadFault(f"{text!r}: {after!r} is no number of seconds; allowed is 0 or more")
    return seconds
