from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scoot_ray.search import (
    SLO,
    Boolean,
    Measured,
    Objective,
    ObjectiveError,
    Observation,
    Origin,
    Problem,
    SearchSpace,
    Trial,
    hypervolume,
    is_metric,
    pareto,
    preset,
    recommend,
    reference,
)
from scoot_ray.search.objectives import gain
from scoot_ray.search.space import FloatArray

grid = hnp.arrays(np.float64, st.tuples(st.integers(1, 8), st.just(2)), elements=st.integers(0, 6).map(float))


@given(grid)
def test_hypervolume_counts_dominated_cells(y: FloatArray) -> None:
    reference = np.array([5.0, 4.0])
    cells = [(i + 0.5, j + 0.5) for i in range(5) for j in range(4)]
    assert hypervolume(y, reference) == sum(any(a <= i and b <= j for a, b in y) for i, j in cells)


@given(grid)
def test_the_front_is_what_nothing_dominates(y: FloatArray) -> None:
    def dominated(i: int) -> bool:
        return any(all(y[j] <= y[i]) and any(y[j] < y[i]) for j in range(len(y)))

    assert pareto(y) == [i for i in range(len(y)) if not dominated(i)]


@given(grid)
def test_the_front_alone_has_the_hypervolume(y: FloatArray) -> None:
    reference = np.array([5.0, 5.0])
    assert hypervolume(y[pareto(y)], reference) == hypervolume(y, reference)


@given(st.tuples(st.floats(0, 9), st.floats(0, 9)))
def test_gain_is_the_hypervolume_of_one(y: tuple[float, float]) -> None:
    reference = np.array([5.0, 7.0])
    assert gain(np.array(y), reference) == pytest.approx(hypervolume(np.array([y]), reference))


@pytest.mark.parametrize(
    ("text", "slo"),
    [
        ("ttft:p99<500ms", SLO("p99_ttft_ms", "<", 500.0)),
        ("tpot:mean<50ms", SLO("mean_tpot_ms", "<", 50.0)),
        ("e2el:p95 <= 1.5s", SLO("p95_e2el_ms", "<=", 1500.0)),
        ("error_rate<1%", SLO("error_rate", "<", 0.01)),
        ("request_throughput>=5", SLO("request_throughput", ">=", 5.0)),
        ("p99_ttft_ms<500", SLO("p99_ttft_ms", "<", 500.0)),
        (" output_throughput_per_gpu > 1e3 ", SLO("output_throughput_per_gpu", ">", 1000.0)),
    ],
)
def test_slos_are_read(text: str, slo: SLO) -> None:
    assert SLO.parse(text) == slo
    assert SLO.parse(str(slo)) == slo


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ttft<500ms", "say which statistic of ttft, such as ttft:p99"),
        ("ttft:p98<500ms", "did you mean p9"),
        ("request_throughput:p99>5", "has no statistics; allowed: ttft, tpot, itl, e2el"),
        ("ttft:p99<5%", "unit '%' does not fit p99_ttft_ms; allowed: ms or s"),
        ("error_rate<5ms", "unit 'ms' does not fit error_rate"),
        ("ttft:p99=500ms", "not understood"),
        ("ttft:p99<-5ms", "not understood"),
        ("eror_rate<1%", "did you mean error_rate"),
        ("ttft:p99<1e999", "finite limit"),
    ],
)
def test_bad_slos_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ObjectiveError, match=message) as raised:
        SLO.parse(text)
    assert "\n" not in str(raised.value)


def test_slos_hold_or_not_or_are_unknown() -> None:
    slo = SLO.parse("ttft:p99<500ms")
    assert slo.met({"p99_ttft_ms": 499.0}) is True
    assert slo.met({"p99_ttft_ms": 500.0}) is False
    assert slo.met({}) is None
    assert SLO.parse("request_throughput>=5").met({"request_throughput": 5.0}) is True


