"""What the caller of a replay may say and hear while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scoot_ray.load.figures.goodput import Limit
from scoot_ray.load.figures.standing import Standing

TICK_S = 0.1
"""How often a stop, the engine's life and the drain's deadline are looked at."""

STOPPED = "stopped"
ENGINE_DIED = "engine_died"
HOPELESS = "hopeless"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay is. What the user cancelled is neither completed nor failed.

    ``ttft_ms`` and ``tpot_ms`` are medians over the last few successes, None without any.
    """

    planned: int
    sent: int
    completed: int
    failed: int
    elapsed_s: float
    ttft_ms: float | None = None
    tpot_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the caller may say and hear meanwhile. All are called in the replay's thread and must return at once.

    ``stop`` returning True, or ``engine_alive`` returning False, ends the replay within a tick. ``hopeless`` is told
    about once a second where the load stands, with ``goodput`` as the limits of a good request, and ends it by
    returning True.
    """

    stop: Callable[[], bool] | None = None
    engine_alive: Callable[[], bool] | None = None
    on_progress: Callable[[Progress], None] | None = None
    hopeless: Callable[[Standing], bool] | None = None
    goodput: tuple[Limit, ...] = ()

    def reason_to_end(self) -> str | None:
        """Say why the replay should end now, if it should."""
        if self.stop is not None and self.stop():
            return STOPPED
        if self.engine_alive is not None and not self.engine_alive():
            return ENGINE_DIED
        return None


NO_HOOKS = Hooks()
