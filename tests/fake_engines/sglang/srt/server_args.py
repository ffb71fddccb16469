"""The flags, as recorded of the real parser."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parents[3] / "recorded" / "sglang-0.5.10.post1.json"
TYPES = {"int": int, "float": float, "human_readable_int": int}


class ServerArgs:
    """Where the real ones are, with the real one's way to ask for them."""

    @staticmethod
    def add_cli_args(parser: argparse.ArgumentParser) -> None:
        """Add every flag."""
        for flag in json.loads(RECORDED.read_text())["flags"]:
            parser.add_argument(f"--{flag['name'].replace('_', '-')}", **_keywords(flag))


def _keywords(flag: dict[str, Any]) -> dict[str, Any]:
    default = {"default": flag["default"], "required": flag["name"] == "model_path"}
    if flag["negatable"]:
        return {"action": argparse.BooleanOptionalAction, "default": flag["default"]}
    if not flag["takes_value"]:
        return {"action": "store_true", "default": flag["default"]}
    return {"type": TYPES.get(flag["type"], str), "choices": flag["choices"] or None, **default}
