"""Writes what an installed vLLM accepts as JSON into the file named by its argument.

A script of its own, stdlib and vllm only: it runs under the engine's Python, which may be older than ours and knows
nothing of this package.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys
from collections.abc import Sequence
from typing import Any

PARSERS = ("vllm.entrypoints.launchers.cli_args", "vllm.entrypoints.openai.cli_args")
BASES = ("vllm.utils.argparse_utils", "vllm.utils")


def main() -> None:
    """Run from the command line."""
    import vllm  # noqa: PLC0415 - what this script is there to find out

    parser = make_parser(first_of(PARSERS, "make_arg_parser"))
    flags = [described(action) for action in parser._actions if wanted(action)]
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
    return {
        "name": names[0][2:].replace("-", "_"),
        "type": getattr(action.type, "__name__", None),
        "choices": [plain(choice) for choice in action.choices or []],
        "default": plain(action.default),
        "takes_value": action.nargs != 0,
        "negatable": any(name.startswith("--no-") for name in names[1:]),
    }


def plain(value: Any) -> bool | int | float | str | None:
    """Return a value JSON can hold; an enumeration's member as its value, None for anything richer."""
    value = getattr(value, "value", value)
    return value if isinstance(value, (bool, int, float, str)) else None


if __name__ == "__main__":
    main()
