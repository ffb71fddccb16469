"""Known constraints: parsed once into a closed grammar, checked against the names' kinds, never ``eval``."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from scoot_ray.search import grammar
from scoot_ray.search.errors import ConstraintError
from scoot_ray.search.grammar import Binary, Name, Node, Unary
from scoot_ray.search.trial import Value

Kind: TypeAlias = Literal["number", "boolean", "text", "mixed"]

_EQUALITIES = frozenset({"==", "!="})
_LOGIC = frozenset({"and", "or", "implies", "not"})
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


@dataclass(frozen=True, slots=True)
class Constraint:
    """One known constraint, parsed when made.

    Raises:
        ConstraintError: the text is outside the grammar, too long or nested too deeply.
    """

    text: str
    names: frozenset[str] = field(init=False, compare=False)
    _root: Node = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        root = grammar.parse(self.text)
        object.__setattr__(self, "_root", root)
        object.__setattr__(self, "names", frozenset(_names(root)))

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Whether the constraint holds for the values of its names; a division by zero breaks it."""
        try:
            return bool(_evaluate(self._root, values))
        except ArithmeticError:
            return False

    def check(self, kinds: Mapping[str, Kind]) -> None:
        """Raise ConstraintError unless every name is known and every operator gets what it works on."""
        unknown = sorted(self.names - kinds.keys())
        if unknown:
            known = ", ".join(sorted(kinds))
            hint = " (in constraints, names are written with underscores)" if "-" in self.text else ""
            raise ConstraintError(f"constraint {self.text!r}: unknown {', '.join(unknown)}; known: {known}{hint}")
        if _kind(self._root, kinds, self.text) not in {"boolean", "mixed"}:
            raise ConstraintError(f"constraint {self.text!r}: is not a statement that is true or false")


def _names(node: Node) -> set[str]:
    match node:
        case Name(name):
            return {name}
        case Unary(_, operand):
            return _names(operand)
        case Binary(_, left, right):
            return _names(left) | _names(right)
    return set()


def _evaluate(node: Node, values: Mapping[str, Value]) -> Any:
    match node:
        case grammar.Literal(value):
            return value
        case Name(name):
            return values[name]
        case Unary(symbol, operand):
            inner = _evaluate(operand, values)
            return not inner if symbol == "not" else -inner
    return _evaluate_binary(node, values)


def _evaluate_binary(node: Binary, values: Mapping[str, Value]) -> Any:
    """Logic looks at its right side only where that matters, so that a test can guard a division."""
    left = _evaluate(node.left, values)
    match node.symbol:
        case "and":
            return left and _evaluate(node.right, values)
        case "or":
            return left or _evaluate(node.right, values)
        case "implies":
            return not left or _evaluate(node.right, values)
    right = _evaluate(node.right, values)
    return (_COMPARISONS.get(node.symbol) or _ARITHMETIC[node.symbol])(left, right)


def _kind(node: Node, kinds: Mapping[str, Kind], text: str) -> Kind:
    """What a node evaluates to; ConstraintError where an operator gets something it does not work on."""
    match node:
        case grammar.Literal(value):
            return kind_of(value)
        case Name(name):
            return kinds[name]
        case Unary(symbol, operand):
            operands = [_kind(operand, kinds, text)]
        case Binary(symbol, left, right):
            operands = [_kind(left, kinds, text), _kind(right, kinds, text)]
    if symbol in _EQUALITIES:
        if "mixed" not in operands and len(set(operands)) > 1:
            raise ConstraintError(f"constraint {text!r}: {symbol!r} compares a {operands[0]} with a {operands[1]}")
        return "boolean"
    wanted: Kind = "boolean" if symbol in _LOGIC else "number"
    for found in operands:
        if found != wanted:
            raise ConstraintError(f"constraint {text!r}: {symbol!r} needs a {wanted} on each side, not a {found}")
    return "number" if symbol in _ARITHMETIC else "boolean"


def kind_of(value: Value) -> Kind:
    """The kind of a plain value."""
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"
