"""When to tune again: what is no longer the service that was proved, and what that means. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from scoot_ray.engine.flags import merged
from scoot_ray.rerun.changes import Change
from scoot_ray.rerun.endpoint import Endpoint, ServedModel

Topic: TypeAlias = Literal["simulation", "model", "engine", "flags", "length", "hardware", "load", "traffic"]

_MEANING: Mapping[Topic, str] = {
    "simulation": "what was proved is a model of the engine; nothing was ever measured on hardware",
    "model": "nothing that was proved is of this model",
    "engine": "defaults, schedulers and kernels change between versions: the best flags may be others now",
    "flags": "this endpoint does not serve the configuration that was proved; deploy it (scoot-ray export) first",
    "length": "other requests fit, and the memory for them is taken from the cache",
    "hardware": "memory and speed decide where the best flags lie",
    "load": "the promise is one for the rate that was proved",
    "traffic": "the flags were chosen for other requests than come today",
}
_SIMULATED = "simulated"
_CURED_BY_DEPLOYING: frozenset[Topic] = frozenset({"flags"})


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that has moved away from what was proved."""

    topic: Topic
    change: Change

    @property
    def means(self) -> str:
        """Why it matters."""
        return _MEANING[self.topic]

    @property
    def asks_to_tune(self) -> bool:
        """Whether tuning again is the cure."""
        return self.topic not in _CURED_BY_DEPLOYING


def service_drifts(result: Mapping[str, Any], served_name: str, endpoint: Endpoint, model: str) -> Iterator[Drift]:
    """Where the endpoint is not what the run's result was proved on; what it does not tell is not compared.

    ``served_name`` is the model's name in the run, ``model`` the one asked for here.
    """
    here = next((one for one in endpoint.models if one.name == model), ServedModel(model))
    engine, proved = result["engine"], str(result["serving"]["model"])
    yield from _engine(engine["engine_version"], endpoint.version, simulated=result["simulated"])
    if not _same_model({proved, served_name}, {name for name in (here.name, here.root) if name}):
        yield Drift("model", Change("model", proved, here.root or here.name))
    longest = engine["max_model_len"]
    if longest is not None and here.max_model_len not in {None, longest}:
        yield Drift("length", Change("max_model_len", str(longest), str(here.max_model_len)))
    if result["recommended"] is not None:
        flags = merged(result["serving"]["args"], result["recommended"]["config"])
        yield from (Drift("flags", change) for change in _flags(flags, endpoint.cache))


def hardware_drifts(then: Sequence[str] | None, now: Sequence[str] | None) -> Iterator[Drift]:
    """GPUs with their drivers, as an evaluation's node and this one say."""
    if then and now and set(then) != set(now):
        yield Drift("hardware", Change("GPU and driver", ", ".join(sorted(set(then))), ", ".join(sorted(set(now)))))


def _engine(then: str | None, now: str | None, *, simulated: bool) -> Iterator[Drift]:
    if then is None or now is None:
        return
    if simulated and _SIMULATED not in now:
        yield Drift("simulation", Change("engine", then, now))
        return
    same = _plain(then) == _plain(now) if simulated else then == now
    if not same:
        yield Drift("engine", Change("engine version", then, now))


def _plain(version: str) -> str:
    """Simulated versions are written ``0.32.0+simulated`` by a server, ``0.32.0 (simulated)`` in virtual time."""
    return version.partition(_SIMULATED)[0].rstrip(" +(")


def _flags(flags: Mapping[str, Any], told: Mapping[str, str]) -> Iterator[Change]:
    """The flags that the engine's metrics tell too, where they differ. ``auto`` and unset are the engine's choice."""
    for name, value in flags.items():
        said = told.get(name)
        if said not in {None, "None", "auto"} and value != "auto" and not _same_value(str(value), str(said)):
            yield Change(f"--{name.replace('_', '-')}", str(value), str(said))


def _same_value(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return one.lower() == other.lower()


def _same_model(proved: set[str], here: set[str]) -> bool:
    """By name, or by the last part of a path: the same weights often lie elsewhere."""
    return not {_last(name) for name in proved}.isdisjoint({_last(name) for name in here})


def _last(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2].lower()
