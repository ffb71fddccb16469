"""What a study asks for that its measurements cannot judge, or that changes more than speed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from scoot_ray.engine.knowledge import CHANGES_ANSWERS, MISLED_BY_SYNTHETIC_PROMPTS
from scoot_ray.load.formats.tokens import text_of
from scoot_ray.load.trace import Request
from scoot_ray.simulator.models import UnknownModel, find_model
from scoot_ray.study import Study

_OFF = (False, 0, "none", "None")


def cautions(study: Study, names: Collection[str], requests: Sequence[Request]) -> Iterator[str]:
    """Yield lines for the study's author; ``names`` are the parameters of its space."""
    for name in names:
        if name in CHANGES_ANSWERS:
            yield f"space.{name}: changes the model's answers, which nothing here measures; judge them yourself"
    synthetic = sum(text_of(request) is None for request in requests)
    if not synthetic or study.engine.simulated:
        return
    told = f"{synthetic} of {len(requests)} rows of the trace have lengths alone, and their prompts are made up"
    for where, name in [
        *(("engine.args", name) for name, value in study.engine.args.items() if value not in _OFF),
        *(("space", name) for name in names),
    ]:
        if (why := MISLED_BY_SYNTHETIC_PROMPTS.get(name)) is not None:
            yield f"{where}.{name}: {told}: {why}, so its effect is not that of real traffic; use a trace with texts"
    if _is_mixture(study.engine.model):
        yield f"engine.model: {told}: in a mixture of experts the load of the experts hangs on the text"


def _is_mixture(model: str) -> bool:
    try:
        return find_model(model).experts > 1
    except UnknownModel:
        return False