def test_metric_names() -> None:
    assert is_metric("p99_ttft_ms")
    assert is_metric("request_throughput_per_gpu")
    assert not is_metric("p99_ttft")
    with pytest.raises(ObjectiveError, match="did you mean mean_ttft_ms"):
        Objective("mean_ttft")
    with pytest.raises(ObjectiveError, match="allowed: minimize, maximize"):
        Objective("mean_ttft_ms", "down")  # type: ignore[arg-type]  # what is refused
    with pytest.raises(ObjectiveError, match="allowed: throughput, tail_latency, interactive"):
        preset("latency")


SPACE = SearchSpace([Boolean("a"), Boolean("b"), Boolean("c")], default={"a": False, "b": False, "c": False})
INTERACTIVE = Problem(SPACE, preset("interactive"))


def measured(bits: str, **metrics: float) -> Observation:
    config = {name: bit == "1" for name, bit in zip("abc", bits, strict=True)}
    return Observation(Trial(0, config, Origin.INITIAL), Measured(metrics))


def test_the_reference_is_the_default_and_else_worse_than_the_worst() -> None:
    other = measured("100", mean_ttft_ms=100.0, mean_tpot_ms=50.0)
    another = measured("010", mean_ttft_ms=200.0, mean_tpot_ms=40.0)
    default = measured("000", mean_ttft_ms=150.0, mean_tpot_ms=45.0)
    assert reference(INTERACTIVE, [other, default]) == (150.0, 45.0)
    assert reference(INTERACTIVE, [other, another]) == pytest.approx((220.0, 55.0))
    assert reference(INTERACTIVE, []) is None
    throughput = Problem(SPACE, preset("throughput"))
    assert reference(throughput, [measured("100", request_throughput=10.0)]) == pytest.approx((9.0,))


def test_recommended_is_the_front_with_the_largest_hypervolume_first() -> None:
    default = measured("000", mean_ttft_ms=100.0, mean_tpot_ms=100.0)
    edge = measured("100", mean_ttft_ms=10.0, mean_tpot_ms=95.0)
    middle = measured("010", mean_ttft_ms=40.0, mean_tpot_ms=40.0)
    dominated = measured("001", mean_ttft_ms=50.0, mean_tpot_ms=50.0)
    assert recommend(INTERACTIVE, [default, edge, middle, dominated]) == (middle, edge)
    assert recommend(INTERACTIVE, []) == ()


def test_dropping_requests_is_never_recommended() -> None:
    honest = measured("100", mean_ttft_ms=100.0, mean_tpot_ms=50.0, error_rate=0.01)
    dropping = measured("010", mean_ttft_ms=1.0, mean_tpot_ms=1.0, error_rate=0.02)
    partial = measured("001", mean_ttft_ms=1.0)
    assert recommend(INTERACTIVE, [honest, dropping, partial]) == (honest,)
    assert recommend(INTERACTIVE, [dropping]) == ()


def test_slos_come_first_where_any_meets_them() -> None:
    problem = Problem(SPACE, preset("throughput"), [SLO.parse("ttft:p99<500ms")])
    fast = measured("100", request_throughput=9.0, p99_ttft_ms=900.0)
    good = measured("010", request_throughput=5.0, p99_ttft_ms=400.0)
    assert recommend(problem, [fast, good]) == (good,)
    assert recommend(problem, [fast]) == (fast,)


@pytest.mark.parametrize("count", [0, 3])
def test_a_problem_has_one_or_two_objectives(count: int) -> None:
    objectives = [Objective(f"p{p}_ttft_ms") for p in (50, 90, 99)][:count]
    with pytest.raises(ObjectiveError, match="allowed: one, or two"):
        Problem(SPACE, objectives)
    with pytest.raises(ObjectiveError, match="two different"):
        Problem(SPACE, [Objective("completed"), Objective("completed")])


@given(
    st.integers(1, 3).flatmap(
        lambda width: st.lists(st.lists(st.integers(0, 4), min_size=width, max_size=width), min_size=1, max_size=20)
    )
)
def test_the_pareto_set_is_what_nothing_dominates(rows: list[list[int]]) -> None:
    y = np.array(rows, dtype=np.float64)
    undominated = [i for i, one in enumerate(y) if not any(np.all(other <= one) and np.any(other < one) for other in y)]
    assert pareto(y) == undominated
