"""The corpus of failures in ``tests/data/engine_logs``: logs, and what should be made of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scoot_ray.engine.diagnose import Diagnosis, Phase, diagnose
from scoot_ray.search.trial import FailureKind

FOLDER = Path(__file__).parents[2] / "tests" / "data" / "engine_logs"
NOTHING = "nothing"
_PROVOKED = {
    "engine": "vllm",
    "version": "0.32.0",
    "source": "benchmarks.diagnosis.provoke",
    "phase": "start",
    "group": "provoked",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A log and the expected verdict; ``kind`` None where the log proves nothing, ``line`` None where any will do.

    ``group``: "held_back" was not used to write the rules, "afterwards" collected when they stood. ``names`` are the
    parameters that must be among those found.
    """

    name: str
    engine: str
    version: str
    source: str
    phase: Phase
    exit_code: int | None
    kind: FailureKind | None
    log: str
    ambiguous: bool = False
    line: int | None = None
    names: tuple[str, ...] = ()
    group: str = "quoted"
    kernel: tuple[str, ...] = ()

    def diagnose(self) -> Diagnosis:
        """What is made of it."""
        return diagnose(self.exit_code, self.log, self.phase, kernel=self.kernel)


def cases() -> tuple[Case, ...]:
    """All cases: those quoted, then those provoked on a real engine, in their files' order."""
    quoted = _entries("quoted.yaml")
    provoked = ({**_PROVOKED, **entry, "log": _provoked(entry["name"])} for entry in _entries("provoked.yaml"))
    return tuple(_case(entry) for entries in (quoted, provoked) for entry in entries)


def _provoked(name: str) -> str:
    return (FOLDER / "provoked" / f"{name}.log").read_text()


def _entries(name: str) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load((FOLDER / name).read_text())


def _case(entry: dict[str, Any]) -> Case:
    kind = None if entry["kind"] is None else FailureKind(entry["kind"])
    lists = {key: tuple(entry.get(key, ())) for key in ("names", "kernel")}
    return Case(**{**entry, "kind": kind, **lists})


def expected(case: Case) -> str:
    """The kind that should be found."""
    return NOTHING if case.kind is None else case.kind.value


def answer(case: Case) -> str:
    """The kind found; NOTHING where the log was to prove nothing and no line of it was taken for a proof."""
    found = case.diagnose()
    return NOTHING if case.kind is None and not found.cause else found.kind.value


def is_ours(kind: str) -> bool:
    """Whether a verdict spares the configuration."""
    return kind == NOTHING or not FailureKind(kind).of_configuration
