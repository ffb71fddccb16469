"""What all tuners promise is in test_suggest.py; here is what the baselines do with it."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import numpy as np
import pytest

from scoot_ray.search import (
    SLO,
    Boolean,
    Bounded,
    Choice,
    Config,
    Float,
    Integer,
    Metrics,
    Observation,
    Origin,
    Problem,
    SearchSpace,
    Trial,
    TunerError,
    make_tuner,
    preset,
    recommend,
    suggest,
)
from scoot_ray.search.baselines import hebo
from scoot_ray.search.baselines.penalty import judged
from tests.unit.search.problems import ENGINE, PLANE, bowl, observe, random_history, study

MODELLED = ("genetic", "hebo", "tpe", "gp", "botorch")
TAIL = Problem(ENGINE, preset("tail_latency"))
INTERACTIVE = Problem(ENGINE, preset("interactive"))
ONES = Problem(SearchSpace([Boolean(f"b{i}") for i in range(24)]), preset("tail_latency"))


@pytest.fixture(autouse=True)
def _small_populations(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's 100 individuals for 100 generations show nothing more here."""
    monkeypatch.setattr(hebo, "_INDIVIDUALS", 40)
    monkeypatch.setattr(hebo, "_GENERATIONS", 20)


def zeros(config: Config) -> Metrics:
    """Best where all are true."""
    return {"p95_e2el_ms": 1.0 + sum(not value for value in config.values())}


def regret(tuner: str, seed: int, budget: int) -> float:
    problem = Problem(PLANE, preset("tail_latency"))
    best = recommend(problem, study(tuner, problem, bowl, budget, seed=seed))[0].trial.config
    return (bowl(best) or {})["p95_e2el_ms"] - 1000.0


@pytest.mark.parametrize("tuner", MODELLED)
def test_the_first_is_a_sample_and_then_the_model_suggests(tuner: str) -> None:
    history = random_history(ENGINE, ["p95_e2el_ms"], 12, 0.2, seed=1)
    assert suggest(tuner, TAIL, history[:1], (), 2, 0, 1)[-1].origin == Origin.INITIAL
    default = observe(12, ENGINE.default or {}, Origin.DEFAULT, {"p95_e2el_ms": 20.0})
    assert [s.origin for s in suggest(tuner, TAIL, [*history, default], (), 2, 0, 13)] == [Origin.MODEL] * 2


@pytest.mark.parametrize(("tuner", "budget"), [("hebo", 11), ("botorch", 9), ("gp", 14)])
def test_gaussian_processes_beat_random_beside_a_crash_region(tuner: str, budget: int) -> None:
    ours, random = ([regret(name, seed, budget) for seed in range(1, 3)] for name in (tuner, "random"))
    assert np.mean(ours) < 0.6 * np.mean(random)


@pytest.mark.parametrize(("tuner", "budget"), [("genetic", 90), ("tpe", 35)])
def test_the_others_beat_random_on_counting_ones(tuner: str, budget: int) -> None:
    def best(name: str, seed: int) -> float:
        history = study(name, ONES, zeros, budget, seed=seed)
        return min(zeros(o.trial.config)["p95_e2el_ms"] for o in history)

    ours, random = ([best(name, seed) for seed in range(3)] for name in (tuner, "random"))
    assert np.mean(ours) < np.mean(random) - 1


@pytest.mark.parametrize("tuner", MODELLED)
@pytest.mark.parametrize("limit", [1e-9, 30.0, 1e9])
def test_slos_that_none_some_or_all_keep_are_no_obstacle(tuner: str, limit: float) -> None:
    slos = [SLO("p99_ttft_ms", "<", limit), SLO("request_throughput", ">", 1.0), SLO("p99_itl_ms", "<", 1.0)]
    problem = Problem(ENGINE, preset("interactive"), slos)
    metrics = ["mean_ttft_ms", "mean_tpot_ms", "p99_ttft_ms", "request_throughput"]
    history = random_history(ENGINE, metrics, 13, 0.2, seed=3)
    found = suggest(tuner, problem, history, [history[0].trial.config], 2, 0, 14)
    assert len({ENGINE.key(s.config) for s in found}) == 2
    assert all(ENGINE.allows(s.config) for s in found[1:])  # the default leads


@pytest.mark.parametrize("tuner", ["gp", "botorch"])
def test_an_slo_that_rules_out_the_best_is_learnt(tuner: str) -> None:
    line = SearchSpace([Integer("n", 0, 100)], default={"n": 0})
    problem = Problem(line, preset("throughput"), [SLO("p99_ttft_ms", "<", 40.0)])

    def answer(config: Config) -> Metrics:
        return {"request_throughput": float(config["n"]) + 1, "p99_ttft_ms": float(config["n"]) + 1}

    history = study(tuner, problem, answer, 15, seed=0)
    assert max(int(o.trial.config["n"]) for o in history[-4:]) < 60
    assert int(recommend(problem, history)[0].trial.config["n"]) >= 36


