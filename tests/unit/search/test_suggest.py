from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from scoot_ray.search import (
    SLO,
    TUNERS,
    Boolean,
    Choice,
    Config,
    Failed,
    FailureKind,
    Integer,
    Metrics,
    Objective,
    Observation,
    Origin,
    Problem,
    SearchSpace,
    SpaceError,
    Trial,
    TunerError,
    make_tuner,
    preset,
    recommend,
    scoot,
    suggest,
)
from scoot_ray.search.sampling import covering
from scoot_ray.search.situation import Situation
from tests.unit.search.problems import ENGINE, PLANE, bowl, observe, random_history, study

TAIL = Problem(ENGINE, preset("tail_latency"))
INTERACTIVE = Problem(ENGINE, preset("interactive"))
SMALL = SearchSpace(
    [Integer("n", 1, 3), Boolean("b"), Choice("c", ("x", "y"))],
    ["not (b and n == 3)"],
    default={"n": 1, "b": False, "c": "x"},
)


@pytest.fixture(autouse=True)
def _small_populations(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's 100 individuals for 100 generations show nothing more here."""
    monkeypatch.setattr(scoot, "SCOOT_PAPER", replace(scoot.SCOOT_PAPER, individuals=24, generations=8))


def keys(space: SearchSpace, configs: Sequence[Config]) -> list[tuple[object, ...]]:
    return [space.key(c) for c in configs]


def metrics_of(problem: Problem) -> list[str]:
    return [o.metric for o in problem.objectives]


@pytest.mark.parametrize("tuner", TUNERS)
def test_the_default_comes_first_and_the_baseline_second(tuner: str) -> None:
    baseline = {**(ENGINE.default or {}), "max_num_seqs": 128}
    problem = Problem(ENGINE, preset("tail_latency"), baseline=baseline)
    first = suggest(tuner, problem, (), (), 3, 0, 0)
    assert [s.origin for s in first] == [Origin.DEFAULT, Origin.BASELINE, Origin.INITIAL]
    assert [s.config for s in first[:2]] == [ENGINE.default, baseline]
    told = [observe(0, ENGINE.default or {}, Origin.DEFAULT, None)]
    assert suggest(tuner, problem, told, (), 1, 0, 1)[0].config == baseline
    assert suggest(tuner, problem, told, [baseline], 1, 0, 2)[0].origin == Origin.INITIAL


@pytest.mark.parametrize("tuner", ["scoot", "scoot-paper"])
def test_the_initial_sample_has_as_many_points_as_dimensions(tuner: str) -> None:
    def answer(_: Config) -> Metrics:
        return {"p95_e2el_ms": 1.0}

    origins = [o.trial.origin for o in study(tuner, TAIL, answer, 10, seed=0)]
    assert origins == [Origin.DEFAULT, *[Origin.INITIAL] * 7, *[Origin.MODEL] * 2]


@pytest.mark.parametrize("tuner", ["scoot", "scoot-paper", "random"])
def test_the_initial_sample_is_the_same_however_it_is_asked_for(tuner: str) -> None:
    at_once = suggest(tuner, TAIL, (), (), 6, 4, 0)
    one_by_one: list[Config] = []
    for submitted in range(6):
        one_by_one += [s.config for s in suggest(tuner, TAIL, (), one_by_one, 1, 4, submitted)]
    assert [s.config for s in at_once] == one_by_one


@pytest.mark.parametrize("tuner", [pytest.param(one, marks=pytest.mark.slow) if one == "gp" else one for one in TUNERS])
@pytest.mark.parametrize("problem", [TAIL, INTERACTIVE], ids=["one", "two"])
def test_suggestions_are_new_allowed_and_a_function_of_their_arguments(tuner: str, problem: Problem) -> None:
    history = random_history(ENGINE, metrics_of(problem), 14, 0.3, seed=1)
    pending = [s.config for s in suggest("random", problem, history, (), 2, 9, 14)]
    torch_state, numpy_state = torch.random.get_rng_state(), pickle.dumps(np.random.get_state())  # noqa: NPY002  # must not move
    found = suggest(tuner, problem, history, pending, 3, 5, 16)
    assert torch.equal(torch_state, torch.random.get_rng_state())
    assert pickle.dumps(np.random.get_state()) == numpy_state  # noqa: NPY002  # as above
    torch.manual_seed(123)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert suggest(tuner, problem, history, pending, 3, 5, 16) == found
    torch.set_num_threads(threads)
    assert len(found) == 3
    assert all(ENGINE.allows(s.config) for s in found)
    for suggestion in found:
        ENGINE.validate(suggestion.config)
    tried = [*(o.trial.config for o in history), *pending, *(s.config for s in found)]
    assert len(set(keys(ENGINE, [*pending, *(s.config for s in found)]))) == 5
    assert len(set(keys(ENGINE, tried))) == len(tried)


@pytest.mark.parametrize("seed", range(12))
def test_scoot_stands_any_history(seed: int) -> None:
    problem = INTERACTIVE if seed % 2 else TAIL
    rng = np.random.default_rng(seed)
    history = random_history(ENGINE, metrics_of(problem), int(rng.integers(0, 30)), rng.uniform(0, 1.2), seed)
    found = suggest("scoot", problem, history, (), 2, seed, 40)
    assert len(found) == 2
    assert all(ENGINE.allows(s.config) for s in found)


@pytest.mark.parametrize("limit", [1e-9, 30.0, 1e9])
@pytest.mark.parametrize("objectives", ["tail_latency", "interactive"])
def test_scoot_stands_slos_that_none_some_or_all_meet(objectives: str, limit: float) -> None:
    slos = [SLO("p99_ttft_ms", "<", limit), SLO("request_throughput", ">", 1.0), SLO("p99_itl_ms", "<", 1.0)]
    problem = Problem(ENGINE, preset(objectives), slos)
    history = random_history(ENGINE, [*metrics_of(problem), "p99_ttft_ms", "request_throughput"], 12, 0.2, 3)
    assert len(suggest("scoot", problem, history, [history[0].trial.config], 2, 0, 12)) == 2


def test_observations_of_other_studies_shorten_the_initial_sample() -> None:
    foreign = [
        *random_history(ENGINE, ["p95_e2el_ms"], 9, 0.2, 1),
        observe(9, ENGINE.default or {}, Origin.DEFAULT, None),
    ]
    for tuner in ("scoot", "scoot-paper"):
        assert suggest(tuner, TAIL, foreign, (), 1, 0, 1)[0].origin == Origin.MODEL


@pytest.mark.parametrize("tuner", TUNERS)
def test_small_spaces_are_exhausted_and_then_no_more_is_suggested(tuner: str) -> None:
    problem = Problem(SMALL, preset("tail_latency"))

    def answer(config: Config) -> Metrics | None:
        return None if config["c"] == "y" and config["b"] else {"p95_e2el_ms": float(config["n"])}

    history = study(tuner, problem, answer, 50, seed=0, parallel=3)
    assert len(history) == 10
    assert len(set(keys(SMALL, [o.trial.config for o in history]))) == 10


@pytest.mark.parametrize("tuner", TUNERS)
def test_when_everything_fails_the_search_goes_on(tuner: str) -> None:
    history = study(tuner, TAIL, lambda _: None, 12, seed=0)
    assert len(set(keys(ENGINE, [o.trial.config for o in history]))) == 12
    assert history[-1].trial.origin in {Origin.TOP_UP, Origin.INITIAL}
    assert recommend(TAIL, history) == ()


@pytest.mark.parametrize("tuner", ["scoot", "scoot-paper"])
def test_a_flat_objective_is_no_obstacle(tuner: str) -> None:
    flat = Problem(PLANE, preset("tail_latency"))
    assert len(study(tuner, flat, lambda _: {"p95_e2el_ms": 7.0}, 6, seed=0)) == 6


def test_failures_of_ours_are_not_seen() -> None:
    default = ENGINE.default or {}
    lost = Observation(Trial(0, default, Origin.DEFAULT), Failed(FailureKind.NODE_LOST, ""))
    assert suggest("scoot", TAIL, [lost], (), 2, 0, 0) == suggest("scoot", TAIL, (), (), 2, 0, 0)


def test_the_papers_populations_work() -> None:
    history = random_history(ENGINE, metrics_of(TAIL), 10, 0.2, seed=2)
    settings = replace(scoot.SCOOT_PAPER, individuals=100, generations=100)
    found = scoot.propose(settings, Situation(TAIL, history, (), 0, 10), 2)
    assert [s.origin for s in found] == [Origin.MODEL] * 2


def test_seeds_differ() -> None:
    for tuner in TUNERS:
        assert suggest(tuner, TAIL, (), (), 4, 0, 0) != suggest(tuner, TAIL, (), (), 4, 1, 0)


def test_the_covering_design_sees_every_level_early() -> None:
    seen: list[Config] = [dict(TAIL.space.default or {})]
    while len(seen) < 8:
        seen.append(covering(TAIL.space, seen, 0, len(seen)) or {})
    for name, levels in (("block_size", 3), ("policy", 3), ("enable_chunked_prefill", 2), ("enable_prefix_caching", 2)):
        assert len({c[name] for c in seen}) == levels


def test_every_parameter_of_few_levels_is_soon_changed_alone() -> None:
    default = TAIL.space.default or {}
    initial = [s.config for s in suggest("scoot", TAIL, (), (), TAIL.space.dimension + 1, 0, 0)]
    alone = {next(n for n in c if c[n] != default[n]) for c in initial if sum(c[n] != default[n] for n in c) == 1}
    assert {"block_size", "policy", "enable_chunked_prefill", "enable_prefix_caching"} <= alone
    assert len(initial) - len(alone) >= 3  # the others change more


def test_a_batch_is_spread_out() -> None:
    problem = Problem(PLANE, preset("tail_latency"))
    history = study("scoot", problem, bowl, 5, seed=0)
    batch = PLANE.encode_all([s.config for s in suggest("scoot", problem, history, (), 4, 0, 5)])
    distances = np.linalg.norm(batch[:, None] - batch[None], axis=2)[np.triu_indices(4, 1)]
    assert np.min(distances) > 0.05


def test_scoot_beats_random_beside_a_crash_region() -> None:
    problem = Problem(PLANE, preset("tail_latency"))

    def regret(tuner: str, seed: int) -> float:
        history = study(tuner, problem, bowl, 12, seed=seed)
        best = recommend(problem, history)[0].trial.config
        return (bowl(best) or {})["p95_e2el_ms"] - 1000.0

    scoot, random = ([regret(tuner, seed) for seed in range(3)] for tuner in ("scoot", "random"))
    assert np.mean(scoot) < 0.5 * np.mean(random)


def test_unknown_tuners_are_refused() -> None:
    with pytest.raises(TunerError, match="tuner 'best'; allowed: scoot, scoot-paper, random"):
        suggest("best", TAIL, (), (), 1, 0, 0)


def test_ask_and_tell() -> None:
    tuner = make_tuner("scoot", SMALL, [Objective("mean_ttft_ms"), Objective("mean_tpot_ms")], slos=["ttft:p99<9s"])
    first = tuner.ask(2)
    assert first[0] == SMALL.default
    assert not set(keys(SMALL, tuner.ask(2))) & set(keys(SMALL, first))
    tuner.tell(first[0], {"mean_ttft_ms": 100.0, "mean_tpot_ms": 10.0, "p99_ttft_ms": 300.0})
    tuner.tell(first[1], None)
    better: Config = {"n": 2, "b": False, "c": "y"}
    tuner.tell(better, {"mean_ttft_ms": 50.0, "mean_tpot_ms": 9.0, "p99_ttft_ms": 200.0})
    assert tuner.recommend() == [better]
    rest = tuner.ask(50)
    assert better not in rest
    with pytest.raises(SpaceError, match="n = 9"):
        tuner.tell({"n": 9, "b": False, "c": "y"}, None)


def test_a_trial_lost_to_us_is_asked_for_again() -> None:
    tuner = make_tuner("scoot", SMALL, preset("tail_latency"))
    [config] = tuner.ask(1)
    tuner.tell(config, None, kind=FailureKind.PREEMPTED)
    assert tuner.ask(1) == [config]


def test_a_space_without_a_default_works() -> None:
    space = SearchSpace([Integer("n", 1, 64, log=True), Boolean("b")])
    tuner = make_tuner("scoot", space, preset("throughput"))
    for _ in range(5):
        [config] = tuner.ask(1)
        tuner.tell(config, {"request_throughput": float(config["n"])})
    assert len(tuner.recommend()) == 1


def test_importing_the_search_is_light() -> None:
    heavy = "'torch', 'botorch', 'gpytorch', 'sklearn', 'pymoo', 'scipy'"
    code = f"import sys, scoot_ray.search; sys.exit(any(m in sys.modules for m in ({heavy})))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
