"""Why vLLM's other flags are never searched unless asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ANSWERS = "changes the model's answers"
SPECULATION = "speculative decoding: its gain hangs on the text, which synthetic prompts do not have"
SHEDDING = "changes which requests are taken"
IDENTITY = "says what is served"
FRONT_END = "belongs to the HTTP front end"
LOGGING = "logging and metrics"
LOADING = "acts while the weights are loaded"
LORA = "belongs to adapters"
MULTIMODAL = "belongs to images, sound and video"
TOPOLOGY = "says where processes run"
OFFLOADING = "moves memory to the host, of which no evaluation reserves any"
KERNELS = "which kernels run, and round alike, hangs on GPU and model: ask for it by name"
ROUTING = "hangs on how tokens are routed to experts, which synthetic prompts falsify"
STATE_SPACE = "belongs to state-space models"
CONTAINER = "holds further settings as text: ask for it by name, with the values to try"
BUILDS = "development and plug-ins"

_BY_REASON: Mapping[str, Iterable[str]] = {
    ANSWERS: (
        *("quantization", "quantization_config", "quantization_param_path", "allow_deprecated_quantization", "dtype"),
        *("kv_cache_dtype", "kv_cache_dtype_skip_layers", "calculate_kv_scales", "max_model_len", "rope_scaling"),
        *("rope_theta", "hf_overrides", "seed", "logits_processors", "logits_processor_pattern", "generation_config"),
        *("override_generation_config", "disable_sliding_window", "use_fp64_gumbel", "logprobs_mode", "model_impl"),
        *("override_attention_dtype", "kv_sharing_fast_prefill", "watermark_config", "diffusion_config"),
    ),
    SPECULATION: (
        *("speculative_config", "speculative_model", "speculative_model_quantization", "num_speculative_tokens"),
        *("speculative_disable_mqa_scorer", "speculative_draft_tensor_parallel_size", "speculative_max_model_len"),
        *("speculative_disable_by_batch_size", "ngram_prompt_lookup_max", "ngram_prompt_lookup_min"),
        *("spec_decoding_acceptance_method", "typical_acceptance_sampler_posterior_threshold", "spec_method"),
        *("typical_acceptance_sampler_posterior_alpha", "disable_logprobs_during_spec_decoding", "spec_model"),
        *("spec_tokens", "num_lookahead_slots"),
    ),
    SHEDDING: ("max_num_queued_reqs", "max_num_queued_tokens"),
    "orders requests by a priority that the trace does not give": ("scheduling_policy",),
    "is max_num_seqs by another name here": ("max_num_active_seqs",),
    "is max_num_batched_tokens by another name here": ("max_num_scheduled_tokens",),
    "is set instead of gpu_memory_utilization": ("num_gpu_blocks_override", "kv_cache_memory_bytes"),
    "left-over GPUs run further replicas already": (
        *("data_parallel_size", "data_parallel_size_local", "data_parallel_rank", "data_parallel_start_rank"),
        *("data_parallel_backend", "data_parallel_address", "data_parallel_rpc_port", "data_parallel_hybrid_lb"),
        *("data_parallel_external_lb", "data_parallel_multi_port_external_lb"),
    ),
    "acts with the engine's own data parallelism": (
        *("enable_dbo", "ubatch_size", "dbo_decode_token_threshold", "dbo_prefill_token_threshold", "dp_sync_interval"),
        *("prefill_schedule_interval", "all2all_backend", "disable_nccl_for_dp_synchronization", "enable_elastic_ep"),
        *("elastic_ep_max_dp_size", "data_parallel_supervisor_port"),
    ),
    "splits long contexts, for models and sizes that allow it: ask for it by name": (
        *("decode_context_parallel_size", "prefill_context_parallel_size", "dcp_kv_cache_interleave_size"),
        *("cp_kv_cache_interleave_size", "dcp_comm_backend", "dcp_q_replicate"),
    ),
    ROUTING: (
        *("enable_eplb", "eplb_config", "expert_placement_strategy", "num_redundant_experts", "eplb_window_size"),
        *("eplb_step_interval", "eplb_log_balancedness", "enable_ep_weight_filter", "enable_return_routed_experts"),
    ),
    OFFLOADING: (
        *("swap_space", "cpu_offload_gb", "kv_offloading_size", "kv_offloading_backend", "kv_transfer_config"),
        *("kv_events_config", "ec_transfer_config"),
    ),
    KERNELS: (
        *("attention_backend", "moe_backend", "linear_backend", "gdn_prefill_backend", "kda_prefill_backend"),
        *("kda_decode_backend", "sparse_indexer_topk_backend", "enable_flashinfer_autotune"),
    ),
    "levels below the default give up speed for a quicker start": ("optimization_level",),
    "the same cache, with another hash: only its safety differs much": ("prefix_caching_hash_algo",),
    "needs several kinds of layers, where the engine chooses": ("disable_hybrid_kv_cache_manager",),
    "taken by this release with the value 1 alone, or by the old engine": (
        *("max_num_partial_prefills", "max_long_partial_prefills"),
    ),
    "single sizes of CUDA graphs: max_cudagraph_capture_size says how far they go": (
        *("cudagraph_capture_sizes", "cuda_graph_sizes"),
    ),
    CONTAINER: (
        *("compilation_config", "additional_config", "attention_config", "kernel_config", "structured_outputs_config"),
        *("reasoning_config", "engram_config", "ec_manager_config", "aux_output_config", "profiler_config"),
        *("weight_transfer_config", "model_loader_extra_config", "config", "ir_op_priority"),
    ),
    IDENTITY: (
        *("model", "tokenizer", "tokenizer_mode", "revision", "code_revision", "tokenizer_revision", "hf_config_path"),
        *("served_model_name", "trust_remote_code", "task", "runner", "convert", "config_format", "hf_token"),
        *("skip_tokenizer_init", "chat_template", "pooler_config", "override_pooler_config", "max_logprobs"),
        *("allowed_local_media_path", "allowed_media_domains", "reasoning_parser", "enable_reasoning"),
        *("guided_decoding_backend", "enable_prompt_embeds", "device", "guided_decoding_disable_fallback"),
        *("guided_decoding_disable_any_whitespace", "guided_decoding_disable_additional_properties"),
    ),
    FRONT_END: (
        *("host", "port", "uds", "api_key", "root_path", "middleware", "allow_credentials", "allowed_origins"),
        *("allowed_methods", "allowed_headers", "ssl_keyfile", "ssl_certfile", "ssl_ca_certs", "ssl_cert_reqs"),
        *("enable_ssl_refresh", "response_role", "chat_template_content_format", "return_tokens_as_token_ids"),
        *("enable_auto_tool_choice", "tool_call_parser", "tool_parser_plugin", "enable_request_id_headers"),
        *("disable_fastapi_docs", "api_server_count", "headless", "grpc", "grpc_port", "tokenizer_pool_size"),
        *("tokenizer_pool_type", "tokenizer_pool_extra_config", "renderer_num_workers", "multi_step_stream_outputs"),
        *("enable_prompt_tokens_details", "enable_server_load_tracking", "shutdown_timeout"),
    ),
    LOGGING: (
        *("uvicorn_log_level", "disable_log_stats", "disable_log_requests", "enable_log_requests", "max_log_len"),
        *("otlp_traces_endpoint", "collect_detailed_traces", "show_hidden_metrics_for_version"),
        *("disable_uvicorn_access_log", "aggregate_engine_logging", "log_config_file"),
    ),
    LOADING: (
        *("load_format", "download_dir", "max_parallel_loading_workers", "ignore_patterns", "use_tqdm_on_load"),
        *("qlora_adapter_name_or_path", "safetensors_load_strategy", "pt_load_map_location"),
    ),
    LORA: (
        *("lora_modules", "enable_lora", "enable_lora_bias", "max_loras", "max_lora_rank", "lora_extra_vocab_size"),
        *("lora_dtype", "long_lora_scaling_factors", "max_cpu_loras", "fully_sharded_loras", "prompt_adapters"),
        *("enable_prompt_adapter", "max_prompt_adapters", "max_prompt_adapter_token"),
    ),
    MULTIMODAL: (
        *("image_input_type", "image_token_id", "image_input_shape", "image_feature_size", "limit_mm_per_prompt"),
        *("mm_processor_kwargs", "disable_mm_preprocessor_cache", "disable_chunked_mm_input"),
        *("enable_multimodal_encoder_data_parallel",),
    ),
    TOPOLOGY: (
        *("distributed_executor_backend", "worker_use_ray", "engine_use_ray", "ray_workers_use_nsight", "nnodes"),
        *("node_rank", "master_addr", "master_port", "numa_bind", "numa_bind_nodes", "numa_bind_cpus", "device_ids"),
    ),
    BUILDS: (
        *("worker_cls", "worker_extension_cls", "scheduler_cls", "override_neuron_config", "io_processor_plugin"),
        *("enable_sleep_mode", "enable_trace_replay", "fail_on_environ_validation"),
    ),
    "sizes what another flag then uses": ("long_prefill_token_threshold_adaptive", "max_context_len_to_capture"),
}

UNTOUCHED: Mapping[str, str] = {name: reason for reason, names in _BY_REASON.items() for name in names}

GROUPS: Mapping[str, str] = {
    "Frontend": FRONT_END,
    "ModelConfig": IDENTITY,
    "LoadConfig": LOADING,
    "LoRAConfig": LORA,
    "MultiModalConfig": MULTIMODAL,
    "LoggingConfig": LOGGING,
    "ObservabilityConfig": LOGGING,
    "OffloadConfig": OFFLOADING,
    "MambaConfig": STATE_SPACE,
    "StructuredOutputsConfig": IDENTITY,
    "SpeculativeConfig": SPECULATION,
    "VllmConfig": CONTAINER,
}
"""For flags that are not listed, by the engine's own heading; every other heading says nothing."""

MISLED_BY_SYNTHETIC_PROMPTS: Mapping[str, str] = {
    **dict.fromkeys(_BY_REASON[SPECULATION], "what is guessed right hangs on the text"),
    **dict.fromkeys((*_BY_REASON[ROUTING], "enable_expert_parallel"), "the load of the experts hangs on the text"),
}
"""Flags whose effect cannot be measured with made-up prompts, and why."""

CHANGES_ANSWERS: frozenset[str] = frozenset({*_BY_REASON[ANSWERS], *_BY_REASON[SPECULATION]})
"""What needs a word of warning where a study asks for it."""
