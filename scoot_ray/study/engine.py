"""The section ``engine``: which server, and how it is started."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, model_validator

from scoot_ray.simulator.hardware import find_accelerator
from scoot_ray.simulator.settings import Version
from scoot_ray.study.base import Scalar, Section, StudyError, tupled, underscored

_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
_FLAG = re.compile(r"[A-Za-z][\w.]*")


class FromEnvironment(Section):
    """A secret: only the name of the variable that holds it is ever written down."""

    from_env: str = Field(pattern=f"^{_VARIABLE}$")


class Hardware(Section):
    """What a simulated engine runs on: accelerators of the catalogue, or a machine that ``calibrate`` has measured."""

    accelerator: str | None = None
    count: PositiveInt = 1
    calibration: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.accelerator is None) == (self.calibration is None):
            raise ValueError("give accelerator (and count), or calibration")
        if self.accelerator is not None:
            find_accelerator(self.accelerator)
        elif self.count != 1:
            raise ValueError("count goes with accelerator")
        return self


_OF_SIMULATED = ("hardware", "version", "clock", "noise")
_OF_EXTERNAL = ("command", "ready_url", "base_url", "stop_command", "dialect", "api_key_variable")


class Engine(Section):
    """What serves the model, and how it is started.

    ``help`` names a recorded help text of vLLM, for where it cannot be asked. ``hardware`` to ``noise`` go with kind
    ``simulated`` alone, ``command`` and what follows with ``external`` alone.
    """

    kind: Literal["vllm", "sglang", "tensorrt-llm", "external", "simulated"] = "vllm"
    model: str = Field(min_length=1)
    python: str | None = None
    help: str | None = None
    args: Annotated[dict[str, Scalar], BeforeValidator(underscored)] = Field(default_factory=dict)
    env: dict[str, str | FromEnvironment] = Field(default_factory=dict)
    start_timeout_s: PositiveFloat = 3600.0
    silence_timeout_s: PositiveFloat = 600.0
    hardware: Hardware | None = None
    version: Version | None = None
    clock: Literal["virtual", "real"] | None = None
    noise: Annotated[float, Field(ge=0.0, le=0.5)] | None = None
    command: Annotated[tuple[str, ...] | None, BeforeValidator(tupled)] = None
    ready_url: str | None = None
    base_url: str | None = None
    stop_command: Annotated[tuple[str, ...] | None, BeforeValidator(tupled)] = None
    dialect: Literal["vllm", "sglang", "trtllm"] | None = None
    api_key_variable: str | None = None

    @model_validator(mode="after")
    def _fit_for_a_command(self) -> Self:
        """What no process can be given, and what a shell would take for something else."""
        if self.model.startswith("-") or not self.model.isprintable():
            raise ValueError(f"model: {self.model!r} is no name: it may not begin with - or hold control characters")
        for name in self.env:
            if not re.fullmatch(_VARIABLE, name):
                raise ValueError(f"env: {name!r} is no name of a variable; allowed are letters, digits and _")
        for name in self.args:
            if not _FLAG.fullmatch(name):
                raise ValueError(f"args: {name!r} is no name of a flag; allowed are letters, digits, - and _")
        for where, values in (("args", self.args), ("env", self.env)):
            for name, value in values.items():
                if isinstance(value, str) and "\0" in value:
                    raise ValueError(f"{where}.{name}: no text with a NUL character can be given to a process")
        return self

    @model_validator(mode="after")
    def _external(self) -> Self:
        if self.kind != "external":
            for name in _OF_EXTERNAL:
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} goes with kind: external")
            return self
        if not self.command:
            raise ValueError("kind: external needs command, a list of words with {model}, {port} and the parameters")
        if self.python is not None:
            raise ValueError("python goes with other kinds; command says what an external engine is started with")
        if self.api_key_variable is not None and self.api_key_variable not in self.env:
            raise ValueError(f"api_key_variable: {self.api_key_variable!r} is not in env")
        for name in ("ready_url", "base_url"):
            url = getattr(self, name)
            if url is not None and not url.startswith(("http://", "https://")):
                raise ValueError(f"{name}: {url!r} is no URL; write http://{{host}}:{{port}} or where it serves")
        return self

    @model_validator(mode="after")
    def _of_kind(self) -> Self:
        if self.help is not None and self.kind in {"sglang", "tensorrt-llm", "external"}:
            raise ValueError("help goes with kind: vllm")
        if self.kind == "simulated":
            if self.hardware is None:
                raise ValueError("kind: simulated needs hardware, such as {accelerator: A100-80G, count: 2}")
            for name in ("python", "help"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} goes with a real engine; a simulated one needs none")
        else:
            for name in _OF_SIMULATED:
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} goes with kind: simulated")
        return self

    @property
    def simulated(self) -> bool:
        """Whether every figure of it is simulated."""
        return self.kind == "simulated"

    @property
    def in_virtual_time(self) -> bool:
        """Whether loads are computed rather than sent."""
        return self.simulated and self.clock != "real"

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """The engine's own variables with secrets filled in from ``inherited``.

        Raises:
            StudyError: a variable that should hold a secret is not set.
        """
        filled = {}
        for name, value in self.env.items():
            if isinstance(value, str):
                filled[name] = value
            elif value.from_env in inherited:
                filled[name] = inherited[value.from_env]
            else:
                raise StudyError(f"engine.env.{name}: from_env: {value.from_env}: this variable is not set; export it")
        return filled
