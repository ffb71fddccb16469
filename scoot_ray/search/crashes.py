"""Hidden constraints in words: the conditions under which configurations failed, with honest counts.

A rule is one or two conditions. Many are looked at, so the best of them may be luck: a rule is told only where the
best of as many, with the outcomes dealt out anew at random, is rarely as good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from scoot_ray.search.feasibility import feasible
from scoot_ray.search.parameters import Boolean, Choice, Parameter
from scoot_ray.search.space import FloatArray, SearchSpace
from scoot_ray.search.trial import Config, Failed, Observation, Value

Mask = npt.NDArray[np.bool_]

_FEWEST_FAILURES = 3  # that a rule must cover
_PRECISION = 0.6  # share of those covered that must have failed
_LUCK = 0.05  # how often chance may do as well
_SHUFFLES = 200
_MOST_RULES = 4
_MOST_VALUES = 32  # of a parameter, evenly among those seen, that conditions are made of
_SIMPLER = 0.95  # of a pair's score is enough for one condition alone


@dataclass(frozen=True, slots=True)
class Condition:
    """One parameter compared with a value."""

    parameter: str
    operator: Literal["=", "<=", ">="]
    value: Value

    def holds(self, config: Config) -> bool:
        """Whether it is true of a configuration."""
        value = config[self.parameter]
        if self.operator == "=":
            return value == self.value
        assert not isinstance(value, str)  # text has no order, so no such condition is made of it
        assert not isinstance(self.value, str)
        return value <= self.value if self.operator == "<=" else value >= self.value

    def __str__(self) -> str:
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"{self.parameter} {self.operator} {value}"


@dataclass(frozen=True, slots=True)
class Rule:
    """Conditions under which ``failed`` of ``covered`` configurations failed; elsewhere it was ``others``.

    ``kinds`` counts the failures by their kind; ``luck`` is how often chance finds a rule as good.
    """

    conditions: tuple[Condition, ...]
    failed: int
    covered: int
    others: tuple[int, int]
    kinds: Mapping[str, int]
    luck: float

    def __str__(self) -> str:
        where = " and ".join(str(condition) for condition in self.conditions)
        how = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in self.kinds.items())
        elsewhere = f"elsewhere {self.others[0]} of {self.others[1]}"
        return f"failed {self.failed} of {self.covered} times where {where} ({how}); {elsewhere}"


def crash_rules(space: SearchSpace, history: Sequence[Observation], seed: int) -> tuple[Rule, ...]:
    """The conditions that best tell what failed, one after another, each on what those before it leave unexplained."""
    labelled = [(o, label) for o in history if (label := feasible(o)) is not None]
    observations = [o for o, _ in labelled]
    failed = np.array([not label for _, label in labelled], dtype=bool)
    if np.sum(failed) < _FEWEST_FAILURES or np.all(failed):
        return ()
    configs = [o.trial.config for o in observations]
    conditions = [c for p in space.parameters for c in _conditions(p, configs)]
    covers = np.array([[c.holds(config) for config in configs] for c in conditions], dtype=bool)
    rng = np.random.default_rng(seed)
    rules: list[Rule] = []
    left = np.ones(len(configs), dtype=bool)
    while len(rules) < _MOST_RULES:
        found = _best(conditions, covers[:, left], failed[left], rng)
        if found is None:
            break
        chosen, luck = found
        mask = np.all([c for i, c in enumerate(covers) if i in chosen], axis=0)
        rules.append(_rule([conditions[i] for i in chosen], mask, failed, observations, luck))
        left &= ~mask
    return tuple(rules)


def _conditions(parameter: Parameter, configs: Sequence[Config]) -> list[Condition]:
    """What may be said of a parameter with the values seen: equal to one, or at most, or at least."""
    seen = dict.fromkeys(config[parameter.name] for config in configs)
    if len(seen) < 2:
        return []
    if isinstance(parameter, Boolean) or (isinstance(parameter, Choice) and not parameter.ordered):
        return [Condition(parameter.name, "=", value) for value in seen]
    ordered = sorted(seen, key=float)
    most = min(len(ordered), _MOST_VALUES)
    values = [ordered[at * (len(ordered) - 1) // (most - 1)] for at in range(most)]
    up = [Condition(parameter.name, ">=", value) for value in values[1:-1]]
    down = [Condition(parameter.name, "<=", value) for value in values[1:-1]]
    return [*up, *down, *(Condition(parameter.name, "=", value) for value in (values[0], values[-1]))]


def _best(
    conditions: Sequence[Condition], covers: Mask, failed: Mask, rng: np.random.Generator
) -> tuple[tuple[int, ...], float] | None:
    """The best rule's conditions and how often chance does as well; None where there is none or it may be luck."""
    if np.sum(failed) < _FEWEST_FAILURES or np.all(failed):
        return None
    scores = _scores(covers, failed, conditions)
    top = float(np.max(scores, initial=-np.inf))
    if not np.isfinite(top):
        return None
    shuffled = [np.max(_scores(covers, rng.permutation(failed), conditions)) for _ in range(_SHUFFLES)]
    luck = (1 + int(np.sum(np.array(shuffled) >= top))) / (1 + _SHUFFLES)
    if luck > _LUCK:
        return None
    alone = np.diag(scores)
    if np.max(alone) >= _SIMPLER * top:
        return (int(np.argmax(alone)),), luck
    first, second = np.unravel_index(int(np.argmax(scores)), scores.shape)
    return tuple(sorted((int(first), int(second)))), luck


def _scores(covers: Mask, failed: Mask, conditions: Sequence[Condition]) -> FloatArray:
    """How far the failures under each pair of conditions (k, k) exceed those expected, in standard deviations.

    The diagonal holds single conditions; what may not be told is -inf. Hypergeometric mean and variance.
    """
    table = covers.astype(np.float64)
    size, share = len(failed), float(np.mean(failed))
    covered, hits = table @ table.T, (table * failed) @ table.T
    variance = covered * share * (1 - share) * (size - covered) / max(size - 1, 1)
    told = (hits >= _FEWEST_FAILURES) & (hits >= _PRECISION * covered) & (variance > 0)
    names = np.array([condition.parameter for condition in conditions])
    told &= (names[:, None] != names[None, :]) | np.eye(len(names), dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):  # what divides by zero is not told
        return np.where(told, (hits - covered * share) / np.sqrt(variance), -np.inf)


def _rule(
    conditions: Sequence[Condition], mask: Mask, failed: Mask, observations: Sequence[Observation], luck: float
) -> Rule:
    inside = [o.outcome for o, covered in zip(observations, mask, strict=True) if covered]
    kinds = Counter(outcome.kind.value for outcome in inside if isinstance(outcome, Failed))
    others = (int(np.sum(failed & ~mask)), int(np.sum(~mask)))
    return Rule(tuple(conditions), int(np.sum(failed & mask)), int(np.sum(mask)), others, dict(kinds), luck)
