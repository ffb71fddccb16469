"""Writes what an installed SGLang accepts as JSON into the file named by its argument.

A script of its own, stdlib and sglang only: it runs under the engine's Python. Every spelling of a flag is a flag.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any


def main() -> None:
    """Run from the command line."""
    import sglang  # noqa: PLC0415 - what this script is there to find out
    from sglang.srt.server_args import ServerArgs  # noqa: PLC0415 - the same

    parser = argparse.ArgumentParser()
    ServerArgs.add_cli_args(parser)
    flags = [flag for action in parser._actions if action.dest != "help" for flag in described(action)]
    with open(sys.argv[1], "w") as file:  # noqa: PTH123 - plain on purpose
        json.dump({"version": sglang.__version__, "flags": flags}, file)


def described(action: argparse.Action) -> Iterator[dict[str, Any]]:
    """Yield the spellings of one flag as plain data."""
    names = [name for name in action.option_strings if name.startswith("--")]
    for name in names:
        if not name.startswith("--no-"):
            yield {
                "name": name[2:].replace("-", "_"),
                "type": getattr(action.type, "__name__", None),
                "choices": [choice for choice in action.choices or [] if plain(choice) is not None],
                "default": plain(action.default),
                "takes_value": action.nargs != 0,
                "negatable": any(other.startswith("--no-") for other in names),
            }


def plain(value: Any) -> bool | int | float | str | None:
    """Return a value JSON can hold, None for anything richer."""
    return value if isinstance(value, (bool, int, float, str)) else None


if __name__ == "__main__":
    main()
