"""What a team runs today, from the command it is started with. Pure; no shell is ever involved."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from scoot_ray.draft.programs import HOW, Program, recognised
from scoot_ray.draft.secrecy import is_secret
from scoot_ray.engine.flags import FlagError, canonical, parse_command
from scoot_ray.engine.kinds import Kind
from scoot_ray.search import Value

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_SHELL = re.compile(r"\$|`|^(?:[|&;<>()]+|\d?>.*|<.*)$|[;&]$")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FIRST_COUNTS = "served_model_name"
_TOKEN_FLAG, _TOKEN_VARIABLE = "hf_token", "HF_TOKEN"
_PLACED = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "VLLM_API_KEY", "VLLM_PORT", "VLLM_HOST_IP")
"""Variables that each evaluation sets for itself."""


@dataclass(frozen=True, slots=True)
class Today:
    """One serving command taken apart; ``kind`` is the engine's, and flags have the names of its space.

    ``taken`` are variables of the engine and the variables to take them from, secrets among them: no value is kept.
    ``gpus`` is how many devices the command names, None where it names none. ``notes`` say what was left out, and why.
    """

    model: str
    flags: Mapping[str, Value] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    taken: Mapping[str, str] = field(default_factory=dict)
    python: str | None = None
    gpus: int | None = None
    notes: tuple[str, ...] = ()
    kind: str = "vllm"


def read_command(command: str) -> Today:
    """Take a serving command apart: variables before it, the program, the model, the flags.

    Raises:
        FlagError: one line; it is no such command, needs a shell, or names no model. Never with a secret in it.
    """
    env, words = _assignments(_split(command))
    program, rest = recognised(words)
    model, rest = _model(rest, program)
    rest, hidden, said = _without_secrets(rest, program.kind)
    plain, taken, left = _environment(env)
    for word in (*([model] if model else []), *rest, *plain.values()):
        if _SHELL.search(word):
            raise FlagError(f"{word!r} is for a shell, and none is involved; write what it stands for")
    rest, doubled = _single_valued(rest)
    model, flags = _named(program, model, rest)
    own = sorted(name for name in flags if name in program.kind.own)
    if own:
        left.append(f"{', '.join(own)}: left out; every evaluation sets them for itself")
    return Today(
        model=model,
        flags={name: value for name, value in flags.items() if name not in program.kind.own},
        env=plain,
        taken={**dict.fromkeys(hidden, _TOKEN_VARIABLE), **taken},
        python=_python(words[0], program),
        gpus=_devices(env),
        notes=(*doubled, *said, *left),
        kind=program.kind.name,
    )


def _named(program: Program, model: str | None, words: Sequence[str]) -> tuple[str, dict[str, Value]]:
    """The model, and the flags by the names that the space has."""
    parsed = parse_command(words)
    flags = {name: value for name, value in parsed.flags.items() if name not in program.model}
    given = [parsed.flags[name] for name in program.model if name in parsed.flags]
    named = model or parsed.model or (str(given[0]) if given else None)
    if named is None:
        raise FlagError(f"no model is named: {HOW}")
    return named, program.renamed(flags)


def _split(command: str) -> list[str]:
    try:
        return shlex.split(re.sub(r"\\\r?\n", " ", command), comments=True)
    except ValueError as error:
        raise FlagError(f"the command cannot be split into words: {str(error).lower()}") from error


def _assignments(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The variables in front, after ``export`` and ``env`` as well, and the rest."""
    env: dict[str, str] = {}
    for at, word in enumerate(words):
        if found := _ASSIGNMENT.fullmatch(word):
            env[found[1]] = found[2].rstrip(";")
        elif word not in {"export", "env", "exec", "&&", ";"}:
            return env, list(words[at:])
    return env, []


def _model(words: Sequence[str], program: Program) -> tuple[str | None, list[str]]:
    """The model where it stands before the flags, or alone after a flag that has its value already."""
    if words and not _is_flag(words[0]):
        return words[0], list(words[1:])
    named = any(canonical(word.partition("=")[0]) in program.model for word in words if _is_flag(word))
    if not named and len(words) > 2 and not any(_is_flag(word) for word in (words[-1], words[-2])):
        return words[-1], list(words[:-1])
    return None, list(words)


def _single_valued(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words without flags of several values, which a study cannot hold; and what to say of them."""
    kept: list[str] = []
    notes: list[str] = []
    for flag, values in _grouped(words):
        if canonical(flag) == _FIRST_COUNTS:
            kept += [flag, *values[:1]]
        elif len(values) > 1:
            notes.append(f"warning: {flag}: left out; it has {len(values)} values, and a study holds one for each flag")
        else:
            kept += [flag, *values]
    return kept, notes


def _grouped(words: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Each flag with the words after it."""
    groups: list[tuple[str, list[str]]] = []
    for word in words:
        if _is_flag(word) or not groups:
            groups.append((word, []))
        else:
            groups[-1][1].append(word)
    return groups


def _without_secrets(words: Sequence[str], kind: Kind) -> tuple[list[str], list[str], list[str]]:
    """The words without flags that hold a secret, variables to take them from, and what to say of them."""
    kept: list[str] = []
    variables: list[str] = []
    notes: list[str] = []
    for flag, values in _grouped(words):
        name, _, inline = flag.partition("=")
        key = canonical(name)
        text = " ".join([inline, *values]).strip()
        if key in kind.own and is_secret(key, text):
            instead = "makes a key of its own" if kind.key_variable else "listens on loopback, without a key"
            notes.append(f"{name}: left out; every evaluation {instead}")
        elif key == _TOKEN_FLAG:
            variables.append(_TOKEN_VARIABLE)
            notes.append(f"{name}: its value is not written; the study takes it from the variable {_TOKEN_VARIABLE}")
        elif is_secret(key, text):
            notes.append(f"warning: {name}: left out, since it holds a secret; give it to the engine by a variable")
        else:
            kept += [flag, *values]
    return kept, variables, notes


def _environment(env: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """The variables to keep, those to take from others (secrets, from their own name), and what to say of the rest."""
    ours = {name: value for name, value in env.items() if name not in _PLACED and not name.startswith("RAY_")}
    named = {name: found[1] or found[2] for name, value in ours.items() if (found := _VARIABLE.fullmatch(value))}
    secret = {name: name for name, value in ours.items() if name not in named and is_secret(name, value)}
    notes = [f"{name}: its value is not written; the study takes it from the variable of that name" for name in secret]
    if left := sorted(env.keys() - ours.keys()):
        notes.append(f"{', '.join(left)}: left out; every evaluation sets them for itself")
    taken = {**named, **secret}
    return {name: value for name, value in ours.items() if name not in taken}, taken, notes


def _python(run: str, program: Program) -> str | None:
    """The Python of the command, where it is named by a path: itself, or the one beside the engine's script."""
    path = PurePosixPath(run)
    if "/" not in run:
        return None
    return str(path.with_name("python")) if path.name == program.script else run


def _devices(env: Mapping[str, str]) -> int | None:
    listed = [one for one in env.get("CUDA_VISIBLE_DEVICES", "").split(",") if one.strip()]
    return len(listed) or None


def _is_flag(word: str) -> bool:
    return word.startswith("-") and not _NUMBER.fullmatch(word)
