from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.search import Boolean, Choice, Config, Float, Integer, Parameter, SearchSpace, SpaceError, Value
from scoot_ray.search.parameters import Scale
from tests.unit.search.problems import ENGINE


@st.composite
def integers(draw: st.DrawFn) -> Integer:
    scales: list[Scale] = ["linear", "log", "powers_of_two"]
    scale = draw(st.sampled_from(scales))
    low = draw(st.integers(1, 1000)) if scale != "linear" else draw(st.integers(-1000, 1000))
    high = draw(st.integers(low, 100_000)) if scale != "powers_of_two" else draw(st.integers(2 * low, 100_000))
    return Integer("i", low, high, scale=scale, step=1 if scale == "powers_of_two" else draw(st.integers(1, 50)))


@st.composite
def floats(draw: st.DrawFn) -> Float:
    log = draw(st.booleans())
    low = draw(st.floats(1e-3, 1e3)) if log else draw(st.floats(-1e3, 1e3))
    return Float("f", low, low + draw(st.floats(1e-2, 1e4)), log=log)


values = st.one_of(st.booleans(), st.integers(-99, 99), st.text(max_size=3))
choices = st.lists(values, min_size=1, max_size=6, unique=True).map(lambda vs: Choice("c", vs))
parameters: st.SearchStrategy[Parameter] = st.one_of(integers(), floats(), choices, st.just(Boolean("b")))


@given(parameters, st.floats(-0.5, 1.5))
def test_a_decoded_value_is_legal_and_decodes_from_its_own_place(parameter: Parameter, u: float) -> None:
    value = parameter.decode(u)
    assert parameter.accepts(value)
    assert 0 <= parameter.encode(value) <= 1
    assert parameter.decode(parameter.encode(value)) == value


@given(parameters)
def test_every_level_decodes_from_its_own_place(parameter: Parameter) -> None:
    for index in range(min(parameter.size or 0, 200)):
        value = parameter.level(index)
        assert parameter.accepts(value)
        assert parameter.decode(parameter.encode(value)) == value


@given(parameters, st.floats(0, 1), st.floats(0, 1))
def test_ordered_axes_keep_order(parameter: Parameter, one: float, other: float) -> None:
    if isinstance(parameter, Choice):
        return
    low, high = sorted([one, other])
    assert parameter.decode(low) <= parameter.decode(high)


def test_discrete_levels_get_equal_shares() -> None:
    u = (np.arange(1200) + 0.5) / 1200
    for parameter in (Integer("i", 1, 6), Integer("p", 64, 2048, scale="powers_of_two"), Choice("c", tuple("abcdef"))):
        counts = [sum(parameter.decode(float(v)) == parameter.level(i) for v in u) for i in range(6)]
        assert counts == [200] * 6


def test_powers_of_two_are_all_that_is_searched() -> None:
    found = {Integer("n", 64, 8192, scale="powers_of_two").decode(u / 100) for u in range(101)}
    assert found == {2**i for i in range(6, 14)}


def test_log_spreads_ratios() -> None:
    assert 700 < Integer("n", 64, 8192, log=True).decode(0.5) < 750


@given(st.lists(st.floats(0, 1), min_size=7, max_size=7))
def test_snapping_twice_changes_nothing(point: list[float]) -> None:
    once = ENGINE.snap(np.array([point]))
    assert np.array_equal(ENGINE.snap(once), once)
    assert ENGINE.decode(once[0]) == ENGINE.decode(np.array(point))


def test_features_are_one_hot_for_unordered_choices_only() -> None:
    u = ENGINE.encode_all([{**(ENGINE.default or {}), "policy": "fair", "enable_prefix_caching": True}])
    x = ENGINE.features(u)
    assert x.shape == (1, 9)
    assert x[0, 4:].tolist() == [0, 0, 1, 0, 1]
    assert ENGINE.numeric_features == (0, 1, 2, 3)


def test_hyphens_are_underscores() -> None:
    space = SearchSpace(
        [Integer("max-num-seqs", 1, 8)], ["max_num_seqs < limit_x"], {"max-num-seqs": 3}, {"limit-x": 5}
    )
    assert space.names == ("max_num_seqs",)
    assert space.default == {"max_num_seqs": 3}
    assert space.canonical({"max-num-seqs": 7}) == {"max_num_seqs": 7}
    assert space.violated({"max_num_seqs": 7}) == ("max_num_seqs < limit_x",)


def test_size_and_configurations_agree() -> None:
    space = SearchSpace([Integer("a", 1, 4), Choice("c", ("x", "y")), Boolean("b")])
    assert space.size == 16
    assert len({space.key(c) for c in space.configurations()}) == 16
    assert ENGINE.size is None
    odd = SearchSpace([Integer("a", 1, 4)], ["a % 2 == 1"])
    assert list(odd.configurations()) == [{"a": 1}, {"a": 3}]


def test_off_grid_values_within_the_range_are_legal() -> None:
    space = SearchSpace([Integer("n", 64, 8192, scale="powers_of_two")], default={"n": 100})
    assert space.default == {"n": 100}


BAD: list[tuple[Config, str]] = [
    ({"n": 9, "b": True}, "n = 9; allowed: integers from 1 to 8"),
    ({"n": True, "b": True}, "n = True; allowed: integers from 1 to 8"),
    ({"n": 1, "b": 1}, "b = 1; allowed: true or false"),
    ({"n": 1}, "b: no value given; allowed: true or false"),
    ({"n": 1, "b": True, "m": 2}, "unknown parameter m; allowed: n, b"),
]


@pytest.mark.parametrize(("config", "message"), BAD)
def test_a_bad_configuration_is_refused_in_one_line(config: dict[str, Value], message: str) -> None:
    with pytest.raises(SpaceError) as raised:
        SearchSpace([Integer("n", 1, 8), Boolean("b")]).validate(config)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "make",
    [
        lambda: SearchSpace([]),
        lambda: SearchSpace([Boolean("a-b"), Boolean("a_b")]),
        lambda: SearchSpace([Boolean("a")], constants={"a": 1}),
        lambda: SearchSpace([Boolean("a")], default={"a": 3}),
        lambda: Integer("n", 3, 2),
        lambda: Integer("n", 0, 8, log=True),
        lambda: Integer("n", 5, 7, scale="powers_of_two"),
        lambda: Integer("n", 1, 8, step=0),
        lambda: Float("f", 1.0, 1.0),
        lambda: Float("f", 0.0, 1.0, log=True),
        lambda: Float("f", 0.0, float("nan")),
        lambda: Choice("c", ()),
        lambda: Choice("c", (1, 1)),
    ],
)
def test_a_bad_space_is_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(SpaceError) as raised:
        make()
    assert "\n" not in str(raised.value)


def test_spaces_travel_between_processes() -> None:
    copy = pickle.loads(pickle.dumps(ENGINE))
    assert copy == ENGINE
    assert copy.allows(ENGINE.default)
