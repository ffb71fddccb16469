"""What lies in a GPU's memory: how much is left for the KV cache at start, and what a step may use at most.

The engine loads the weights, runs one step of the largest size, and gives what is left below
``gpu_memory_utilization`` to the cache (``gpu_worker.py``, ``determine_num_available_blocks`` in 0.4.2). What that run
does not see must fit into the rest: CUDA graphs and communication buffers in 0.4.2 (its own warning: "CUDA graphs can
take additional 1~3 GiB memory per GPU"), fragmentation in both.

Other constants: a CUDA context takes 0.45 GiB (``nvidia-smi`` of an idle process). The largest step samples with top-p
and holds 36 bytes per logit (32-bit logits, sorted with 64-bit indices, probabilities, their sums, the order restored:
``sampler.py``), a greedy one 12. PyTorch's allocator wastes up to 15% of what changes from step to step (its notes on
memory management).
"""

from __future__ import annotations

from dataclasses import dataclass

from scoot_ray.engine.models import ModelShape
from scoot_ray.simulator.hardware import GIB, Accelerator
from scoot_ray.simulator.settings import Settings, Version

_CONTEXT_BYTES = 0.45 * GIB
_COMMUNICATION_BYTES = 0.35 * GIB
_HIDDEN_COPIES = 6  # of the hidden state that live at once
_LOGIT_BYTES_TOP_P, _LOGIT_BYTES_GREEDY = 36, 12
_GRAPH_BYTES = 0.9 * GIB  # of a model with 4,096 wide layers; grows with width and with the captured sizes
MOST_FRAGMENTATION = 0.15


@dataclass(frozen=True, slots=True)
class Memory:
    """One GPU of an engine, in bytes."""

    model: ModelShape
    accelerator: Accelerator
    settings: Settings
    version: Version

    @property
    def total(self) -> float:
        """What there is."""
        return self.accelerator.memory_bytes

    @property
    def weights(self) -> float:
        """A GPU's share of the weights; the embedding and the output head are split too."""
        shares = self.settings.tensor_parallel_size * self.settings.pipeline_parallel_size
        return self.model.params * self.settings.bytes_per_param / shares

    @property
    def graphs(self) -> float:
        """CUDA graphs."""
        if self.settings.enforce_eager:
            return 0.0
        sizes = 256 if self.version == "0.4.2" else self.settings.max_cudagraph_capture_size
        return _GRAPH_BYTES * self.model.hidden / 4096 * sizes / 512 * 2 / (1 + self.settings.tensor_parallel_size)

    @property
    def communication(self) -> float:
        """Buffers of the collective operations."""
        alone = self.settings.tensor_parallel_size * self.settings.pipeline_parallel_size == 1
        return 0.0 if alone else _COMMUNICATION_BYTES

    def activation(self, tokens: int, sampled: int, bytes_per_logit: int = _LOGIT_BYTES_GREEDY) -> float:
        """The most that a step of ``tokens``, with ``sampled`` sequences to sample for, holds at once."""
        model = self.model
        width = _HIDDEN_COPIES * model.hidden + 2 * model.active_experts * model.intermediate / self._tensor_share
        return 2 * tokens * width + bytes_per_logit * sampled * model.vocabulary

    @property
    def profiled(self) -> float:
        """What the run of the largest size has shown: as many tokens and sequences as are allowed."""
        settings = self.settings
        sampled = min(settings.max_num_seqs, settings.max_num_batched_tokens)
        return self.activation(settings.max_num_batched_tokens, sampled, _LOGIT_BYTES_TOP_P)

    @property
    def cache(self) -> float:
        """What is left for the KV cache; negative where there is nothing."""
        seen = 0.0 if self.version == "0.4.2" else self.communication + self.graphs
        return self.total * self.settings.gpu_memory_utilization - self.weights - self.profiled - seen

    @property
    def kv_bytes_per_token(self) -> float:
        """Keys and values of one token on this GPU; heads that are fewer than GPUs are kept on several."""
        shares = min(self._tensor_share, self.model.kv_heads) * self.settings.pipeline_parallel_size
        return self.model.kv_bytes_per_token(self.settings.bytes_per_kv_value) / shares

    @property
    def blocks(self) -> int:
        """Blocks of the KV cache."""
        return max(0, int(self.cache / (self.kv_bytes_per_token * self.settings.block_size)))

    def headroom(self, tokens: int, sampled: int, fragmentation: float) -> float:
        """What such a step leaves free; negative where it runs out of memory. ``fragmentation`` is from 0 to 1."""
        wasted = 1 + MOST_FRAGMENTATION * fragmentation
        fixed = self.weights + max(self.cache, 0.0) + _CONTEXT_BYTES + self.communication + self.graphs
        return self.total - fixed - self.activation(tokens, sampled) * wasted

    @property
    def _tensor_share(self) -> int:
        return self.settings.tensor_parallel_size
