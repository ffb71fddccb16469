"""The search space: parameters, known constraints, and the one place where configurations become numbers.

u  (d,) or (n, d)   a point of the unit cube, one coordinate per parameter, for Sobol and the solvers
x  (n, c)           features for the models: as u, but choices without an order are one-hot

Discrete levels sit in the middle of equal cells of their axis, so that a uniform u gives each its share.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from scoot_ray.search.constraints import Constraint, Kind, kind_of
from scoot_ray.search.errors import SpaceError
from scoot_ray.search.parameters import Boolean, Choice, Parameter, canonical_name
from scoot_ray.search.trial import Config, Value

FloatArray: TypeAlias = npt.NDArray[np.float64]
Key: TypeAlias = tuple[Value, ...]

LISTABLE = 4096


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """Parameters with their known constraints.

    ``constants`` are further names that constraints may use, such as ``max_model_len``. ``default`` is what runs when
    nothing is set; it may break constraints (it is evaluated all the same) but not the parameters' ranges.

    Raises:
        SpaceError: no parameters, a name used twice, or a default outside the ranges.
        ConstraintError: a constraint outside the grammar or about unknown names.
    """

    parameters: Sequence[Parameter]
    constraints: Sequence[str] = ()
    default: Config | None = None
    constants: Mapping[str, Value] | None = None
    _parsed: tuple[Constraint, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))
        object.__setattr__(self, "constraints", tuple(self.constraints))
        object.__setattr__(self, "constants", {canonical_name(k): v for k, v in (self.constants or {}).items()})
        self._refuse_repeated_names()
        object.__setattr__(self, "_parsed", tuple(Constraint(text) for text in self.constraints))
        for constraint in self._parsed:
            constraint.check(self._kinds)
        if self.default is not None:
            object.__setattr__(self, "default", self.canonical(self.default))

    def _refuse_repeated_names(self) -> None:
        if not self.parameters:
            raise SpaceError("a search space needs at least one parameter")
        names = [*self.names, *(self.constants or {})]
        for name in names:
            if names.count(name) > 1:
                raise SpaceError(f"{name}: the name is used twice among parameters and constants")

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in order."""
        return tuple(p.name for p in self.parameters)

    @property
    def dimension(self) -> int:
        """How many parameters there are: d."""
        return len(self.parameters)

    @property
    def size(self) -> int | None:
        """How many distinct configurations there are, constraints aside; None if a parameter is continuous."""
        sizes = [p.size for p in self.parameters if p.size is not None]
        return prod(sizes) if len(sizes) == self.dimension else None

    @property
    def listable(self) -> bool:
        """Whether the space is small enough to go through all of it, so that its last configuration is found too."""
        return self.size is not None and self.size <= LISTABLE

    @property
    def _kinds(self) -> dict[str, Kind]:
        kinds = {p.name: p.kind for p in self.parameters}
        return kinds | {name: kind_of(value) for name, value in (self.constants or {}).items()}

    def canonical(self, config: Config) -> dict[str, Value]:
        """The configuration with its names written with underscores and in the space's order.

        Raises:
            SpaceError: as for ``validate``.
        """
        values = {canonical_name(name): value for name, value in config.items()}
        unknown = sorted(values.keys() - set(self.names))
        if unknown:
            raise SpaceError(f"unknown parameter {unknown[0]}; allowed: {', '.join(self.names)}")
        for parameter in self.parameters:
            if parameter.name not in values:
                raise SpaceError(f"{parameter.name}: no value given; allowed: {parameter.allowed}")
            if not parameter.accepts(values[parameter.name]):
                raise SpaceError(f"{parameter.name} = {values[parameter.name]!r}; allowed: {parameter.allowed}")
        return {name: values[name] for name in self.names}

    def validate(self, config: Config) -> None:
        """Raise SpaceError unless every parameter, and nothing else, has a value within its range.

        Grids (steps, powers of two) are what is searched, not what is legal: a default may lie between.
        """
        self.canonical(config)

    def violated(self, config: Config) -> tuple[str, ...]:
        """The texts of the known constraints that a configuration breaks."""
        values = {**(self.constants or {}), **config}
        return tuple(c.text for c in self._parsed if not c.holds(values))

    def allows(self, config: Config) -> bool:
        """Whether a configuration keeps all known constraints."""
        values = {**(self.constants or {}), **config}
        return all(c.holds(values) for c in self._parsed)

    def key(self, config: Config) -> Key:
        """The values in order: equal for equal configurations."""
        return tuple(config[name] for name in self.names)

    def encode(self, config: Config) -> FloatArray:
        """Configuration -> u (d,)."""
        return np.array([p.encode(config[p.name]) for p in self.parameters])

    def decode(self, u: FloatArray) -> dict[str, Value]:
        """A point u (d,), clipped to [0, 1], -> the nearest configuration on the grid."""
        return {p.name: p.decode(float(v)) for p, v in zip(self.parameters, u, strict=True)}

    def snap(self, u: FloatArray) -> FloatArray:
        """The coordinates (n, d) of the configurations nearest to u (n, d); snapping twice changes nothing."""
        return self.encode_all([self.decode(row) for row in u])

    def encode_all(self, configs: Sequence[Config]) -> FloatArray:
        """Configurations -> u (n, d)."""
        return np.array([self.encode(c) for c in configs]).reshape(len(configs), self.dimension)

    def features(self, u: FloatArray) -> FloatArray:
        """Snapped u (n, d) -> x (n, c) for the models."""
        return np.hstack([_one_hot(p, column) for p, column in zip(self.parameters, u.T, strict=True)])

    @property
    def numeric_features(self) -> tuple[int, ...]:
        """The columns of x that lie on an ordered axis of more than two levels: those that warping can bend."""
        widths = [_width(p) for p in self.parameters]
        starts = itertools.accumulate([0, *widths[:-1]])
        return tuple(
            start
            for start, width, p in zip(starts, widths, self.parameters, strict=True)
            if width == 1 and (p.size is None or p.size > 2)
        )

    def configurations(self) -> Iterator[dict[str, Value]]:
        """All configurations on the grid that keep the constraints; only where ``size`` is known."""
        levels = [[p.level(i) for i in range(p.size or 0)] for p in self.parameters]
        for values in itertools.product(*levels):
            config = dict(zip(self.names, values, strict=True))
            if self.allows(config):
                yield config


def _width(parameter: Parameter) -> int:
    """How many columns a parameter has in x."""
    unordered = isinstance(parameter, Choice) and not parameter.ordered and len(parameter.values) > 2
    return (parameter.size or 1) if unordered else 1


def _one_hot(parameter: Parameter, column: FloatArray) -> FloatArray:
    width = _width(parameter)
    if width == 1:
        return column[:, None] if not isinstance(parameter, Boolean) else (column[:, None] > 0.5).astype(np.float64)
    index = np.minimum((column * width).astype(int), width - 1)
    return np.asarray(np.eye(width)[index])
