"""Run simulated studies with and without early endings, in virtual time, and print a table.

``python -m benchmarks.early --seeds 2 --observations 16``. A JSON line per study goes to ``--out``; every figure is
simulated. With ``--tuner random`` the same configurations are tried whatever comes of them, so that variants compare
evaluation by evaluation.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scoot_ray.hopeless import Rule
from scoot_ray.log import Log
from scoot_ray.optimizer import SearchOptimizer
from scoot_ray.problem import ending_rule, goodput_limits
from scoot_ray.resolve import Resolved, resolve
from scoot_ray.search import Bounded, Measured, Observation, Problem, hypervolume, recommend, reference
from scoot_ray.simulation import Simulation
from scoot_ray.study import Study, read_study
from scoot_ray.study.sections import ObjectiveSpec

STUDIES = Path(__file__).parents[2] / "studies" / "paper"
SCENARIOS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "chat, TTFT and TPOT": ("bot-7b-2a100", {"objectives": "interactive"}),
    "chat, TTFT and TPOT under SLOs": (
        "bot-7b-2a100",
        {"objectives": "interactive", "slos": ("ttft:p99<2s", "e2el:p99<30s")},
    ),
    "SQL, p95 E2EL": ("sql-7b-2a100", {"objectives": "tail_latency"}),
    "classification, throughput": (
        "cls-13b-2a100",
        {"objectives": (ObjectiveSpec(metric="request_throughput", direction="maximize"),)},
    ),
}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "to the end": {},
    "margin 10%": {"margin": 0.1},
    "margin 25%": {"margin": 0.25},
    "margin 25%, bounds alone": {"margin": 0.25, "watches_queues": False},
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one study came to.

    ``saved_s`` is what the ended evaluations would have taken beyond that, each run to its end under the same noise;
    ``wrong`` ones of them would have been recommended, and ``broken`` ones left a bound.
    """

    scenario: str
    variant: str
    seed: int
    held_s: float
    saved_s: float
    ended: int
    wrong: int
    broken: int
    best: tuple[tuple[float, ...], ...]
    default: tuple[float, ...] | None


