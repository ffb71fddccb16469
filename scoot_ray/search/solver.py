"""Where acquisitions are largest: NSGA-II over the snapped space (paper), and a local search from good points.

u       (n, d)  snapped points of the unit cube
scores  (n, k)  k acquisitions, larger is better
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from scoot_ray.search.objectives import pareto
from scoot_ray.search.sampling import unseen
from scoot_ray.search.space import FloatArray, Key, SearchSpace
from scoot_ray.search.trial import Config

Score: TypeAlias = Callable[[FloatArray], FloatArray]

_SOBOL = 512
_NEIGHBOURS = 24  # of each centre
_CENTRES = 8
_KEPT = 192  # of the best found
_ROUNDS = 3
_NEARNESS = (0.05, 0.3)  # steps along an axis: the standard deviation is drawn between these
_FLIPS = 8  # values of each parameter tried in the default's place


@dataclass(frozen=True, slots=True)
class Field:
    """What a solver may choose from, and how it is judged.

    ``score`` gives (n, k) acquisitions and ``pof`` (n,) probabilities of feasibility, of which ``least`` is asked.
    """

    space: SearchSpace
    seen: Collection[Key]
    score: Score
    pof: Callable[[FloatArray], FloatArray]
    least: float


def nsga2(field: Field, individuals: int, generations: int, seed: int) -> list[Config]:
    """The last generation's allowed, unseen configurations that are best by all acquisitions (paper, section IV-E).

    With one acquisition they are ordered by it, best first; with several they are the Pareto set, in no order that
    means anything.
    """
    from pymoo.algorithms.moo.nsga2 import NSGA2  # noqa: PLC0415  # slow to import; only the paper's tuner needs it
    from pymoo.core.problem import Problem as Formulation  # noqa: PLC0415  # as above
    from pymoo.optimize import minimize  # noqa: PLC0415  # as above

    space = field.space
    start = list(islice(unseen(space, field.seen, seed), individuals))
    if len(start) < individuals and space.listable:
        return _best(field, start)  # they are all that is left
    if not start:
        return []

    class Acquisitions(Formulation):  # type: ignore[misc]  # pymoo ships no types
        """Minimise the negated acquisitions; known and hidden constraints are violated above zero."""

        def _evaluate(self, points: FloatArray, out: dict[str, Any], *_: object, **__: object) -> None:
            configs = [space.decode(row) for row in points]
            u = space.encode_all(configs)
            out["F"] = -field.score(u)
            forbidden = [float(len(space.violated(c)) + (space.key(c) in field.seen)) for c in configs]
            out["G"] = np.column_stack([forbidden, field.least - field.pof(u)])

    formulation = Acquisitions(
        n_var=space.dimension, n_obj=field.score(space.encode_all(start[:1])).shape[1], n_ieq_constr=2, xl=0.0, xu=1.0
    )
    algorithm = NSGA2(pop_size=individuals, sampling=space.encode_all(start))
    population = minimize(formulation, algorithm, ("n_gen", generations), seed=seed % 2**32).pop
    return _best(field, [space.decode(u) for u in population.get("X")])


def _best(field: Field, population: Iterable[Config]) -> list[Config]:
    """The population's eligible members: ranked by one acquisition, or the Pareto set of several."""
    configs = _allowed(field, population)
    if not configs:
        return []
    u = field.space.encode_all(configs)
    chosen = np.flatnonzero(field.pof(u) >= field.least)
    scores = field.score(u[chosen])
    kept = np.argsort(-scores[:, 0], kind="stable").tolist() if scores.shape[1] == 1 else pareto(-scores)
    return [configs[chosen[i]] for i in kept]


def _allowed(field: Field, configs: Iterable[Config]) -> list[Config]:
    """The distinct ones that keep the known constraints and have not been seen."""
    distinct = {field.space.key(c): c for c in configs}
    return [c for key, c in distinct.items() if key not in field.seen and field.space.allows(c)]


def local_search(field: Field, centres: Sequence[Config], seed: int) -> Config | None:
    """The first of ``local_best``; None if there is none."""
    return next(iter(local_best(field, centres, seed)), None)


def local_best(field: Field, centres: Sequence[Config], seed: int) -> list[Config]:
    """The allowed, unseen configurations found with the largest first acquisition, best first.

    All of a small space; otherwise Sobol points, the default with one value changed and neighbours of the
    ``centres``, then in rounds the neighbours of the best so far. The POF asked for comes first: where nothing
    reaches it, what comes nearest wins.
    """
    space = field.space
    if space.listable:
        return ranked(field, space.configurations())
    rng = np.random.default_rng(seed)
    start = [*islice(unseen(space, field.seen, seed), _SOBOL), *_flips(space), *_neighbours(space, centres, rng)]
    best = ranked(field, start)
    for _ in range(_ROUNDS):
        best = ranked(field, [*best[:_KEPT], *_neighbours(space, best[:_CENTRES], rng)])
    return best[:_KEPT]


def ranked(field: Field, candidates: Iterable[Config]) -> list[Config]:
    """The allowed, unseen ones, best first."""
    configs = _allowed(field, candidates)
    if not configs:
        return []
    u = field.space.encode_all(configs)
    reach = np.minimum(field.pof(u), field.least)
    return [configs[i] for i in np.lexsort((-field.score(u)[:, 0], -reach))]


def _flips(space: SearchSpace) -> list[Config]:
    """The default with one parameter at a time set to other values."""
    if space.default is None:
        return []
    places = (np.arange(_FLIPS) + 0.5) / _FLIPS
    return [{**space.default, p.name: p.decode(float(place))} for p in space.parameters for place in places]


def _neighbours(space: SearchSpace, centres: Sequence[Config], rng: np.random.Generator) -> list[Config]:
    """Configurations that differ from a centre in one to three parameters: a step along the axis, or any value."""
    found: list[Config] = []
    for centre in centres:
        for _ in range(_NEIGHBOURS):
            u = space.encode(centre)
            changed = rng.choice(space.dimension, size=min(int(rng.integers(1, 4)), space.dimension), replace=False)
            steps = rng.normal(0.0, rng.uniform(*_NEARNESS), size=len(changed))
            anywhere = rng.random(len(changed))
            u[changed] = np.where(rng.random(len(changed)) < 0.5, u[changed] + steps, anywhere)
            moved = space.decode(u)
            found.append({n: moved[n] if i in changed else centre[n] for i, n in enumerate(space.names)})
    return found