@pytest.mark.parametrize("tuner", MODELLED)
def test_odd_histories_are_no_obstacle(tuner: str) -> None:
    """Repeats, evaluations ended early, too many errors, missing metrics, a value between the grid's."""
    space = SearchSpace(
        [
            Integer("a", 1, 100, log=True, step=3),
            Integer("b", 10, 50, step=20),
            Integer("c", 7, 7),
            Float("d", 0.1, 10.0, log=True),
            Choice("e", (1, 2, 8)),
            Choice("f", ("x", 2, True)),
        ],
        default={"a": 2, "b": 11, "c": 7, "d": 0.12345, "e": 2, "f": True},
    )
    problem = Problem(space, preset("tail_latency"))
    history = random_history(space, ["p95_e2el_ms"], 9, 0.2, seed=0)
    config = space.decode(np.full(6, 0.9))
    history += [
        observe(20, space.default or {}, Origin.DEFAULT, {"p95_e2el_ms": 3.0}),
        observe(21, space.default or {}, Origin.MODEL, {"p95_e2el_ms": 4.0}),
        observe(22, config, Origin.MODEL, {"p95_e2el_ms": 1.0, "error_rate": 0.5}),
        observe(23, config, Origin.MODEL, {"mean_ttft_ms": 1.0}),
        Observation(Trial(24, config, Origin.MODEL), Bounded({"p95_e2el_ms": (90.0, float("inf"))}, "cannot win")),
        Observation(Trial(25, config, Origin.MODEL), Bounded({}, "cannot win")),
    ]
    found = suggest(tuner, problem, history, [space.decode(np.full(6, 0.1))], 2, 0, 16)
    assert [s.origin for s in found] == [Origin.MODEL] * 2
    for suggestion in found:
        space.validate(suggestion.config)


@pytest.mark.parametrize("tuner", MODELLED)
def test_ask_and_tell_out_of_order(tuner: str) -> None:
    one, two = (make_tuner(tuner, ENGINE, preset("tail_latency"), seed=3) for _ in range(2))
    for each in (one, two):
        configs = each.ask(12)
        for index in (3, 0, 11, 7, 5, 1, 9, 2, 10, 4):
            each.tell(configs[index], None if index == 7 else {"p95_e2el_ms": 100.0 + index})
    again = one.ask(3)
    assert again == two.ask(3)
    assert len({ENGINE.key(c) for c in [*configs, *again]}) == 15


def test_a_generation_ends_with_every_tenth_observation() -> None:
    history = study("random", ONES, zeros, 30, seed=0)

    def children(seen: Sequence[Observation]) -> list[Config]:
        return [s.config for s in suggest("genetic", ONES, seen, (), 4, 0, 30)]

    late = {ONES.space.key(o.trial.config) for o in history[20:29]}
    kept = [config for config in children(history[:20]) if ONES.space.key(config) not in late]
    assert kept
    assert all(config in children(history[:29]) for config in kept)  # what has not completed a ten breeds nothing
    assert children(history[:29]) != children(history)


def test_children_are_nearer_to_their_parents_than_chance() -> None:
    history = study("genetic", ONES, zeros, 30, seed=0)
    first, last = (
        np.mean([zeros(o.trial.config)["p95_e2el_ms"] for o in part]) for part in (history[:10], history[20:])
    )
    assert last < first - 1


def test_failures_get_a_penalty_worse_than_all_and_so_do_broken_slos_once_any_is_kept() -> None:
    slow, fast, broken = ({"p95_e2el_ms": v, "p99_ttft_ms": v} for v in (200.0, 100.0, 50.0))
    configs: Sequence[Config] = [{"a": i / 10, "b": 0.5} for i in range(4)]
    history = [
        observe(i, config, Origin.MODEL, metrics)
        for i, (config, metrics) in enumerate(zip(configs, (slow, fast, broken, None), strict=True))
    ]
    plain = Problem(PLANE, preset("tail_latency"))
    assert [float(one.costs[0]) for one in judged(plain, history)] == pytest.approx([200, 100, 50, 220])
    above = Problem(PLANE, preset("tail_latency"), [SLO("p99_ttft_ms", ">", 60.0)])
    assert [float(one.costs[0]) for one in judged(above, history)] == pytest.approx([200, 100, 220, 220])
    hopeless = Problem(PLANE, preset("tail_latency"), [SLO("p99_ttft_ms", "<", 1.0)])
    assert [float(one.costs[0]) for one in judged(hopeless, history)] == pytest.approx([200, 100, 50, 220])
    assert judged(plain, history[3:]) == []


def test_a_missing_package_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scoot_ray.search.tuner.find_spec", lambda name: None)
    with pytest.raises(
        TunerError, match=r"^tuner 'tpe' needs Optuna, which is not installed: pip install .*\[optuna\]'$"
    ):
        make_tuner("tpe", ENGINE, preset("tail_latency"))
    make_tuner("botorch", ENGINE, preset("tail_latency"))


def test_optunas_own_settings_are_left_as_they_were() -> None:
    import optuna

    before = optuna.logging.get_verbosity(), pickle.dumps(np.random.get_state())  # noqa: NPY002  # must not move
    suggest("tpe", INTERACTIVE, random_history(ENGINE, ["mean_ttft_ms", "mean_tpot_ms"], 12, 0.2, 1), (), 2, 0, 12)
    assert (optuna.logging.get_verbosity(), pickle.dumps(np.random.get_state())) == before  # noqa: NPY002  # as above
