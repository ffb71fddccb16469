"""What a user of the search can get wrong.

SearchError
├── SpaceError        a parameter, a value or a configuration that the space does not allow
├── ConstraintError   a constraint outside the grammar, or about names nobody knows
├── ObjectiveError    a metric, direction, preset or SLO nobody knows
└── TunerError        a tuner nobody knows, or one that cannot work on this problem

Each message is one line: what is wrong, where, and what is allowed.
"""

from __future__ import annotations


class SearchError(ValueError):
    """Base of everything below."""


class SpaceError(SearchError):
    """A parameter, a value or a configuration that the space does not allow."""


class ConstraintError(SearchError):
    """A constraint outside the grammar, or about names nobody knows."""


class ObjectiveError(SearchError):
    """A metric, direction, preset or SLO nobody knows."""


class TunerError(SearchError):
    """A tuner nobody knows, or one that cannot work on this problem."""
