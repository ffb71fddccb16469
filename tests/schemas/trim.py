"""Makes the schemas of deploy/ from what their projects publish: ``trim.py TITLE FILE... > tests/schemas/X.json``.

FILE is a CustomResourceDefinition in YAML, or Kubernetes' own OpenAPI document followed by ``:`` and the kinds to keep
(``swagger.json:NetworkPolicy,ConfigMap``). Prose and status are left out, unknown keys are made mistakes, and what
occurs more than once is kept once.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

KEPT = ("type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "required")
WORTH_SHARING = 150  # characters


def trimmed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What can be checked without prose; an object with known keys takes no others."""
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    found = {name: schema[name] for name in KEPT if name in schema}
    if "$ref" in schema:
        found["$ref"] = schema["$ref"].replace("#/definitions/", "#/$defs/")
    if "properties" in schema:
        found["properties"] = {name: trimmed(one) for name, one in schema["properties"].items() if name != "status"}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            found["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        found["additionalProperties"] = trimmed(schema["additionalProperties"])
    if "items" in schema:
        found["items"] = trimmed(schema["items"])
    return found


def shared(kinds: dict[str, Any]) -> dict[str, Any]:
    """The kinds with every larger part that occurs twice moved to ``$defs``."""
    count = Counter(_text(part) for kind in kinds.values() for part in _parts(kind))
    names = {text: f"d{at}" for at, text in enumerate(text for text, times in count.items() if times > 1)}
    definitions = {name: _linked(json.loads(text), names, top=True) for text, name in names.items()}
    return {"kinds": {name: _linked(kind, names) for name, kind in kinds.items()}, "$defs": definitions}


def _text(part: Any) -> str:
    return json.dumps(part, sort_keys=True)


def _parts(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for child in _children(schema):
        if len(_text(child)) > WORTH_SHARING:
            yield child
        yield from _parts(child)


def _children(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = [*schema.get("properties", {}).values()]
    return found + [schema[name] for name in ("items", "additionalProperties") if isinstance(schema.get(name), dict)]


def _linked(schema: dict[str, Any], names: Mapping[str, str], top: bool = False) -> dict[str, Any]:
    if not top and (name := names.get(_text(schema))) is not None:
        return {"$ref": f"#/$defs/{name}"}
    made = dict(schema)
    if "properties" in made:
        made["properties"] = {name: _linked(one, names) for name, one in made["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(made.get(name), dict):
            made[name] = _linked(made[name], names)
    return made


def of_crd(path: Path) -> dict[str, Any]:
    """Each served version of a custom resource."""
    spec = yaml.safe_load(path.read_text())["spec"]
    return {
        f"{spec['group']}/{version['name']} {spec['names']['kind']}": trimmed(version["schema"]["openAPIV3Schema"])
        for version in spec["versions"]
        if version["storage"]
    }


def of_swagger(path: Path, wanted: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Some kinds of Kubernetes itself, and the definitions that they refer to."""
    definitions = json.loads(path.read_text())["definitions"]
    kinds, used = {}, {}
    for name, schema in definitions.items():
        for group in schema.get("x-kubernetes-group-version-kind", ()):
            if group["kind"] in wanted and name.endswith(f".{group['version']}.{group['kind']}"):
                version = "/".join(part for part in (group["group"], group["version"]) if part)
                kinds[f"{version} {group['kind']}"] = trimmed(schema)
    waiting = list(_references(kinds))
    while waiting:
        name = waiting.pop()
        if name not in used:
            used[name] = trimmed(definitions[name])
            waiting += _references(used[name])
    return kinds, used


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix("#/$defs/")
        for one in schema.values():
            yield from _references(one)


def main(title: str, *sources: str) -> None:
    kinds: dict[str, Any] = {}
    used: dict[str, Any] = {}
    for source in sources:
        path, _, wanted = source.partition(":")
        if wanted:
            found, needed = of_swagger(Path(path), wanted.split(","))
            kinds, used = {**kinds, **found}, {**used, **needed}
        else:
            kinds |= of_crd(Path(path))
    document = shared(kinds)
    document["$defs"] |= used
    json.dump({"description": title, **document}, sys.stdout, separators=(",", ":"), sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
