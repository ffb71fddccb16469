"""The fields of ``LlmArgs``, as recorded; others are refused, as the real ones do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

RECORDED = json.loads((Path(__file__).parents[3] / "recorded" / "tensorrt-llm-1.3.json").read_text())


def _model(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def _plain(defaults: dict[str, Any]) -> dict[str, Any]:
    return {name: (Any if value is None else type(value), value) for name, value in defaults.items()}


_nested = {
    name: (_model(name.title().replace("_", ""), _plain(defaults)), None)
    for name, defaults in RECORDED["fields"].items()
    if name
}
TorchLlmArgs = _model("TorchLlmArgs", {**_plain(RECORDED["fields"][""]), **_nested})
