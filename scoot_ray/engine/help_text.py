"""A recorded help text -> what the engine accepts, for where its argument parser cannot be asked.

Read is what argparse prints. Older versions do not print defaults, and none prints types: a flag without a default
there has None, and its type is that of its default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from scoot_ray.engine.catalogue import EngineFlags, Flag
from scoot_ray.engine.introspect import DEPRECATED
from scoot_ray.search.trial import Value

_VERSION = re.compile(r"\bv?(\d+\.\d+(?:\.\w+)*(?:\+[\w.]+)?)")
_HEADING = re.compile(r"(\S.*):\s*$")
_ENTRY = re.compile(r"  (-\S.*?)(?:\s{2,}(\S.*))?$")
_NAME = re.compile(r"(?<![\w-])--([A-Za-z][\w.-]*)")
_CHOICES = re.compile(r"\{([^{}]*)\}")
_DEFAULT = re.compile(r"\(default: (.*)\)\s*$", re.DOTALL)
_RICH = re.compile(r"[\[{(<]|\w+\(|[A-Z]\w*\.[A-Z0-9_]+$")  # collections, objects, members of enumerations
_PLAIN_HEADINGS = {"options", "optional arguments", "positional arguments", "usage"}
_TEXT_OR_NOTHING = {"hf_token"}  # ``--x`` or ``--x TEXT``: all others of that form are booleans


class BadHelp(ValueError):  # noqa: N818 - says what is wrong
    """The text is no help text, or does not say of which version it is."""


@dataclass(slots=True)
class _Entry:
    """One flag's lines as they are met: ``head`` names it, ``text`` is its help."""

    group: str | None
    head: str
    text: list[str] = field(default_factory=list)


def flags_from_help(text: str, kind: str = "vllm") -> EngineFlags:
    """Return the flags of a help text that begins with the version, as ``vllm --version`` prints it.

    Raises:
        BadHelp: no version in the lines before the usage, or no flags.
    """
    above, _, _ = text.partition("usage:")
    version = _VERSION.search(above)
    if version is None:
        raise BadHelp(
            "does not begin with the engine's version: allowed is the output of 'vllm --version', then of --help"
        )
    flags = tuple(_flag(entry) for entry in _entries(text.splitlines()))
    if not flags:
        raise BadHelp(
            "lists no flags: allowed is the output of 'vllm serve --help=all', or of --help of older versions"
        )
    return EngineFlags(version[1], flags, kind)


def _entries(lines: list[str]) -> Iterator[_Entry]:
    """Yield every flag that has a long name and is not ``--help``."""
    entry: _Entry | None = None
    group: str | None = None
    for line in lines:
        if heading := _HEADING.fullmatch(line):
            group = None if heading[1].lower() in _PLAIN_HEADINGS else heading[1]
        if line.strip() and not line.startswith("  "):
            yield from _done(entry)
            entry = None
        elif started := _ENTRY.fullmatch(line):
            yield from _done(entry)
            entry = _Entry(group, started[1], [started[2] or ""])
        elif entry is not None:
            entry.text.append(line.strip())
    yield from _done(entry)


def _done(entry: _Entry | None) -> Iterator[_Entry]:
    if entry is not None and (found := _NAME.search(entry.head)) and found[1] != "help":
        yield entry


def _flag(entry: _Entry) -> Flag:
    names = _NAME.findall(_CHOICES.sub("", entry.head))
    name = names[0].replace("-", "_")
    text = " ".join(part for part in entry.text if part)
    choices = _CHOICES.search(entry.head)
    default = _default(text)
    rest = entry.head.partition(f"--{names[0]}")[2].lstrip()
    takes_value = bool(rest) and not rest.startswith((",", "-"))
    optional = re.match(r"\[\w+\]", rest) is not None and name not in _TEXT_OR_NOTHING
    return Flag(
        name=name,
        type="bool" if optional else _type_of(default),
        choices=_values(choices[1]) if choices else (),
        default=default,
        takes_value=takes_value,
        negatable=any(other.startswith("no-") for other in names[1:]),
        group=entry.group,
        deprecated=bool(DEPRECATED.search(text)),
    )


def _default(text: str) -> Value | None:
    """Return the default that the help states, None for none and for anything richer than a plain value."""
    stated = _DEFAULT.search(text)
    return None if stated is None or _RICH.match(stated[1]) else _value(stated[1])


def _values(listed: str) -> tuple[Value, ...]:
    values = (_value(part.strip()) for part in listed.split(","))
    return tuple(value for value in values if value is not None)


def _value(text: str) -> Value | None:
    """Return a text as the value Python would print so."""
    if text in {"None", "True", "False"}:
        return {"None": None, "True": True, "False": False}[text]
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _type_of(default: Value | None) -> str | None:
    return type(default).__name__ if isinstance(default, int | float) and not isinstance(default, bool) else None
