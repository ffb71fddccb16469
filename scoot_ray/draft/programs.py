"""The programs that serve a model, as teams start them: which engine each is, and its names for what all have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from scoot_ray.engine.flags import FlagError
from scoot_ray.engine.kinds import SGLANG, TENSORRT_LLM, VLLM, Kind
from scoot_ray.search import Value


@dataclass(frozen=True, slots=True)
class Program:
    """One engine's server: a script with its verb ("" where it needs none), or a module of Python.

    ``model`` are the flags that name the model, ``same`` other spellings of the names that its space has, ``refused``
    what no evaluation can be given, and what to write instead.
    """

    kind: Kind
    script: str
    verb: str
    modules: tuple[str, ...]
    example: str
    model: tuple[str, ...] = ("model",)
    same: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def renamed(self, flags: Mapping[str, Value]) -> dict[str, Value]:
        """The flags by the names that the space has.

        Raises:
            FlagError: one of them cannot be in a study.
        """
        for name, instead in self.refused.items():
            if name in flags and flags[name] != 1:
                raise FlagError(f"--{name.replace('_', '-')}: {instead}")
        return {self.same.get(name, name): value for name, value in flags.items()}


_NODES = "an evaluation has one node; engine.kind: external tunes an engine on several (docs/engines.md)"
_OTHER_VERBS = ("disaggregated", "disaggregated_mpi_worker", "mm_embedding_serve")
PROGRAMS = (
    Program(
        VLLM,
        "vllm",
        "serve",
        ("vllm.entrypoints.openai.api_server", "vllm.entrypoints.api_server"),
        "'vllm serve MODEL --flag …', 'python -m vllm.entrypoints.openai.api_server --model MODEL --flag …'",
    ),
    Program(
        SGLANG,
        "sglang",
        "serve",
        ("sglang.launch_server",),
        "'python -m sglang.launch_server --model-path MODEL --flag …', 'sglang serve --model-path MODEL --flag …'",
        model=("model_path", "model"),
        same={
            "tp": "tp_size",
            "tensor_parallel_size": "tp_size",
            "pp": "pp_size",
            "pipeline_parallel_size": "pp_size",
            "dp": "dp_size",
            "data_parallel_size": "dp_size",
            "ep": "ep_size",
            "expert_parallel_size": "ep_size",
        },
        refused={"nnodes": _NODES, "config": "its file is not read; write what it holds as flags"},
    ),
    Program(
        TENSORRT_LLM,
        "trtllm-serve",
        "",
        ("tensorrt_llm.commands.serve",),
        "'trtllm-serve MODEL --flag …'",
        same={
            "tensor_parallel_size": "tp_size",
            "pipeline_parallel_size": "pp_size",
            "context_parallel_size": "cp_size",
            "moe_expert_parallel_size": "ep_size",
            "free_gpu_memory_fraction": "kv_cache_free_gpu_memory_fraction",
            "kv_cache_config.free_gpu_memory_fraction": "kv_cache_free_gpu_memory_fraction",
        },
        refused=dict.fromkeys(
            ("extra_llm_api_options", "config"),
            "its file is not read; write what it holds as flags, nested ones with dots, such as "
            "--kv_cache_config.enable_block_reuse=False",
        ),
    ),
)
HOW = f"expected {', '.join(program.example for program in PROGRAMS)}"


def recognised(words: Sequence[str]) -> tuple[Program, list[str]]:
    """Return whose server is run, and its arguments.

    Raises:
        FlagError: it is none that is known; one line with those that are.
    """
    name = PurePosixPath(words[0]).name if words else ""
    for program in PROGRAMS:
        if (rest := _arguments(program, name, words[1:])) is not None:
            return program, rest
    raise FlagError(f"this is no command that serves a model with vLLM, SGLang or TensorRT-LLM: {HOW}")


def _arguments(program: Program, name: str, words: Sequence[str]) -> list[str] | None:
    """What follows the program, None where it is another."""
    if name.startswith("python"):
        if len(words) < 2 or words[0] != "-m" or words[1] not in program.modules:
            return None
        rest = list(words[2:])
    elif name == program.script and (not program.verb or list(words[:1]) == [program.verb]):
        rest = list(words[1:] if program.verb else words)
    else:
        return None
    if program.verb:
        return rest
    if rest[:1] == ["serve"]:
        return rest[1:]
    return None if rest and rest[0] in _OTHER_VERBS else rest
