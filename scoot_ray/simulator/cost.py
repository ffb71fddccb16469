"""How long one step takes: a roofline of each kind of work, and what the host adds.

Constants, and where they are from:

- matrix products reach 0.55 of the peak in long prefills, weights stream at 0.75 of the bandwidth (utilisations that
  Splitwise, ISCA 24, and Sarathi-Serve, OSDI 24, report for Llama on A100; Databricks' guide to LLM inference);
- attention reaches 0.4 of the peak in prefills (FlashAttention-2's table for the A100) and 0.7 of the bandwidth over
  the cache in decodes; blocks of 8 tokens read at 0.9 of that (PagedAttention, SOSP 23, figure 18). 0.4.2 sends prompts
  that follow cached tokens, and all chunked ones, through a Triton kernel three times as slow (vLLM's pull requests
  3106 and 6819);
- all-reduce: two per layer. NCCL's ring takes 20 µs over NVLink and 30 µs over PCIe per call, and moves 2(t-1)/t of the
  message at 0.75 of NVLink, 0.25 of PCIe, where it goes through the host (nccl-tests as quoted in the issues of NCCL
  and vLLM). vLLM's own kernel takes 8 µs and sends the message t-1 times at once; up to 8 MiB, and over PCIe for two
  GPUs alone (``custom_all_reduce.py``);
- without a CUDA graph the host launches a layer's kernels in 0.4 ms, or 0.1 ms where newer versions compile them,
  hidden only behind longer work (vLLM's own notes on CUDA graphs; kernel launches of 3 to 5 µs). 0.4.2 has graphs for
  decodes of up to 256 sequences, newer versions for any step of up to ``max_cudagraph_capture_size`` tokens;
- the host: a step of 0.5.3 serving Llama-3-8B on an H100 left 62% of its time to scheduling and HTTP (vLLM's blog,
  September 2024), about 8 ms at 200 sequences: 3 ms and 25 µs a sequence, and 1.5 ms for Ray with tensor parallelism.
  Newer: 0.5 ms and 12 µs (issue 10634 and the V1 blog, January 2025), beside the GPU's work with
  ``async_scheduling``.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import ceil
from typing import Protocol

from scoot_ray.engine.models import ModelShape
from scoot_ray.simulator.batch import Batch
from scoot_ray.simulator.hardware import Accelerator
from scoot_ray.simulator.settings import Settings, Version

_GEMM_FLOPS, _GEMM_BANDWIDTH = 0.55, 0.75
_ATTENTION_FLOPS, _ATTENTION_BANDWIDTH = 0.4, 0.7
_SMALL_BLOCK = 0.9
_TRITON_0_4_2 = 3.0
_LINK_SHARE = {True: 0.75, False: 0.25}  # by whether it is NVLink
_RING_LATENCY_S = {True: 20e-6, False: 30e-6}
_CUSTOM_LATENCY_S, _CUSTOM_MOST_BYTES = 8e-6, 8 * 2**20
_ACTIVATION_PASSES = 14  # reads and writes of the hidden state per layer: norms, residuals, rotary, activation
_LAUNCH_S, _LAUNCH_COMPILED_S = 0.4e-3, 0.1e-3  # per layer, without CUDA graphs
_STAGE_LATENCY_S = 50e-6  # from one pipeline stage to the next
_GRAPH_SIZES = (1, 2, 4, *range(8, 256, 8), *range(256, 1025, 16))
_GRAPHS_0_4_2 = 256


class StepCost(Protocol):
    """Says how long steps take."""

    def step_s(self, batch: Batch) -> float:
        """Seconds from the start of a step until its tokens are out."""


@dataclass(frozen=True, slots=True)
class Roofline:
    """The cost on an accelerator of the catalogue."""

    model: ModelShape
    accelerator: Accelerator
    settings: Settings
    version: Version

    def step_s(self, batch: Batch) -> float:
        """Seconds of one step, the host's part included."""
        tokens = self._padded(batch)
        gpu_s = self._layers_s(batch, tokens) + self._head_s(batch) + self._all_reduce_s(tokens)
        if not self._has_graph(batch):
            compiled = self.version != "0.4.2" and not self.settings.enforce_eager
            gpu_s = max(gpu_s, self.model.layers * (_LAUNCH_COMPILED_S if compiled else _LAUNCH_S))
        stages = self.settings.pipeline_parallel_size
        return self._with_host_s(gpu_s, batch) + (stages - 1) * _STAGE_LATENCY_S

    def _layers_s(self, batch: Batch, tokens: int) -> float:
        """Matrix products, attention and what lies between, on each of the tensor-parallel GPUs."""
        gpu, model, share = self.accelerator, self.model, self.settings.tensor_parallel_size
        flops = 2 * model.active_params * tokens / share
        weights = self._weights_read(tokens) / share
        between = tokens * model.hidden * 2 * _ACTIVATION_PASSES * model.layers
        gemm_s = max(flops / (gpu.flops * _GEMM_FLOPS), (weights + between) / (gpu.bandwidth * _GEMM_BANDWIDTH))
        return gemm_s + self._attention_s(batch) / share

    def _weights_read(self, tokens: int) -> float:
        """Bytes of the weights that a step touches: of a mixture, the experts that some token is sent to."""
        model = self.model
        untouched = (1 - model.active_experts / model.experts) ** tokens if model.experts > 1 else 0.0
        experts = model.experts * (1 - untouched)
        return (model.attention_params + experts * model.expert_params) * self.settings.bytes_per_param

    def _attention_s(self, batch: Batch) -> float:
        """Prompts by their pairs, decodes by the cache they read; seconds on one GPU."""
        gpu, model = self.accelerator, self.model
        slow = self.version == "0.4.2" and (self.settings.enable_chunked_prefill or batch.onto_context)
        pairs = batch.pairs * (_TRITON_0_4_2 if slow else 1.0)
        prompt_s = 4 * model.layers * model.heads * model.head_dim * pairs / (gpu.flops * _ATTENTION_FLOPS)
        rate = gpu.bandwidth * _ATTENTION_BANDWIDTH * (_SMALL_BLOCK if self.settings.block_size < 16 else 1.0)
        per_token = model.kv_bytes_per_token(self.settings.bytes_per_kv_value)
        return prompt_s + per_token * (batch.decode_context + batch.decodes) / rate

    def _head_s(self, batch: Batch) -> float:
        """The output head, for sequences that get a token, and sampling over its logits."""
        gpu, share = self.accelerator, self.settings.tensor_parallel_size
        params, rows = self.model.head_params, batch.sampled
        product_s = max(2 * params * rows / (gpu.flops * _GEMM_FLOPS), 2 * params / (gpu.bandwidth * _GEMM_BANDWIDTH))
        sampling_s = 6 * 4 * rows * self.model.vocabulary / (gpu.bandwidth * _GEMM_BANDWIDTH)
        return product_s / share + sampling_s

    def _all_reduce_s(self, tokens: int) -> float:
        """Two all-reduces of the hidden state per layer."""
        share, gpu = self.settings.tensor_parallel_size, self.accelerator
        if share == 1:
            return 0.0
        message = tokens * self.model.hidden * 2
        rate = gpu.link * _LINK_SHARE[gpu.nvlink]
        call_s = _RING_LATENCY_S[gpu.nvlink] + 2 * (share - 1) / share * message / rate
        custom = not self.settings.disable_custom_all_reduce and message <= _CUSTOM_MOST_BYTES
        if custom and (gpu.nvlink or share == 2):
            call_s = min(call_s, _CUSTOM_LATENCY_S + (share - 1) * message / rate)
        return 2 * self.model.layers * call_s

    def _has_graph(self, batch: Batch) -> bool:
        settings = self.settings
        if settings.enforce_eager:
            return False
        if self.version == "0.4.2":
            return not batch.chunks and batch.decodes <= _GRAPHS_0_4_2
        return batch.tokens <= settings.max_cudagraph_capture_size

    def _padded(self, batch: Batch) -> int:
        """Tokens computed: a CUDA graph is of the next size that was captured."""
        tokens = batch.tokens
        if not self._has_graph(batch) or tokens > _GRAPH_SIZES[-1]:
            return tokens
        return int(_GRAPH_SIZES[bisect_left(_GRAPH_SIZES, tokens)])

    def _with_host_s(self, gpu_s: float, batch: Batch) -> float:
        """Scheduling, input preparation, output and streaming."""
        settings = self.settings
        if self.version == "0.4.2":
            slower = 1.25 if settings.use_v2_block_manager else 1.0
            ray_s = 1.5e-3 if settings.tensor_parallel_size > 1 else 0.0
            return gpu_s + 3e-3 + ray_s + 25e-6 * slower * batch.sampled
        streamed = ceil(batch.sampled / settings.stream_interval)
        host_s = 0.5e-3 + 6e-6 * batch.sampled + 6e-6 * streamed
        return max(gpu_s, host_s) + 0.2e-3 if settings.async_scheduling else gpu_s + host_s
