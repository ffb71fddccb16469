"""What the installed engine can be tuned on: asked of its own argument parser, remembered on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scoot_ray.engine.flags import canonical
from scoot_ray.engine.kinds import FlagSource
from scoot_ray.engine.kinds.vllm import FLAGS
from scoot_ray.engine.launch import engine_environment
from scoot_ray.search.trial import Value

_DEADLINE_S = 120.0
_LOCATE_S = 30.0
_FORMAT = 1  # of the remembered files
# Finding an engine without importing it takes a twentieth of a second, importing it ten.
_LOCATE = """
import importlib.util, os, sys
spec = importlib.util.find_spec(sys.argv[1])
origin = spec and spec.origin or ""
print(origin + "\\n" + (str(os.stat(os.path.dirname(origin)).st_mtime_ns) if origin else ""))
"""


class EngineNotFound(RuntimeError):  # noqa: N818 - says what is wrong
    """There is no usable engine where one was expected. One line: which Python, what is missing, what to do."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of the engine. ``name`` has underscores; ``type`` is the parser's name for it, None for plain text."""

    name: str
    type: str | None
    choices: tuple[Value, ...]
    default: Value | None
    takes_value: bool
    negatable: bool


@dataclass(frozen=True, slots=True)
class EngineFlags:
    """The engine's version and its flags."""

    version: str
    flags: tuple[Flag, ...]

    @property
    def names(self) -> frozenset[str]:
        """The names of all flags, with underscores."""
        return frozenset(flag.name for flag in self.flags)

    @property
    def switches(self) -> frozenset[str]:
        """The booleans that have no ``--no-`` form, for :func:`scoot_ray.engine.flags.to_flags`."""
        return frozenset(flag.name for flag in self.flags if not flag.takes_value and not flag.negatable)

    def accepts(self, name: str) -> bool:
        """Whether the engine knows a parameter of this name, in either spelling."""
        return canonical(name) in self.names


def available_flags(
    python: str | None = None, env: Mapping[str, str] | None = None, source: FlagSource = FLAGS
) -> EngineFlags:
    """Return what the engine of ``python`` (None: this one) accepts; ``env`` as in a study's ``engine.env``.

    Takes ten seconds the first time, then comes from the user's cache until that engine changes.

    Raises:
        EngineNotFound: where there is no such Python, it has no such engine, or that cannot be imported.
    """
    python = python or sys.executable
    environment = engine_environment(env or {})
    location = _locate(python, environment, source)
    remembered = _cache_file(python, location)
    known = _recall(remembered)
    if known is None:
        known = _introspect(python, environment, source)
        _remember(remembered, known)
    return known


def _locate(python: str, environment: Mapping[str, str], source: FlagSource) -> str:
    """Return where that Python has the engine and when it was last changed, as one text."""
    output = _run([python, "-c", _LOCATE, source.module], environment, _LOCATE_S, source.module)
    if not output.split():
        raise EngineNotFound(
            f"{python} has no {source.module}: {source.install}, or set engine.python to a Python that has it"
        )
    return output


def _introspect(python: str, environment: Mapping[str, str], source: FlagSource) -> EngineFlags:
    """Ask the engine's argument parser."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "flags.json")  # a file, since the engine writes to its standard output as it likes
        _run([python, str(source.script), str(answer)], environment, _DEADLINE_S, source.module)
        return _from_json(json.loads(answer.read_text()))


def _run(argv: list[str], environment: Mapping[str, str], deadline_s: float, engine: str) -> str:
    """Run one of our scripts under the engine's Python and return its standard output."""
    try:
        done = subprocess.run(
            argv, check=False, env=dict(environment), capture_output=True, text=True, timeout=deadline_s
        )
    except OSError as error:
        raise EngineNotFound(f"cannot run {argv[0]}: {error.strerror}; set engine.python to a Python") from error
    except subprocess.TimeoutExpired as error:
        raise EngineNotFound(f"{argv[0]} took more than {deadline_s:.0f} s to say what its {engine} accepts") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise EngineNotFound(f"the {engine} of {argv[0]} does not work: {last}; repair that environment")
    return done.stdout


def _cache_file(python: str, location: str) -> Path:
    """Return where the answer for this engine is remembered."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(f"{_FORMAT}\n{python}\n{location}".encode()).hexdigest()[:24]
    return root / "scoot-ray" / f"engine-flags-{key}.json"


def _recall(file: Path) -> EngineFlags | None:
    """Return what was remembered; None where there is nothing that can be read."""
    try:
        return _from_json(json.loads(file.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(file: Path, known: EngineFlags) -> None:
    """Write in one move, so that a reader at the same time sees all or nothing; a full disk only costs time."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as written:
            json.dump(asdict(known), written)
        Path(written.name).replace(file)


def _from_json(data: Mapping[str, Any]) -> EngineFlags:
    flags = (Flag(**{**flag, "choices": tuple(flag["choices"])}) for flag in data["flags"])
    return EngineFlags(str(data["version"]), tuple(flags))
