"""What an exit code alone says, for engines whose log says nothing."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from scoot_ray.search.trial import FailureKind

Phase: TypeAlias = Literal["start", "load"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How an engine ended, as far as its exit code shows."""

    kind: FailureKind
    what: str
    advice: str
    ambiguous: bool = True


_ALIVE: Mapping[Phase, Ending] = {
    "start": Ending(
        FailureKind.START_TIMEOUT, "not ready in time", "a longer engine.start_timeout_s, if it was on its way"
    ),
    "load": Ending(FailureKind.STALLED, "alive, but no request succeeded", "look at the log for what it waits for"),
}
TOLD = Ending(FailureKind.INTERNAL, "somebody told it to stop", "nothing to do: it is repeated", ambiguous=False)
"""An engine that ended in good order, since it was asked to."""

_BY_CODE: Mapping[int, Ending] = {
    -signal.SIGKILL: Ending(
        FailureKind.OUT_OF_MEMORY,
        "killed by signal 9, as the kernel does where memory runs out",
        "more memory for an evaluation, or fewer at a time on this machine; dmesg says whether it was that",
    ),
    -signal.SIGTERM: Ending(
        FailureKind.INTERNAL, "ended by a signal 15 that was not ours", "nothing to do: it is repeated", False
    ),
    -signal.SIGINT: Ending(FailureKind.INTERNAL, "interrupted (signal 2)", "nothing to do: it is repeated", False),
    -signal.SIGBUS: Ending(
        FailureKind.ENVIRONMENT,
        "ended by signal 7, as where /dev/shm is full or a mapped file became shorter",
        "a larger /dev/shm (docker --shm-size)",
        False,
    ),
    -signal.SIGILL: Ending(
        FailureKind.ENVIRONMENT,
        "ended by signal 4: an instruction that this CPU does not have",
        "an engine built for this machine's CPU",
        False,
    ),
    126: Ending(
        FailureKind.ENVIRONMENT, "the engine may not be executed", "give this user the right to execute it", False
    ),
    127: Ending(
        FailureKind.ENVIRONMENT,
        "the engine could not be executed",
        "set engine.python to a Python with the engine",
        False,
    ),
    2: Ending(
        FailureKind.REJECTED,
        "its command line was refused (exit code 2)",
        "look at the log for the argument",
        False,
    ),
}


def ending(code: int | None, phase: Phase) -> Ending:
    """Return what ``code`` says: None for an engine that still runs, -n for signal n, which shells call 128 + n."""
    if code is None:
        return _ALIVE[phase]
    if 128 < code <= 128 + signal.SIGRTMAX:
        code = 128 - code
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return _BY_CODE.get(code, Ending(FailureKind.CRASHED, f"ended {how}", "look at the log"))
