"""What one kind of engine is, in the words that all kinds share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from scoot_ray.search.trial import Config, Value

Dialect: TypeAlias = Literal["vllm", "sglang", "trtllm"]


@dataclass(frozen=True, slots=True)
class Start:
    """One server to start: where it listens, and what is asked of it.

    ``flags`` are the fixed arguments overlaid with the configuration, by canonical names; ``switches`` those without a
    ``--no-`` form, empty where the engine could not be asked. ``program`` is what to run instead of the engine's own
    server (the template of an external one).
    """

    model: str
    flags: Config
    host: str
    port: int
    folder: Path
    python: str
    switches: Collection[str] = ()
    program: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlagSource:
    """Where an engine's flags are read from.

    ``script`` runs under its Python, which must have ``module``; ``install`` says how to get it. ``parser`` is the file
    in the module's folder that changes when the flags do.
    """

    kind: str
    module: str
    script: Path
    install: str
    parser: str


def no_files(_start: Start) -> Mapping[str, str]:
    """Nothing beside the command line."""
    return {}


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs from one engine to the next.

    ``title`` is its own spelling of its name.
    ``command`` and ``files`` (name -> text, in the evaluation's folder) start a server; ``show`` is the command to
    serve with afterwards, which may refer to the same files. ``key_variable`` is the environment variable that takes an
    API key; without one the server gets none. ``health``, ``version``, ``metrics`` and ``reset`` are paths (``reset``
    is asked by POST; None: the prefix cache cannot be emptied). ``parallel`` sizes multiply to the GPUs of one server;
    ``replicated`` says whether GPUs left over get servers of their own. ``own`` flags are each evaluation's to set.
    ``limits`` name what the engine calls vLLM's ``max_num_seqs``, ``max_num_batched_tokens``, ``data_parallel_size``;
    ``longest`` its ``max_model_len``.
    """

    name: str
    title: str
    dialect: Dialect
    command: Callable[[Start], list[str]]
    show: Callable[[Start], list[str]]
    served_name: Callable[[str, Config], str]
    source: FlagSource | None
    own: frozenset[str]
    parallel: tuple[str, ...]
    limits: Mapping[str, str]
    longest: str
    files: Callable[[Start], Mapping[str, str]] = no_files
    variables: Mapping[str, str] = field(default_factory=dict)
    key_variable: str | None = None
    health: str = "/health"
    version: str = "/version"
    metrics: str = "/metrics"
    reset: str | None = None
    replicated: bool = True

    def in_words_of_vllm(self, flags: Mapping[str, Value]) -> dict[str, Value]:
        """The flags that limit a batch, by vLLM's names for them."""
        return {ours: flags[theirs] for ours, theirs in self.limits.items() if theirs in flags}


def name_in_flags(model: str, flags: Config) -> str:
    """The name a model is served under where ``--served-model-name`` sets it."""
    return str(flags.get("served_model_name", model))
