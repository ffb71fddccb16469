"""How all formats write: comments that cannot be broken out of, and YAML that every parser reads alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./:-]*[A-Za-z0-9]|/")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "nan", "inf"})


class _Dumper(yaml.SafeDumper):
    """Quotes every text that some YAML parser might take for something else, such as 1e5 or on."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - no anchors: not every reader has them
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS and not text.endswith(":")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _text)


def commented(header: Iterable[str], notes: Sequence[str] = ()) -> str:
    """The header and notes as lines of comment."""
    return "".join(f"# {printable(line)}\n" for line in (*header, *notes))


def printable(text: str) -> str:
    """The text without anything that could end a comment's line."""
    return "".join(character if character.isprintable() else "?" for character in text)


def yaml_text(*documents: Any) -> str:
    """Documents as YAML, keys in their order."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=2**20, explicit_start=len(documents) > 1)
