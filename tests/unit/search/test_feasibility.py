from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.search import Bounded, Failed, FailureKind, Measured, Observation, Origin, Outcome, Trial, threshold
from scoot_ray.search.feasibility import fit_forest
from tests.unit.search.problems import PLANE, bowl, observe

GOOD: Outcome = Measured({})
ENDED: Outcome = Bounded({"p95_e2el_ms": (1.0, float("inf"))}, "cannot win")
CRASH: Outcome = Failed(FailureKind.CRASHED, "")
LOST: Outcome = Failed(FailureKind.NODE_LOST, "")


def suggested(*outcomes: Outcome, origin: Origin = Origin.MODEL) -> list[Observation]:
    return [Observation(Trial(i, {"a": 0.5, "b": 0.5}, origin), outcome) for i, outcome in enumerate(outcomes)]


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], 0.5),
        ([CRASH], 0.55),
        ([CRASH] * 9, 0.75),
        ([GOOD] * 4, 0.5),
        ([GOOD] * 5, 0.45),
        ([GOOD] * 9, 0.45),
        ([GOOD] * 100, 0.25),
        ([GOOD] * 25 + [CRASH], 0.5),
        ([GOOD] * 4 + [CRASH] + [GOOD] * 4, 0.55),
        ([GOOD] * 4 + [LOST, GOOD], 0.45),
        ([GOOD] * 4 + [ENDED], 0.45),
    ],
)
def test_the_threshold_follows_the_rule(outcomes: list[Outcome], expected: float) -> None:
    assert threshold(suggested(*outcomes)) == expected


def test_the_initial_sample_does_not_move_the_threshold() -> None:
    for origin in (Origin.DEFAULT, Origin.BASELINE, Origin.INITIAL, Origin.CONFIRMATION):
        assert threshold(suggested(CRASH, CRASH, origin=origin)) == 0.5
    assert threshold(suggested(CRASH, origin=Origin.TOP_UP)) == 0.55


@given(st.lists(st.sampled_from([GOOD, CRASH, LOST])))
def test_the_threshold_stays_in_its_range_on_its_steps(outcomes: list[Outcome]) -> None:
    value = threshold(suggested(*outcomes))
    assert 0.25 <= value <= 0.75
    assert round(value * 20) == pytest.approx(value * 20)
    if outcomes and outcomes[-1] is CRASH:
        assert value >= 0.5


def test_the_forest_learns_the_crash_region() -> None:
    rng = np.random.default_rng(0)
    configs = [PLANE.decode(rng.random(2)) for _ in range(60)]
    forest = fit_forest(PLANE, [observe(i, c, Origin.MODEL, bowl(c)) for i, c in enumerate(configs)], seed=0)
    pof = forest.pof(np.array([[0.9, 0.2], [0.2, 0.2], [0.9, 0.9]]))
    assert pof[0] < 0.2
    assert pof[1] > 0.8
    assert pof[2] > 0.8


@pytest.mark.parametrize(("outcomes", "expected"), [([], 1.0), ([GOOD, ENDED], 1.0), ([CRASH], 0.0), ([LOST], 1.0)])
def test_one_kind_of_outcome_needs_no_forest(outcomes: list[Outcome], expected: float) -> None:
    forest = fit_forest(PLANE, suggested(*outcomes), seed=0)
    assert forest.pof(np.zeros((3, 2))).tolist() == [expected] * 3


def test_failures_of_ours_teach_nothing() -> None:
    assert fit_forest(PLANE, suggested(GOOD, LOST), seed=0).regressor is None
