"""What the installed engine can be tuned on: asked of its own argument parser, remembered on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from scoot_ray.engine.flags import canonical
from scoot_ray.engine.kinds import FlagSource
from scoot_ray.engine.kinds.vllm import FLAGS
from scoot_ray.engine.launch import engine_environment
from scoot_ray.search.trial import Config, Value

_DEADLINE_S = 300.0  # ten seconds on a quiet machine
_LOCATE_S = 30.0
_ROUND_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([kKmMgGtT])")
_FORMAT = 2  # of the remembered files
# Finding an engine without importing it takes a twentieth of a second, importing it ten.
_LOCATE = """
import importlib.util, os, sys
spec = importlib.util.find_spec(sys.argv[1])
origin = spec and spec.origin or ""
folder = os.path.dirname(origin)
parser = os.path.join(folder, sys.argv[2])
seen = [file for file in (folder, parser) if origin and os.path.exists(file)]
print(origin + "\\n" + " ".join(str(os.stat(file).st_mtime_ns) for file in seen))
"""


class EngineNotFound(RuntimeError):  # noqa: N818 - says what is wrong
    """There is no usable engine where one was expected. One line: which Python, what is missing, what to do."""


class EngineMissing(EngineNotFound):
    """A Python that works has no engine of this kind."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of the engine. ``name`` has underscores; ``type`` is the parser's name for it, None for plain text.

    A ``type`` "bool" is spelt ``--x`` or ``--x=False``; other booleans take no value and are ``negatable`` where there
    is a ``--no-x``. ``default`` is None where the engine decides while it starts. ``group`` is the heading the engine
    puts the flag under, ``deprecated`` whether it says so of it.
    """

    name: str
    type: str | None
    choices: tuple[Value, ...]
    default: Value | None
    takes_value: bool
    negatable: bool
    group: str | None = None
    deprecated: bool = False

    @property
    def boolean(self) -> bool:
        """Whether it is true or false."""
        return self.type == "bool" or not self.takes_value


@dataclass(frozen=True, slots=True)
class EngineFlags:
    """The engine's version and its flags; ``kind`` says whose engine it is."""

    version: str
    flags: tuple[Flag, ...]
    kind: str = "vllm"

    @property
    def names(self) -> frozenset[str]:
        """The names of all flags, with underscores."""
        return frozenset(flag.name for flag in self.flags)

    @property
    def switches(self) -> frozenset[str]:
        """The booleans that have no ``--no-`` form, as :func:`scoot_ray.engine.flags.to_flags` wants them named.

        Those with a value end in ``=``.
        """
        valued = {f"{flag.name}=" for flag in self.flags if flag.type == "bool"}
        return frozenset({flag.name for flag in self.flags if not flag.takes_value and not flag.negatable} | valued)

    def typed(self, config: Config) -> dict[str, Value]:
        """``config`` as read from a command line, with each text that a flag takes for a number or boolean as that.

        Such are ``8k`` (8,000) and ``8K`` (8,192), which newer versions take, and ``--x=False`` of older ones.
        """
        return {canonical(name): _typed(self.find(name), value) for name, value in config.items()}

    def find(self, name: str) -> Flag | None:
        """The flag of this name, in either spelling."""
        wanted = canonical(name)
        return next((flag for flag in self.flags if flag.name == wanted), None)

    def accepts(self, name: str) -> bool:
        """Whether the engine knows a parameter of this name, in either spelling."""
        return canonical(name) in self.names


def _typed(flag: Flag | None, value: Value) -> Value:
    if flag is None or not isinstance(value, str):
        return value
    if flag.type == "bool" and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if flag.type == "int" and (match := _ROUND_NUMBER.fullmatch(value)):
        base, power = (1024, match[2]) if match[2].isupper() else (1000, match[2].upper())
        return round(float(match[1]) * float(base) ** (1 + "KMGT".index(power)))
    return value


def available_flags(
    python: str | None = None, env: Mapping[str, str] | None = None, source: FlagSource = FLAGS
) -> EngineFlags:
    """Return what the engine of ``python`` (None: this one) accepts; ``env`` as in a study's ``engine.env``.

    Takes ten seconds the first time, then comes from the user's cache until that engine changes.

    Raises:
        EngineNotFound: where there is no such Python, it has no such engine (EngineMissing), or that does not import.
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
    output = _run([python, "-c", _LOCATE, source.module, source.parser], environment, _LOCATE_S, source.module)
    if not output.split():
        raise EngineMissing(
            f"{python} has no {source.module}: {source.install}, or set engine.python to a Python that has it"
        )
    return output


def _introspect(python: str, environment: Mapping[str, str], source: FlagSource) -> EngineFlags:
    """Ask the engine's argument parser."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "flags.json")  # a file, since the engine writes to its standard output as it likes
        _run([python, str(source.script), str(answer)], environment, _DEADLINE_S, source.module)
        return replace(flags_from_json(json.loads(answer.read_text())), kind=source.kind)


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
        instead = ", or let engine.help name a recorded help text" if engine == FLAGS.module else ""
        raise EngineNotFound(f"the {engine} of {argv[0]} does not work: {last}; repair that environment{instead}")
    return done.stdout


def _cache_file(python: str, location: str) -> Path:
    """Return where the answer for this engine is remembered."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(f"{_FORMAT}\n{python}\n{location}".encode()).hexdigest()[:24]
    return root / "scoot-ray" / f"engine-flags-{key}.json"


def _recall(file: Path) -> EngineFlags | None:
    """Return what was remembered; None where there is nothing that can be read."""
    try:
        return flags_from_json(json.loads(file.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(file: Path, known: EngineFlags) -> None:
    """Write in one move, so that a reader at the same time sees all or nothing; a full disk only costs time."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as written:
            json.dump(asdict(known), written)
        Path(written.name).replace(file)


def flags_from_json(data: Mapping[str, Any]) -> EngineFlags:
    """Return what :mod:`scoot_ray.engine.introspect` wrote."""
    flags = (Flag(**{**flag, "choices": tuple(flag["choices"])}) for flag in data["flags"])
    return EngineFlags(str(data["version"]), tuple(flags), data.get("kind", "vllm"))
