"""Parses command lines with vLLM's own ``vllm serve``, without starting anything. Runs under the engine's Python.

Reads a JSON list of command lines (what follows ``vllm``) from standard input; writes to the file named by its argument
the list of what each sets, and the engine's keywords.
"""

from __future__ import annotations

import dataclasses
import json
import sys


def main() -> None:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    found = []
    for words in json.load(sys.stdin):
        parser = FlexibleArgumentParser()
        ServeSubcommand().subparser_init(parser.add_subparsers())
        parsed = vars(parser.parse_args(words))
        found.append({name: value if is_plain(value) else repr(value) for name, value in parsed.items()})
    keywords = [field.name for field in dataclasses.fields(AsyncEngineArgs)]
    with open(sys.argv[1], "w") as file:  # noqa: PTH123 - plain on purpose
        json.dump({"parsed": found, "keywords": keywords}, file)


def is_plain(value: object) -> bool:
    return isinstance(value, bool | int | float | str | list | None)


main()
