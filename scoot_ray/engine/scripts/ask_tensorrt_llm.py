"""Writes what an installed TensorRT-LLM accepts as JSON into the file named by its argument.

A script of its own, stdlib, click and tensorrt_llm only: it runs under the engine's Python. There are the options of
``trtllm-serve``, every spelling one, and the fields of ``LlmArgs``, nested ones by names with dots.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, get_args


def main() -> None:
    """Run from the command line."""
    import tensorrt_llm  # noqa: PLC0415 - what this script is there to find out
    from tensorrt_llm.commands.serve import serve  # noqa: PLC0415 - the same
    from tensorrt_llm.llmapi import llm_args  # noqa: PLC0415 - the same

    model = getattr(llm_args, "TorchLlmArgs", None) or llm_args.LlmArgs
    found = {flag["name"]: flag for flag in fields(model)}
    found.update({flag["name"]: flag for param in serve.params for flag in options(param)})
    with open(sys.argv[1], "w") as file:  # noqa: PTH123 - plain on purpose
        json.dump({"version": tensorrt_llm.__version__, "flags": list(found.values())}, file)


def options(param: Any) -> Iterator[dict[str, Any]]:
    """Yield the spellings of one option of the command as plain data; none of an argument."""
    if param.param_type_name != "option":
        return
    for name in param.opts:
        if name.startswith("--"):
            yield flag(
                name[2:].replace("-", "_"),
                kind=None if param.is_flag else {"integer": "int", "text": None}.get(param.type.name, param.type.name),
                choices=getattr(param.type, "choices", ()),
                default=param.default,
                takes_value=not param.is_flag,
                negatable=bool(param.secondary_opts),
            )


def fields(model: Any, prefix: str = "") -> Iterator[dict[str, Any]]:
    """Yield the fields of a pydantic model; those of a model within it too, one level deep."""
    for name, field in model.model_fields.items():
        inner = next((one for one in variants(field.annotation) if hasattr(one, "model_fields")), None)
        if inner is None:
            choices = [choice for one in variants(field.annotation) for choice in literals(one)]
            yield flag(prefix + name, None, choices, field.default, takes_value=True, negatable=False)
        elif not prefix:
            yield from fields(inner, name + ".")


def variants(annotation: Any) -> tuple[Any, ...]:
    """Return what an annotation may be: the parts of a union or of an Annotated, or itself."""
    return (annotation, *get_args(annotation))


def literals(annotation: Any) -> list[Any]:
    """Return the values of a Literal or an enumeration."""
    if hasattr(annotation, "__members__"):
        return [member.value for member in annotation]
    return [value for value in get_args(annotation) if isinstance(value, (str, int))]


def flag(name: str, kind: str | None, choices: Any, default: Any, takes_value: bool, negatable: bool) -> dict[str, Any]:
    """Return one flag as plain data."""
    return {
        "name": name,
        "type": kind,
        "choices": [choice for choice in map(plain, choices) if choice is not None],
        "default": plain(default),
        "takes_value": takes_value,
        "negatable": negatable,
    }


def plain(value: Any) -> bool | int | float | str | None:
    """Return a value JSON can hold; an enumeration's member as its value, None for anything richer."""
    value = getattr(value, "value", value)
    return value if isinstance(value, (bool, int, float, str)) else None


if __name__ == "__main__":
    main()
