"""The grammar of known constraints: text -> tokens -> a tree of operators.

Binding from loosest to tightest; ``implies`` groups to the right, arithmetic to the left::

    expression  = disjunction ["implies" expression]
    disjunction = conjunction {"or" conjunction}
    conjunction = negation {"and" negation}
    negation    = "not" negation | comparison
    comparison  = sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum]
    sum         = product {("+" | "-") product}
    product     = factor {("*" | "/" | "//" | "%") factor}
    factor      = "-" factor | "(" expression ")" | number | "true" | "false" | quoted string | name
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from scoot_ray.search.errors import ConstraintError
from scoot_ray.search.trial import Value

MAX_LENGTH = 500
MAX_DEPTH = 40

COMPARISONS = ("<=", ">=", "==", "!=", "<", ">")

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<text>'[^']*'|\"[^\"]*\")|(?P<symbol><=|>=|==|!=|//|[-+*/%<>()]))"
)
_WORDS = frozenset({"and", "or", "not", "implies", "true", "false"})
_ALLOWED = "numbers, names, true, false, 'text', + - * / // %, < <= > >= == !=, and, or, not, implies, ( )"


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, boolean or text."""

    value: Value


@dataclass(frozen=True, slots=True)
class Name:
    """A parameter or constant."""

    name: str


@dataclass(frozen=True, slots=True)
class Unary:
    """``not`` or ``-`` before an operand."""

    symbol: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two operands."""

    symbol: str
    left: Node
    right: Node


Node: TypeAlias = Literal | Name | Unary | Binary


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def parse(text: str) -> Node:
    """Read one expression.

    Raises:
        ConstraintError: the text is outside the grammar, too long or nested too deeply.
    """
    return _Parser(text).parse()


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokenize(text)
        self._next = 0
        self._depth = 0

    def parse(self) -> Node:
        node = self._expression()
        if self._peek.kind != "end":
            raise self._unexpected()
        return node

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *symbols: str) -> str | None:
        """The next token's text if it is one of these symbols, which is then consumed."""
        token = self._peek
        if token.kind != "symbol" or token.text not in symbols:
            return None
        self._next += 1
        return token.text

    def _unexpected(self) -> ConstraintError:
        token = self._peek
        found = repr(token.text) if token.text else "the end"
        return _error(self._text, token.position, f"unexpected {found}; allowed: {_ALLOWED}")

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _error(self._text, self._peek.position, f"nested deeper than {MAX_DEPTH}")

    def _expression(self) -> Node:
        self._enter()
        node = self._chain(("or",), lambda: self._chain(("and",), self._negation))
        if self._take("implies"):
            node = Binary("implies", node, self._expression())
        self._depth -= 1
        return node

    def _chain(self, symbols: tuple[str, ...], operand: Callable[[], Node]) -> Node:
        """Operands joined by the symbols, grouped to the left."""
        node = operand()
        joined = 0
        while symbol := self._take(*symbols):
            node = Binary(symbol, node, operand())
            joined += 1
            if joined > MAX_DEPTH:
                raise _error(self._text, self._peek.position, f"more than {MAX_DEPTH} operators in a row")
        return node

    def _negation(self) -> Node:
        if self._take("not") is None:
            return self._comparison()
        self._enter()
        node = Unary("not", self._negation())
        self._depth -= 1
        return node

    def _comparison(self) -> Node:
        left = self._sum()
        symbol = self._take(*COMPARISONS)
        if symbol is None:
            return left
        node = Binary(symbol, left, self._sum())
        if self._peek.text in COMPARISONS:
            raise _error(self._text, self._peek.position, "comparisons do not chain; join two with 'and'")
        return node

    def _sum(self) -> Node:
        return self._chain(("+", "-"), lambda: self._chain(("*", "/", "//", "%"), self._factor))

    def _factor(self) -> Node:
        if self._take("-"):
            self._enter()
            negative = Unary("-", self._factor())
            self._depth -= 1
            return negative
        if self._take("("):
            inner = self._expression()
            if self._take(")") is None:
                raise self._unexpected()
            return inner
        return self._atom()

    def _atom(self) -> Node:
        token = self._peek
        self._next += 1
        if token.kind == "number":
            return Literal(int(token.text) if token.text.isdigit() else float(token.text))
        if token.kind == "text":
            return Literal(token.text[1:-1])
        if token.kind == "name":
            return Name(token.text)
        if token.kind == "symbol" and token.text in {"true", "false"}:
            return Literal(token.text == "true")
        self._next -= 1
        raise self._unexpected()


def _tokenize(text: str) -> list[_Token]:
    """The tokens of a text, with one of kind ``end`` last."""
    if len(text) > MAX_LENGTH:
        raise ConstraintError(f"constraint {text[:40]!r}…: {len(text)} characters; allowed: at most {MAX_LENGTH}")
    tokens: list[_Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            raise _error(text, start, f"unexpected {text[start]!r}; allowed: {_ALLOWED}")
        kind = str(match.lastgroup)
        value = match.group(kind)
        if kind == "word":
            kind = "symbol" if value in _WORDS else "name"
        tokens.append(_Token(kind, value, match.start(str(match.lastgroup))))
        position = match.end()
    return [*tokens, _Token("end", "", end)]


def _error(text: str, position: int, problem: str) -> ConstraintError:
    return ConstraintError(f"constraint {text!r}, position {position + 1}: {problem}")
