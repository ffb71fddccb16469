"""Documents that appear whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_json(path: Path, document: object) -> None:
    """Write a document in place of any there was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def read_json(path: Path) -> Any:
    """The document; None where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
