"""Exit code, log and the kernel's word -> why an engine failed, and which line proves it. Pure.

Engines wrap their errors several times and end with a line that says nothing ("Engine core initialization failed. See
root cause above."), so the cause is the first error of the log that a rule knows, never the last. What was raised
counts before what was only reported, and a cause before what merely followed from one. ``lines.py`` finds the errors,
``rules.py`` is the table that knows them, ``exits.py`` what is left where the log is silent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from scoot_ray.engine.diagnose.configurations import MEMORY
from scoot_ray.engine.diagnose.exits import TOLD, Ending, Phase, ending
from scoot_ray.engine.diagnose.lines import Statement, statements
from scoot_ray.engine.diagnose.rule import Rule
from scoot_ray.engine.diagnose.rules import PARAMETERS, RULES
from scoot_ray.engine.flags import canonical
from scoot_ray.search.trial import Config, FailureKind

__all__ = ["Diagnosis", "Phase", "diagnose"]

_FLAG = re.compile(r"--([a-z]+(?:[-_][a-z]+)*)")
_LONGEST = 400
_TOLD_TO_STOP = "API server: shutdown triggered"  # vLLM's, upon a signal; not where its engine died


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why an engine failed.

    ``evidence`` is the line that shows it and ``line_number`` where it stands in the log read (from 1; None where no
    line shows it); ``parameters`` are those of the configuration that are involved. ``cause`` names the rule that knew
    the line, "" where none did. ``ambiguous``: the machine may as well be to blame as the configuration.
    """

    kind: FailureKind
    evidence: str
    line_number: int | None = None
    parameters: tuple[str, ...] = ()
    advice: str = ""
    cause: str = ""
    ambiguous: bool = False


def diagnose(
    exit_code: int | None,
    log: str | Iterable[str],
    phase: Phase,
    config: Config | None = None,
    kernel: Sequence[str] = (),
) -> Diagnosis:
    """Return why an engine failed.

    ``exit_code`` is None for one that still runs: it never became ready (phase "start": START_TIMEOUT) or answered
    nothing (phase "load": STALLED), unless its log shows a cause. Negative codes are signals. ``log`` is its text, or
    its lines, which are read once and not kept. Without ``config`` the parameters are those that the line names.
    ``kernel`` are the kernel's own words on processes of this engine that it killed for want of memory.
    """
    reading = _read(log.split("\n") if isinstance(log, str) else log)
    known = reading.known
    if kernel and (known is None or known.rule.weak):
        return _by_kernel(kernel[0], config)
    if known is not None:
        return _by_rule(known, config)
    if exit_code == 0 and reading.root is None and reading.told is not None:
        return _by_ending(TOLD, exit_code, replace(reading, root=reading.told), config)
    return _by_ending(ending(exit_code, phase), exit_code, reading, config)


@dataclass(frozen=True, slots=True)
class _Known:
    """A statement that a rule knows."""

    statement: Statement
    rule: Rule

    @property
    def rank(self) -> tuple[bool, bool]:
        """What proves more comes first; among equals the line that stands first."""
        return self.rule.weak, not self.statement.raised


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a log has to say: the best line that a rule knows, the first unknown error raised, and the last line.

    And the line in which the engine says that somebody told it to stop.
    """

    known: _Known | None
    root: Statement | None
    last: Statement | None
    told: Statement | None


def _read(lines: Iterable[str]) -> _Reading:
    known: _Known | None = None
    root: Statement | None = None
    tail = _Tail(lines)
    for statement in statements(tail):
        rule = next((rule for rule in RULES if rule.matches(statement.said)), None)
        if rule is not None:
            found = _Known(statement, rule)
            known = found if known is None or found.rank < known.rank else known
        elif statement.raised and root is None:
            root = statement
    return _Reading(known, root, tail.last, tail.told)


class _Tail:
    """Lines on their way through; remembers the last one that is not blank, and who was told to stop."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._number = 0
        self.last: Statement | None = None
        self.told: Statement | None = None

    def __iter__(self) -> _Tail:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._number += 1
        if line.strip():
            self.last = Statement(self._number, line.strip(), raised=False)
            if self.told is None and _TOLD_TO_STOP in line:
                self.told = self.last
        return line


def _by_kernel(words: str, config: Config | None) -> Diagnosis:
    said = Statement(0, words[:_LONGEST], raised=True)
    advice = "more memory for an evaluation, or fewer at a time on this machine"
    involved = _involved(said, MEMORY, config)
    return Diagnosis(FailureKind.OUT_OF_MEMORY, said.text, None, involved, advice, "killed by the kernel")


def _by_rule(known: _Known, config: Config | None) -> Diagnosis:
    statement, rule = known.statement, known.rule
    # Flags in a line about the machine are the container's, such as --shm-size.
    engines = rule.kind.of_configuration or config is not None
    return Diagnosis(
        rule.kind,
        statement.text[:_LONGEST],
        statement.number,
        _involved(statement, rule.parameters, config) if engines else (),
        rule.advice,
        rule.name,
        rule.ambiguous,
    )


def _by_ending(end: Ending, exit_code: int | None, reading: _Reading, config: Config | None) -> Diagnosis:
    """The exit code decides; the log's first error, or what an engine wrote last before it stood still, illustrates."""
    shown = reading.root or (reading.last if exit_code is None else None)
    if shown is None:
        return Diagnosis(end.kind, end.what, advice=end.advice, ambiguous=end.ambiguous)
    text = shown.text[:_LONGEST]
    evidence = f"{end.what}: {text}" if exit_code is None else text
    involved = _involved(shown, (), config)
    return Diagnosis(end.kind, evidence, shown.number, involved, end.advice, ambiguous=end.ambiguous)


def _involved(statement: Statement, possible: Sequence[str], config: Config | None) -> tuple[str, ...]:
    """Return the parameters that a line names or its cause may involve: the configuration's, in its own spelling.

    Without one: the flags and known parameters in the line, or else what its cause may involve.
    """
    text = f"{statement.about} {statement.text}"
    if config is not None:
        return tuple(name for name in config if canonical(name) in possible or _names(text, canonical(name)))
    flags = (canonical(flag) for flag in _FLAG.findall(text))
    named = dict.fromkeys((*flags, *(name for name in PARAMETERS if _names(text, name))))
    return tuple(named) or tuple(possible)


def _names(text: str, parameter: str) -> bool:
    """Whether a line names a parameter, whatever stands between its words."""
    pattern = r"(?<![\w-])(?:--)?" + parameter.replace("_", "[-_ ]") + r"(?![\w-])"
    return re.search(pattern, text, re.IGNORECASE) is not None
