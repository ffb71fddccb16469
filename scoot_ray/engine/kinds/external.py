"""A service that the user's own command starts: engines on several nodes, prefill apart from decoding, a router.

Nothing is known of it but its command, a URL that answers 200 when it is ready, and where it serves. No shell is ever
involved: each word of the command is filled in and stays one word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scoot_ray.engine.flags import canonical
from scoot_ray.engine.kinds.kind import Kind, Start, name_in_flags

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][\w.-]*)\}")
_WHERE = ("host", "port")


@dataclass(frozen=True, slots=True)
class Outside:
    """Where a service of the user's own is ready and serves (None: where it was told to), and what ends it.

    URLs may have ``{host}`` and ``{port}``. ``key_variable`` names the variable of its environment that holds the API
    key to send.
    """

    ready_url: str | None = None
    base_url: str | None = None
    stop_command: tuple[str, ...] = ()
    key_variable: str | None = None


INSIDE = Outside()
"""Ready and serving where it was told to."""


class BadTemplate(ValueError):  # noqa: N818 - says what is wrong
    """A command or URL with a placeholder that means nothing, or a parameter that goes nowhere."""


def command(start: Start) -> list[str]:
    """The user's command with every placeholder filled in."""
    values = {"model": start.model, "host": start.host, "port": start.port, **start.flags}
    return [filled(word, values) for word in start.program]


def placed(url: str | None, start: Start) -> str | None:
    """The URL with its placeholders filled in."""
    return None if url is None else filled(url, {"host": start.host, "port": start.port})


def filled(word: str, values: Mapping[str, bool | int | float | str]) -> str:
    """The word with its placeholders replaced; booleans are ``true`` and ``false``."""
    return _PLACEHOLDER.sub(lambda found: _text(values[canonical(found[1])]), word)


def check_templates(command: Sequence[str], outside: Outside, names: Iterable[str]) -> None:
    """Check the placeholders of a command against the parameters, and those of the URLs and the stop command.

    Raises:
        BadTemplate: an unknown placeholder, or a parameter that no word of the command takes.
    """
    parameters = sorted(names)
    _check_known("command", command, ("model", *_WHERE, *parameters))
    _check_known("stop_command", outside.stop_command, ("model", *_WHERE, *parameters))
    _check_known("ready_url", [outside.ready_url or ""], _WHERE)
    _check_known("base_url", [outside.base_url or ""], _WHERE)
    used = {name for word in command for name in _named(word)}
    if unused := [name for name in parameters if name not in used]:
        raise BadTemplate(f"command: has no {{{unused[0]}}}: that parameter would change nothing; use it or remove it")


def _check_known(key: str, words: Iterable[str], known: Sequence[str]) -> None:
    unknown = [name for word in words for name in _named(word) if name not in known]
    if unknown:
        allowed = ", ".join("{" + name + "}" for name in known)
        raise BadTemplate(f"{key}: {{{unknown[0]}}}: unknown placeholder; allowed are {allowed}")


def _named(word: str) -> list[str]:
    return [canonical(found[1]) for found in _PLACEHOLDER.finditer(word)]


def _text(value: bool | int | float | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


EXTERNAL = Kind(
    name="external",
    title="an external service",
    dialect="vllm",
    command=command,
    show=command,
    served_name=name_in_flags,
    source=None,
    own=frozenset({"model", "host", "port"}),
    parallel=(),
    limits={name: name for name in ("max_num_seqs", "max_num_batched_tokens", "data_parallel_size")},
    longest="max_model_len",
    replicated=False,
)
