"""Writes what an installed vLLM accepts as JSON into the file named by its argument.

A script of its own, stdlib and vllm only: it runs under the engine's Python, which may be older than ours and knows
nothing of this package.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
import sys
from collections.abc import Sequence
from typing import Any

PARSERS = ("vllm.entrypoints.launchers.cli_args", "vllm.entrypoints.openai.cli_args")
BASES = ("vllm.utils.argparse_utils", "vllm.utils")
DEPRECATED = re.compile(r"^\W*deprecated\b|\bis deprecated\b|\[deprecated\]|\(deprecated\b", re.IGNORECASE)
_PLAIN_GROUPS = {"options", "optional arguments", "positional arguments"}


def main() -> None:
    """Run from the command line."""
    import vllm  # noqa: PLC0415 - what this script is there to find out

    parser = make_parser(first_of(PARSERS, "make_arg_parser"))
    groups = {action: group.title for group in parser._action_groups for action in group._group_actions}
    marked: Any = getattr(parser, "_deprecated", set())
    flags = [
        {**described(action), "group": group_of(groups.get(action)), "deprecated": deprecated(action, marked)}
        for action in parser._actions
        if wanted(action)
    ]
    with open(sys.argv[1], "w") as file:  # noqa: PTH123 - plain on purpose
        json.dump({"version": vllm.__version__, "flags": flags}, file)


def first_of(modules: Sequence[str], name: str) -> Any:
    """Return ``name`` from the first of the modules that this version has, None where none does."""
    for module in modules:
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    return None


def make_parser(make: Any) -> argparse.ArgumentParser:
    """Call ``make_arg_parser``, which took no parser before vLLM 0.5."""
    if make is None:
        raise SystemExit("this vllm has no make_arg_parser where any known version has it")
    base = first_of(BASES, "FlexibleArgumentParser") or argparse.ArgumentParser
    parser: argparse.ArgumentParser = make(base()) if inspect.signature(make).parameters else make()
    return parser


def wanted(action: argparse.Action) -> bool:
    """Whether an action is a flag with a long name that sets something."""
    return any(name.startswith("--") for name in action.option_strings) and action.dest != "help"


def described(action: argparse.Action) -> dict[str, Any]:
    """Return one flag as plain data."""
    names = [name for name in action.option_strings if name.startswith("--")]
    choices = [plain(choice) for choice in action.choices or []]
    return {
        "name": names[0][2:].replace("-", "_"),
        "type": "bool" if is_valued_boolean(action) else type_name(action.type),
        "choices": [choice for choice in choices if choice not in {None, "None"}],
        "default": plain(action.default),
        "takes_value": action.nargs != 0,
        "negatable": any(name.startswith("--no-") for name in names[1:]),
    }


def is_valued_boolean(action: argparse.Action) -> bool:
    """Whether a flag is ``--x`` or ``--x=False``, as some booleans were before vLLM 0.8."""
    return action.nargs == "?" and action.const == "True"


def type_name(convert: Any) -> str | None:
    """Return what a flag's text becomes: "int", "float", another converter's name, None for text."""
    closure = getattr(convert, "__closure__", None) or ()
    inner = [cell.cell_contents for cell in closure if callable(cell.cell_contents)]
    name = getattr(inner[0] if inner else convert, "__name__", None)
    if name in {"human_readable_int", "human_readable_int_or_auto"}:
        return "int"
    # A plain ``bool`` takes any text for true: no boolean that could be set to false.
    return None if name in {"str", "nullable_str", "bool"} else name


def group_of(title: str | None) -> str | None:
    """Return the heading a flag stands under, None where the parser has one list of them."""
    return None if title is None or title.lower() in _PLAIN_GROUPS else title


def deprecated(action: argparse.Action, marked: Any) -> bool:
    """Whether the engine itself says that a flag is deprecated."""
    if action in marked or getattr(action, "deprecated", False):
        return True
    text = action.help
    return isinstance(text, str) and text != argparse.SUPPRESS and bool(DEPRECATED.search(text))


def plain(value: Any) -> bool | int | float | str | None:
    """Return a value JSON can hold; an enumeration's member as its value, None for anything richer or left out."""
    value = getattr(value, "value", value)
    if value == argparse.SUPPRESS:
        return None
    return value if isinstance(value, (bool, int, float, str)) else None


if __name__ == "__main__":
    main()
