"""Configuration <-> command line. Pure; no shell is ever involved.

A configuration names parameters with underscores (``max_num_seqs``), the engine's command line with dashes
(``--max-num-seqs``); everywhere in this package the two spellings are the same parameter.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from scoot_ray.search.trial import Config, Value

_NAME = re.compile(r"[A-Za-z][\w.]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SHORT = {
    "-tp": "tensor_parallel_size",
    "-pp": "pipeline_parallel_size",
    "-dp": "data_parallel_size",
    "-dcp": "decode_context_parallel_size",
    "-q": "quantization",
    "-asc": "api_server_count",
    "-cc": "compilation_config",
}


class FlagError(ValueError):
    """A command line that cannot be read as ``--name value`` pairs."""


@dataclass(frozen=True, slots=True)
class Command:
    """A serving command taken apart: the model, where one was named, and the flags."""

    model: str | None
    flags: Mapping[str, Value] = field(default_factory=dict)


def canonical(name: str) -> str:
    """Return the one spelling used inside: ``--max-num-seqs`` and ``max-num-seqs`` become ``max_num_seqs``."""
    return name.lstrip("-").replace("-", "_")


def to_flags(config: Config, switches: Collection[str] = ()) -> tuple[str, ...]:
    """Return the arguments that ask for ``config``, in its order.

    Booleans become ``--x`` or ``--no-x``. The engine's ``switches`` know no ``--no-x`` (every boolean of the 0.4 era,
    a few later ones): they are left out when false, or become ``--x=False`` where the switch is named ``x=``.
    """
    without_no = {canonical(name) for name in switches}
    return tuple(word for name, value in config.items() for word in _words(canonical(name), value, without_no))


def parse_flags(command: str | Sequence[str]) -> dict[str, Value]:
    """Return the flags of ``command``, without its model; see :func:`parse_command`."""
    return dict(parse_command(command).flags)


def parse_command(command: str | Sequence[str]) -> Command:
    """Read ``--x 1 --y=2 --no-z --flag``, alone or after ``vllm serve MODEL`` or ``python -m ...api_server``.

    Numbers become int or float, flags without a value True or False, the rest stays text; of a repeated flag the last
    counts. A word after a flag is its value, so a model stands before the flags or in ``--model``.

    Raises:
        FlagError: where quotes do not match, a flag has no usable name, or a word belongs to no flag.
    """
    words = _after_program(_split(command))
    positional = words.pop(0) if words and not words[0].startswith("-") else None
    flags = dict(_pairs(words))
    named = flags.pop("model", None)
    return Command(positional if named is None else str(named), flags)


def serve_command(model: str, args: Config, config: Config, switches: Collection[str] = ()) -> list[str]:
    """Return ``vllm serve MODEL ...``; where both name a parameter, ``config`` wins over the fixed ``args``."""
    return ["vllm", "serve", model, *to_flags(merged(args, config), switches)]


def quoted(argv: Sequence[str]) -> str:
    """Return ``argv`` as one line to paste into a shell."""
    return shlex.join(argv)


def merged(args: Config, config: Config) -> dict[str, Value]:
    """Return the fixed ``args`` overlaid with ``config``, by canonical names."""
    return {canonical(name): value for part in (args, config) for name, value in part.items()}


def _words(name: str, value: Value, without_no: Collection[str]) -> tuple[str, ...]:
    """Return the one or two words that set one parameter."""
    flag = name.replace("_", "-")
    if value is True:
        return (f"--{flag}",)
    if value is False:
        if f"{name}=" in without_no:
            return (f"--{flag}=False",)
        return () if name in without_no else (f"--no-{flag}",)
    text = str(value)
    if text.startswith("-") or not text:
        return (f"--{flag}={text}",)  # as a word of its own it would be taken for the next flag
    return (f"--{flag}", text)


def _split(command: str | Sequence[str]) -> list[str]:
    """Return the words of ``command``, continued lines joined."""
    if not isinstance(command, str):
        return list(command)
    try:
        return shlex.split(command.replace("\\\n", " "))
    except ValueError as error:
        raise FlagError(f"cannot split the command {command!r}: {str(error).lower()}") from error


def _after_program(words: list[str]) -> list[str]:
    """Return ``words`` without what only starts the engine: assignments, python and module, or its own program."""
    rest = list(words)
    while rest and _ASSIGNMENT.fullmatch(rest[0]):
        rest.pop(0)
    if len(rest) > 2 and rest[1] == "-m" and "python" in rest[0]:
        return rest[3:]
    if len(rest) > 1 and rest[0].rpartition("/")[2] in {"vllm", "sglang"} and rest[1] == "serve":
        return rest[2:]
    if rest and rest[0].rpartition("/")[2] == "trtllm-serve":
        return rest[2:] if rest[1:2] == ["serve"] else rest[1:]
    return rest


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, Value]]:
    """Yield (name, value) of every flag in ``words``."""
    at = 0
    while at < len(words):
        name, given, text = words[at].partition("=")
        following = words[at + 1] if at + 1 < len(words) else None
        at += 1
        if given:
            yield _name(name), _value(text)
        elif following is not None and not _is_flag(following):
            yield _name(name), _value(following)
            at += 1
        elif name.startswith("--no-"):
            yield _name("--" + name.removeprefix("--no-")), False
        else:
            yield _name(name), True


def _is_flag(word: str) -> bool:
    return word.startswith("-") and not _NUMBER.fullmatch(word)


def _name(word: str) -> str:
    """Return the parameter a flag names."""
    if word in _SHORT:
        return _SHORT[word]
    name = canonical(word)
    if not word.startswith("--") or not _NAME.fullmatch(name):
        raise FlagError(f"cannot read {word!r} as a flag: expected --name value, --name=value, --name or --no-name")
    return name


def _value(text: str) -> Value:
    """Return ``text`` as the number it is, or as it stands."""
    if not _NUMBER.fullmatch(text):
        return text
    try:
        return int(text)
    except ValueError:
        return float(text)
