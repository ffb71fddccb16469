"""Tuners by name: the pure ``suggest``, and an ask-and-tell holder around it for other people's loops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TypeAlias

from scoot_ray.search.errors import TunerError
from scoot_ray.search.objectives import SLO, Objective
from scoot_ray.search.problem import Problem, Suggestion, settled
from scoot_ray.search.recommendation import recommend
from scoot_ray.search.situation import Situation
from scoot_ray.search.space import SearchSpace
from scoot_ray.search.trial import (
    Config,
    Failed,
    FailureKind,
    Measured,
    Metrics,
    Observation,
    Origin,
    Trial,
    Value,
)

TUNERS: tuple[str, ...] = ("scoot", "scoot-paper", "random", "genetic", "hebo", "tpe", "gp", "botorch")
_OF_OPTUNA = ("tpe", "gp")

Propose: TypeAlias = Callable[[Situation, int], tuple[Suggestion, ...]]
"""Up to so many suggestions beyond the default, the baseline and other studies' winners."""


def suggest(  # one call with all that it depends on
    tuner: str,
    problem: Problem,
    history: Sequence[Observation],
    pending: Sequence[Config],
    n: int,
    seed: int,
    submitted: int,
) -> tuple[Suggestion, ...]:
    """Up to n configurations to evaluate next; fewer only where all allowed ones were tried.

    ``history`` are the search's observations in the order they finished, ``pending`` the configurations in flight,
    ``submitted`` how many search trials there were so far (finished, failed by the configuration, or in flight).
    The default comes first, the baseline second and other studies' winners next, until they are among them. A function
    of its arguments alone: equal ones give equal suggestions, and the process's random state is neither read nor moved.

    Raises:
        TunerError: no such tuner, or its package is not installed.
    """
    require_tuner(tuner)
    return suggest_by(_propose(tuner), problem, history, pending, n, seed, submitted)


def suggest_by(
    propose: Propose,
    problem: Problem,
    history: Sequence[Observation],
    pending: Sequence[Config],
    n: int,
    seed: int,
    submitted: int,
) -> tuple[Suggestion, ...]:
    """``suggest`` for a way to propose that has no name of its own."""
    counted = settled(history)
    seen = {problem.space.key(c) for c in (*(o.trial.config for o in counted), *pending)}
    first = (*problem.leads(), *((config, Origin.WARM_START) for config in problem.winners))
    leads = [Suggestion(c, origin) for c, origin in first if problem.space.key(c) not in seen][: max(n, 0)]
    wanted = n - len(leads)
    if wanted <= 0:
        return tuple(leads)
    in_flight = (*pending, *(lead.config for lead in leads))
    situation = Situation(problem, counted, in_flight, seed, submitted + len(leads))
    return (*leads, *propose(situation, wanted))


def _propose(tuner: str) -> Propose:
    """What suggests beyond the default and the baseline."""
    # Torch, BoTorch, Optuna, pymoo and scikit-learn take seconds to import: only what is used is, and only here.
    if tuner == "random":
        from scoot_ray.search.baselines import sobol  # noqa: PLC0415  # see above

        return sobol.propose
    if tuner == "genetic":
        from scoot_ray.search.baselines import genetic  # noqa: PLC0415  # see above

        return genetic.propose
    if tuner == "hebo":
        from scoot_ray.search.baselines import hebo  # noqa: PLC0415  # see above

        return hebo.propose
    if tuner in _OF_OPTUNA:
        from scoot_ray.search.baselines import optuna_samplers  # noqa: PLC0415  # see above

        return optuna_samplers.tpe if tuner == "tpe" else optuna_samplers.gp
    if tuner == "botorch":
        from scoot_ray.search.baselines import qlognei  # noqa: PLC0415  # see above

        return qlognei.propose
    from scoot_ray.search import scoot  # noqa: PLC0415  # see above

    return partial(scoot.propose, scoot.SCOOT if tuner == "scoot" else scoot.SCOOT_PAPER)


def require_tuner(tuner: str) -> None:
    """Refuse a name that is no tuner, or one whose package is not installed.

    Raises:
        TunerError: one line saying what is allowed or how to install it.
    """
    if tuner not in TUNERS:
        raise TunerError(f"tuner {tuner!r}; allowed: {', '.join(TUNERS)}")
    if tuner in _OF_OPTUNA and find_spec("optuna") is None:
        raise TunerError(f"tuner {tuner!r} needs Optuna, which is not installed: pip install 'scoot-ray[optuna]'")


def make_tuner(
    name: str,
    space: SearchSpace,
    objectives: Sequence[Objective],
    slos: Sequence[SLO | str] = (),
    *,
    seed: int = 0,
    baseline: Config | None = None,
) -> Tuner:
    """A tuner to ask and tell; SLOs may be texts such as "ttft:p99<500ms".

    Raises:
        SearchError: an unknown tuner, or a problem that is not one; the subclass says which.
    """
    parsed = tuple(SLO.parse(slo) if isinstance(slo, str) else slo for slo in slos)
    return Tuner(name, Problem(space, objectives, parsed, baseline), seed)


class Tuner:
    """Holds what was asked and told, and asks ``suggest``."""

    def __init__(self, name: str, problem: Problem, seed: int) -> None:
        require_tuner(name)
        self._name = name
        self._problem = problem
        self._seed = seed
        self._history: list[Observation] = []
        self._pending: list[Suggestion] = []

    def ask(self, n: int = 1) -> list[dict[str, Value]]:
        """Up to n configurations to evaluate, remembered as pending until told; fewer where the space is exhausted."""
        pending = [s.config for s in self._pending]
        submitted = len(settled(self._history)) + len(pending)
        found = suggest(self._name, self._problem, self._history, pending, n, self._seed, submitted)
        self._pending.extend(found)
        return [dict(s.config) for s in found]

    def tell(self, config: Config, metrics: Metrics | None, kind: FailureKind = FailureKind.CRASHED) -> None:
        """What came of a configuration, asked for or not: its metrics, or None where there are none and why (``kind``).

        Raises:
            SpaceError: the configuration is outside the space.
        """
        known = self._problem.space.canonical(config)
        outcome = Failed(kind, "") if metrics is None else Measured(dict(metrics))
        trial = Trial(len(self._history), known, self._settle(known))
        self._history.append(Observation(trial, outcome))

    def _settle(self, config: Mapping[str, Value]) -> Origin:
        """Take a configuration off the pending ones; one never asked for counts as part of the initial sample."""
        for index, suggestion in enumerate(self._pending):
            if suggestion.config == config:
                return self._pending.pop(index).origin
        return Origin.DEFAULT if config == self._problem.space.default else Origin.INITIAL

    def recommend(self) -> list[dict[str, Value]]:
        """The configuration to use, or the Pareto front, best first, among those measured; empty while none is."""
        return [dict(o.trial.config) for o in recommend(self._problem, self._history)]
