"""One study's need of GPU memory: as a known constraint of its space, and as arithmetic for one configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scoot_ray.engine.models import ModelFacts
from scoot_ray.engine.rules import bind
from scoot_ray.precheck.known import Fixed, Known, verdict_on
from scoot_ray.precheck.memory import Needs, arithmetic
from scoot_ray.search import Config, Float, Integer, Parameter, SearchSpace, Value

RULE = "memory"
_UTILIZATION, _TOKENS, _LENGTH = "gpu_memory_utilization", "max_num_batched_tokens", "max_model_len"
_LESS_IS_LIGHTER = frozenset({_TOKENS, _LENGTH})


@dataclass(frozen=True, slots=True)
class Room:
    """What the model needs, the space it is searched in, and what the study fixes."""

    needs: Needs
    space: SearchSpace
    fixed: Fixed
    default_length: int | None

    @staticmethod
    def of(needs: Needs, space: SearchSpace, fixed: Fixed, facts: ModelFacts) -> Room:
        """The same from the model's facts."""
        return Room(needs, space, fixed, facts.default_length)

    @property
    def known(self) -> Known:
        """The known constraint: monotone in every parameter, so that the ends of their ranges decide."""
        left = {name: value for name, value in self._values.items() if name not in self.space.names}
        text = bind(self.needs.text(self._tokens, self._length), left)
        verdict = verdict_on(text, self.space, monotone=True)
        return Known(text, RULE, "weights, activations and KV cache must fit", self.needs.memory.source, verdict)

    def sum_of(self, config: Config) -> str:
        """The arithmetic for one configuration, in one line."""
        values = {**self._values, **config}
        return arithmetic(self.needs, values, _number(self._tokens, values), _number(self._length, values))

    @property
    def least(self) -> str:
        """The same where every parameter is the most favourable."""
        return self.sum_of({one.name: _lightest(one) for one in self.space.parameters})

    @property
    def _values(self) -> Mapping[str, Value]:
        share = self.fixed.values.get(_UTILIZATION)
        usable = share if isinstance(share, int | float) and not isinstance(share, bool) else 1.0
        return {**self.fixed.values, _UTILIZATION: usable}

    @property
    def _tokens(self) -> str:
        return self._place(_TOKENS)

    @property
    def _length(self) -> str:
        if _LENGTH in self.fixed.given or _LENGTH in self.space.names:
            return self._place(_LENGTH)
        return str(self.default_length or 0)

    def _place(self, name: str) -> str:
        """A flag's name where it is searched, its number where the study fixes it, 0 where nobody says."""
        if name in self.space.names:
            return name
        value = self.fixed.values.get(name) if name in self.fixed.given else None
        return str(value) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else "0"


def _number(place: str, values: Mapping[str, Value]) -> int:
    return int(place) if place.isdigit() else int(values[place])


def _lightest(parameter: Parameter) -> Value:
    """The value with which an engine needs the least of each GPU, or may take the most."""
    if isinstance(parameter, Float):
        return parameter.high
    levels = [
        parameter.level(index)
        for index in ((0, parameter.size - 1) if isinstance(parameter, Integer) else range(parameter.size))
    ]
    numbers = [level for level in levels if not isinstance(level, str)]
    if len(numbers) < len(levels):
        return levels[0]
    return min(numbers) if parameter.name in _LESS_IS_LIGHTER else max(numbers)
