"""The study file as text: safe YAML, and one line for whatever is wrong with it: key, value, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from scoot_ray.study.base import Section, StudyError
from scoot_ray.study.sections import Study


def read_study(path: Path) -> Study:
    """Read and check a study file.

    Relative paths in it (trace, model, engine.python, output) are resolved: see ``resolved``.

    Raises:
        StudyError: one line with file, key, value and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    return parse_study(text, str(path))


def parse_study(text: str, where: str) -> Study:
    """The same for a text; ``where`` names it in errors.

    Raises:
        StudyError: as read_study.
    """
    document = _load(text, where)
    try:
        return Study.model_validate(document)
    except ValidationError as error:
        raise StudyError(f"{where}: {_one_line(error, document)}") from error


_LISTS = {"warm_start": " of other runs' folders, such as [runs/chat-13b]"}
"""What a list is of, where its name does not say so."""


class _UniqueKeys(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, where plain YAML keeps the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _load(text: str, where: str) -> dict[str, Any]:
    try:
        document = yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}" if mark else where
        raise StudyError(f"{place}: not valid YAML: {getattr(error, 'problem', error)}") from error
    except (RecursionError, TypeError, ValueError) as error:
        raise StudyError(f"{where}: not a plain YAML mapping: {error}") from error
    if not isinstance(document, dict):
        raise StudyError(f"{where}: a study is a mapping of keys such as name, engine, workload; this is not")
    return document


def _one_line(error: ValidationError, document: Mapping[str, Any]) -> str:
    """The first thing wrong, as ``key: value: what is allowed``. Unknown keys go first: they explain missing ones."""
    errors = error.errors(include_url=False)
    first = next((entry for entry in errors if entry["type"] == "extra_forbidden"), errors[0])
    key = _key(first["loc"], document)
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key{_nearest(first['loc'])}"
    if first["type"] == "missing":
        return f"{key}: missing; it is required"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "tuple_type":  # YAML knows lists alone
        message = f"should be a list{_LISTS.get(key, '')}"
    if not first["loc"] or isinstance(first["input"], dict | BaseModel):
        return f"{key}: {message}" if key else message
    return f"{key}: {first['input']!r}: {message[0].lower()}{message[1:]}"


def _key(loc: tuple[int | str, ...], document: Mapping[str, Any]) -> str:
    """The location as the author wrote it; pydantic's own names of union members are left out."""
    node: Any = document
    parts: list[str] = []
    for index, part in enumerate(loc):
        inside = isinstance(node, Mapping) and any(_same(part, key) for key in node)
        if inside or isinstance(node, list) or (index == len(loc) - 1 and isinstance(node, Mapping)):
            parts.append(str(part))
            node = next((node[key] for key in node if _same(part, key)), None) if isinstance(node, Mapping) else None
    return ".".join(parts)


def _same(part: int | str, key: object) -> bool:
    return str(key).lstrip("-").replace("-", "_") == str(part).replace("-", "_")


def _nearest(loc: tuple[int | str, ...]) -> str:
    known = sorted({name for section in Section.__subclasses__() for name in section.model_fields})
    close = difflib.get_close_matches(str(loc[-1]), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known keys are {', '.join(Study.model_fields)}"
