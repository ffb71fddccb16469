from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.search import Boolean, Choice, Constraint, ConstraintError, Integer, SearchSpace

NUMBERS = {"a": 3, "b": -2, "c": 0.5}
BOOLEANS = {"p": True, "q": False}

number = st.recursive(
    st.one_of(st.sampled_from(sorted(NUMBERS)), st.integers(0, 9).map(str), st.just("2.5")),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(" ".join),
        inner.map(lambda e: f"({e})"),
        inner.map(lambda e: f"-{e}"),
    ),
    max_leaves=8,
)
comparison = st.tuples(number, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), number).map(" ".join)
statement = st.recursive(
    st.one_of(st.sampled_from(sorted(BOOLEANS)), comparison),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join),
        inner.map(lambda e: f"({e})"),
        inner.map(lambda e: f"not {e}"),
    ),
    max_leaves=6,
)


@given(statement)
def test_means_what_python_means(text: str) -> None:
    values = NUMBERS | BOOLEANS
    try:
        expected = bool(eval(text, {"__builtins__": {}}, values))
    except ArithmeticError:
        expected = False
    try:
        constraint = Constraint(text)
    except ConstraintError as error:
        assert "nested" in str(error) or "characters" in str(error) or "in a row" in str(error)  # noqa: PT017  # rare
        return
    assert constraint.holds(values) is expected
    assert constraint.names <= values.keys()


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("p implies a > 1", True),
        ("p implies a > 5", False),
        ("q implies a > 5", True),
        ("q implies p implies q", True),
        ("p implies q implies q", True),
        ("not q implies q", False),
        ("q or p implies q", False),
        ("a / (b + 2) > 0", False),
        ("b == -2 or a / (b + 2) > 0", True),
        ("- - a == 3", True),
        ("a - 1 - 1 == 1", True),
        ("1e1 == 10", True),
        ("mode == 'fast'", True),
        ('mode != "fast"', False),
        ("p == true and q == false", True),
    ],
)
def test_by_example(text: str, holds: bool) -> None:  # a table's column
    assert Constraint(text).holds({**NUMBERS, **BOOLEANS, "mode": "fast"}) is holds


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("a >", 4),
        ("a > 1 > 0", 7),
        ("(a > 1", 7),
        ("a ** 2 > 1", 4),
        ("a.b > 1", 2),
        ("a = 1", 3),
        ("f(a) > 1", 2),
        ("a > 1; b", 6),
        ("a[0] > 1", 2),
        ("", 1),
        ("a > 5x", 5),
        ("lambda: 0", 7),
        ("a > 'x", 5),
    ],
)
def test_outside_the_grammar_is_refused_with_its_place(text: str, position: int) -> None:
    with pytest.raises(ConstraintError, match=rf"position {position}: .*allowed|position {position}: .*chain"):
        Constraint(text)


@pytest.mark.parametrize("text", ["(" * 60 + "a" + ")" * 60, "not " * 60 + "a", "a" * 501, "+".join("a" * 60) + " > 1"])
def test_size_is_bounded(text: str) -> None:
    with pytest.raises(ConstraintError, match=r"nested deeper|at most|in a row"):
        Constraint(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("m > 1", "unknown m; known: fast, mode, n"),
        ("max-n > 1", "underscores"),
        ("n", "not a statement"),
        ("n and fast", "'and' needs a boolean on each side, not a number"),
        ("fast > 1", "'>' needs a number on each side, not a boolean"),
        ("mode == 1", "'==' compares a text with a number"),
        ("fast + 1 > 1", "'\\+' needs a number"),
        ("not n", "'not' needs a boolean"),
        ("fast or mode < 1", "'<' needs a number"),
    ],
)
def test_a_space_refuses_what_makes_no_sense(text: str, message: str) -> None:
    parameters = (Integer("n", 1, 8), Boolean("fast"), Choice("mode", ("x", "y")))
    with pytest.raises(ConstraintError, match=message):
        SearchSpace(parameters, [text])
