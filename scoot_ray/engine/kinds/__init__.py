"""The engines that can be tuned: one small module each, holding what differs from the others.

``kind`` says what that is; everything else in this package treats all kinds alike.
"""

from __future__ import annotations

from collections.abc import Mapping

from scoot_ray.engine.kinds.external import EXTERNAL
from scoot_ray.engine.kinds.kind import Dialect, FlagSource, Kind, Start
from scoot_ray.engine.kinds.sglang import SGLANG
from scoot_ray.engine.kinds.tensorrt_llm import TENSORRT_LLM
from scoot_ray.engine.kinds.vllm import VLLM

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (VLLM, SGLANG, TENSORRT_LLM, EXTERNAL)} | {"simulated": VLLM}
"""By a study's ``engine.kind``; a simulated engine is a simulated vLLM."""

__all__ = ["EXTERNAL", "KINDS", "SGLANG", "TENSORRT_LLM", "VLLM", "Dialect", "FlagSource", "Kind", "Start"]
