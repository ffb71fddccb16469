"""Why an engine of ours has failed: its exit code, the whole of its log, and what the kernel did to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from scoot_ray.engine.diagnose import Diagnosis, Phase, diagnose
from scoot_ray.engine.diagnose.lines import read_lines
from scoot_ray.engine.kernel import Mark, counted_since, kills_since
from scoot_ray.engine.process import EngineProcess
from scoot_ray.search.trial import Config


def post_mortem(process: EngineProcess, phase: Phase, config: Config | None = None) -> Diagnosis:
    """Return why ``process`` failed, or what it waits for where it still runs; ``config`` lets it name parameters."""
    code, log = process.poll(), process.spec.log_path
    kernel = () if code is None else words_of_the_kernel(process.marked, {process.pid}, log)
    return diagnose(code, log_lines(log), phase, config, kernel)


def words_of_the_kernel(since: Mark, pids: set[int], log: Path) -> tuple[str, ...]:
    """What the kernel says of kills that concern this engine: its own processes, which its log names by their ids.

    Where its log cannot be read the counter of our cgroup stands for it.
    """
    kills = kills_since(since)
    if kills:
        named = pids | _pids_in(log)
        return tuple(kill.text for kill in kills if kill.pid in named)
    counted = counted_since(since)
    return () if counted is None else (counted,)


def log_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a log; none where there is no file."""
    try:
        with path.open("rb") as stream:
            yield from read_lines(stream)
    except OSError:
        return


def _pids_in(log: Path) -> set[int]:
    return {int(pid) for line in log_lines(log) for pid in re.findall(r"\bpid[ =](\d+)", line)}