def main() -> None:
    """Run what is asked for, print as it comes, and the table at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--observations", type=int, default=20)
    parser.add_argument("--tuner", default="scoot")
    parser.add_argument("--scenario", action="append", choices=tuple(SCENARIOS))
    parser.add_argument("--variant", action="append", choices=tuple(VARIANTS))
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    found = []
    for scenario in options.scenario or SCENARIOS:
        for seed in range(options.seeds):
            resolved = _resolved(scenario, options.tuner, seed, options.observations)
            for variant in options.variant or VARIANTS:
                began_s = time.monotonic()
                outcome = _run(resolved, scenario, variant)
                found.append(outcome)
                line = json.dumps({name: getattr(outcome, name) for name in Outcome.__slots__})
                print(line, f"# {time.monotonic() - began_s:.0f} s", flush=True)
                if options.out is not None:
                    with options.out.open("a") as file:
                        file.write(line + "\n")
    print(table(found))


def _resolved(scenario: str, tuner: str, seed: int, observations: int) -> Resolved:
    name, changes = SCENARIOS[scenario]
    path = STUDIES / f"{name}.yaml"
    study: Study = read_study(path)
    budget = study.budget.model_copy(update={"observations": observations, "end_hopeless": True})
    own = {"tuner": tuner, "seed": seed, "budget": budget, "parallelism": 1}
    return resolve(study.model_copy(update={**changes, **own}), path)


def _run(resolved: Resolved, scenario: str, variant: str) -> Outcome:
    problem, rule = resolved.problem, ending_rule(resolved.study, resolved.problem)
    assert rule is not None  # none of these searches for a rate
    rule = replace(rule, **VARIANTS[variant]) if VARIANTS[variant] else None
    log = _search(resolved, rule)
    ended = [seen for seen in log.searched if isinstance(seen.outcome, Bounded)]
    wholes = {seen.trial.id: _to_the_end(resolved, seen) for seen in ended}
    return Outcome(
        scenario=scenario,
        variant=variant,
        seed=resolved.study.seed,
        held_s=log.held_s,
        saved_s=sum(wholes[seen.trial.id].held_s - seen.held_s for seen in ended),
        ended=len(ended),
        wrong=sum(_would_have_won(problem, log, wholes[seen.trial.id]) for seen in ended),
        broken=sum(_breaks(seen, wholes[seen.trial.id], problem.max_error_rate) for seen in ended),
        best=tuple(_objectives(problem, seen) for seen in recommend(problem, log.searched)),
        default=reference(problem, log.searched),
    )


def _search(resolved: Resolved, rule: Rule | None) -> Log:
    """The search alone, one trial after another."""
    optimizer = SearchOptimizer(resolved)
    simulation = Simulation(resolved.study, resolved.trace.requests, goodput_limits(resolved.problem), (), rule)
    log = Log()
    while len(log.searched) < resolved.study.budget.observations and (trials := optimizer.suggest(log, 1)):
        log = log.with_trial(trials[0]).with_observation(simulation.evaluate(trials[0])[0])
    return log


def _to_the_end(resolved: Resolved, seen: Observation) -> Observation:
    """The same evaluation, under the same noise, run to its end."""
    simulation = Simulation(resolved.study, resolved.trace.requests, goodput_limits(resolved.problem))
    return simulation.evaluate(seen.trial)[0]


def _would_have_won(problem: Problem, log: Log, whole: Observation) -> bool:
    """Whether it would have been recommended, or on the front, of all that was measured."""
    others = [seen for seen in log.searched if seen.trial.id != whole.trial.id]
    return any(seen.trial.id == whole.trial.id for seen in recommend(problem, [*others, whole]))


def _breaks(seen: Observation, whole: Observation, max_error_rate: float) -> bool:
    """Whether a bound was left: it was promised for all continuations with few enough errors."""
    if not isinstance(seen.outcome, Bounded) or not isinstance(whole.outcome, Measured):
        return False
    metrics = whole.outcome.metrics
    if metrics.get("error_rate", 0.0) > max_error_rate:
        return False
    slack = 1e-6
    return any(
        name in metrics and not low * (1 - slack) <= metrics[name] <= high * (1 + slack)
        for name, (low, high) in seen.outcome.bounds.items()
    )


def _objectives(problem: Problem, seen: Observation) -> tuple[float, ...]:
    assert isinstance(seen.outcome, Measured)  # nothing else is recommended
    return tuple(seen.outcome.metrics[one.metric] for one in problem.objectives)


def reached(outcome: Outcome) -> float:
    """How good the best is, more being better: the best objective's improvement over the default, or hypervolume."""
    scenario = SCENARIOS[outcome.scenario][1]["objectives"]
    assert outcome.default is not None
    if scenario == "interactive":
        corner = np.array(outcome.default)
        return hypervolume(np.array(outcome.best), corner) / float(np.prod(corner))
    ratio = outcome.best[0][0] / outcome.default[0]
    return ratio if scenario != "tail_latency" else 1 / ratio


def table(outcomes: Sequence[Outcome]) -> str:
    """Per scenario and variant: time saved, endings, and what was reached against running to the end, as Markdown."""
    lines = [
        "| scenario (simulated) | variant | ended early | time saved | wrongly | bounds left | reached (each seed) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    whole = {(one.scenario, one.seed): one for one in outcomes if one.variant == "to the end"}
    for scenario, variant in dict.fromkeys((one.scenario, one.variant) for one in outcomes):
        rows = [
            one
            for one in outcomes
            if (one.scenario, one.variant) == (scenario, variant) and (scenario, one.seed) in whole
        ]
        if variant == "to the end" or not rows:
            continue
        saved_s, held_s, *counts = (
            sum(getattr(one, name) for one in rows) for name in ("saved_s", "held_s", "ended", "wrong", "broken")
        )
        gained = ", ".join(f"{reached(one) / reached(whole[scenario, one.seed]):.1%}" for one in rows)
        ended, wrong, broken = map(str, counts)
        share = f"{saved_s / (saved_s + held_s):.0%}"
        lines.append(f"| {scenario} | {variant} | {ended} | {share} | {wrong} | {broken} | {gained} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
