"""Writes what one vLLM accepts, run under its Python: ``python record.py FLAGS.json HELP.txt``.

FLAGS.json is the answer of its own argument parser (``scoot_ray/engine/introspect.py``). HELP.txt is what that parser
prints for ``--help=all`` (``--help`` before 0.10), laid out by that version's own formatter, with "…" for the prose:
what remains are names, choices, defaults, and that a flag is deprecated where its help says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType

WIDTH = "110"


def main() -> None:
    import vllm

    introspect = load(Path(__file__).parents[4] / "scoot_ray" / "engine" / "introspect.py")
    introspect.main()
    answer = Path(sys.argv[1])
    document = json.loads(answer.read_text())
    rows = ",\n".join(json.dumps(flag, separators=(",", ":")) for flag in document["flags"])
    answer.write_text(f'{{"version": {json.dumps(document["version"])}, "flags": [\n{rows}\n]}}\n')
    parser = introspect.make_parser(introspect.first_of(introspect.PARSERS, "make_arg_parser"))
    Path(sys.argv[2]).write_text(f"{vllm.__version__}\n{help_of(parser, introspect)}")


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def help_of(parser: argparse.ArgumentParser, introspect: ModuleType) -> str:
    os.environ["COLUMNS"] = WIDTH
    for action in parser._actions:
        if action.help != argparse.SUPPRESS:
            said = isinstance(action.help, str) and introspect.DEPRECATED.search(action.help)
            action.help = "[DEPRECATED] …" if said else "…"
    for group in parser._action_groups:
        group.description = None
    parser.usage, parser.description, parser.epilog = "server [options]", None, None
    text = argparse.ArgumentParser.format_help(parser)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


if __name__ == "__main__":
    main()
