"""A study's engine as the launch takes it: of which kind it is, and what all its evaluations share."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from scoot_ray.engine.flags import merged
from scoot_ray.engine.kinds import KINDS, Kind
from scoot_ray.engine.kinds.external import Outside
from scoot_ray.engine.launch import EngineOptions
from scoot_ray.load.client.dialect import Engine as Dialect
from scoot_ray.study import Engine, Study


def kind_of(study: Study) -> Kind:
    """What is particular to the study's engine."""
    return KINDS[study.engine.kind]


def options_of(study: Study, env: Mapping[str, str], switches: Collection[str]) -> EngineOptions:
    """How its servers are started; ``env`` has the secrets filled in."""
    engine = study.engine
    return EngineOptions(
        engine.model,
        engine.python,
        engine.args,
        env,
        switches,
        program=engine.command or (),
        kind=engine.kind,
        outside=outside_of(engine),
    )


def outside_of(engine: Engine) -> Outside:
    """Where an external one serves, and what ends it."""
    return Outside(engine.ready_url, engine.base_url, engine.stop_command or (), engine.api_key_variable)


def served_name(study: Study) -> str:
    """The name by which requests ask for its model."""
    return kind_of(study).served_name(study.engine.model, merged(study.engine.args, {}))


def dialect_of(study: Study) -> Dialect:
    """Whose fields its requests have."""
    return study.engine.dialect or kind_of(study).dialect
