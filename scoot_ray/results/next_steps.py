"""What can be done with a run that has ended, as commands with a word on each."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any


def next_steps(run: str, result: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The commands for a run's folder; none where there is no configuration to use."""
    folder, steps = shlex.quote(run), []
    if result["recommended"] is None:
        return ()
    if len(result["front"]) > 1:
        steps.append((f"scoot-ray choose {folder} --knee", "another point of the front; or by --slo, --weights"))
    steps.append((f"scoot-ray export {folder} -o deploy", "files to deploy it, headed by what it was proved for"))
    if (trial := _trial_of(result)) is not None:
        steps.append((f"scoot-ray reproduce {folder} --trial {trial}", "measure it once more, as it was"))
    steps.append((f"scoot-ray verify {folder} --base-url URL", "whether the promise holds where it serves"))
    return tuple(steps)


def _trial_of(result: Mapping[str, Any]) -> int | None:
    """The search's trial of the recommended configuration."""
    wanted = result["recommended"]["config"]
    trials = (int(one["trial"]) for one in result["observations"] if one["config"] == wanted and "metrics" in one)
    return next(trials, None)
