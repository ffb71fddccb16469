"""What a study asks for that its measurements cannot judge, or that changes more than speed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from scoot_ray.engine import spaces
from scoot_ray.engine.knowledge import CHANGES_ANSWERS, MISLED_BY_SYNTHETIC_PROMPTS
from scoot_ray.load.formats.tokens import text_of
from scoot_ray.load.trace import Request
from scoot_ray.search import Value
from scoot_ray.simulator.models import UnknownModel, find_model
from scoot_ray.study import Study

_OFF = (False, 0, "none", "None")
_ONE_GPU = {"ep_size": 1, "ep": 1, "expert_parallel_size": 1, "moe_expert_parallel_size": 1}
_MISLED = {**MISLED_BY_SYNTHETIC_PROMPTS, **spaces.MISLED_BY_SYNTHETIC_PROMPTS}


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
        *(("engine.args", name) for name, value in study.engine.args.items() if not _off(name, value)),
        *(("space", name) for name in names),
    ]:
        if (why := _MISLED.get(name.partition(".")[0])) is not None:
            yield f"{where}.{name}: {told}: {why}, so its effect is not that of real traffic; use a trace with texts"
    if _is_mixture(study.engine.model):
        yield f"engine.model: {told}: in a mixture of experts the load of the experts hangs on the text"


def _off(name: str, value: Value) -> bool:
    return value in _OFF or _ONE_GPU.get(name) == value


def _is_mixture(model: str) -> bool:
    try:
        return find_model(model).experts > 1
    except UnknownModel:
        return False
