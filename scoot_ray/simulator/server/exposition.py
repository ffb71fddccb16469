"""What ``/metrics`` says, by vLLM's names and in Prometheus' text format."""

from __future__ import annotations

from scoot_ray.simulator.server.driver import Driver


def exposition(driver: Driver, model: str) -> str:
    """Return the page: sums over all ranks, usage of the cache as their mean."""
    engines = driver.engines
    gauges = {
        "vllm:num_requests_running": sum(len(engine.scheduler.running) for engine in engines),
        "vllm:num_requests_waiting": sum(len(engine.scheduler.waiting) for engine in engines),
        "vllm:kv_cache_usage_perc": sum(engine.pool.usage for engine in engines) / len(engines),
        "scoot_ray:step_late_seconds_max": driver.latest_s,
    }
    counters = {
        "vllm:num_preemptions": sum(engine.scheduler.preemptions for engine in engines),
        "vllm:prefix_cache_queries": sum(engine.pool.queried_tokens for engine in engines),
        "vllm:prefix_cache_hits": sum(engine.pool.hit_tokens for engine in engines),
        "vllm:prompt_tokens": driver.prompt_tokens,
        "vllm:generation_tokens": driver.generated_tokens,
        "scoot_ray:step_late_seconds": driver.late_s,
        "scoot_ray:steps": driver.turns,
    }
    label = model.replace("\\", r"\\").replace('"', r"\"")
    lines = [
        line
        for kind, values in (("gauge", gauges), ("counter", {f"{name}_total": one for name, one in counters.items()}))
        for name, value in values.items()
        for line in (f"# TYPE {name} {kind}", f'{name}{{engine="0",model_name="{label}"}} {value}')
    ]
    return "\n".join(lines) + "\n"
