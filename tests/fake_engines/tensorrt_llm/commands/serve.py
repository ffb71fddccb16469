"""``trtllm-serve MODEL``, also as ``python -m tensorrt_llm.commands.serve``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import click
import yaml
from aiohttp import web
from vllm.entrypoints.openai.api_server import Server, run

import tensorrt_llm
from tensorrt_llm.llmapi.llm_args import RECORDED, TorchLlmArgs

KNOWN = {
    *("model", "prompt", "messages", "max_tokens", "max_completion_tokens", "min_tokens", "ignore_eos", "temperature"),
    *("stream", "stream_options", "top_p", "top_k", "seed"),
}


class TrtllmServer(Server):
    """The routes of trtllm-serve over the same engine: no key, no /tokenize, no unknown fields."""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.router.add_get("/health", self.health)
        app.router.add_get("/version", self.version)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/metrics", self.iterations)
        app.router.add_post("/v1/completions", self.strict)
        app.router.add_post("/v1/chat/completions", self.strict)
        if self.flags.return_perf_metrics:
            app.router.add_get("/prometheus/metrics", self.metrics)
        return app

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": tensorrt_llm.__version__})

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self.name, "owned_by": "tensorrt_llm"}]})

    async def iterations(self, _: web.Request) -> web.Response:
        return web.json_response([])

    async def metrics(self, _: web.Request) -> web.Response:
        values = {"num_requests_running": len(self.batcher.running), "num_requests_waiting": len(self.batcher.waiting)}
        return web.Response(text="".join(f"trtllm_{name} {float(value)}\n" for name, value in values.items()))

    async def strict(self, request: web.Request) -> web.StreamResponse:
        if unknown := set(await request.json()) - KNOWN:
            return web.json_response({"error": f"Extra inputs are not permitted: {sorted(unknown)}"}, status=400)
        return await self.completions(request)


def _option(one: dict[str, Any]) -> click.Option:
    kinds = {"int": int, "float": float, "choice": click.Choice(one["choices"])}
    if not one["is_flag"]:
        return click.Option(one["flags"], type=kinds.get(one["type"], str), default=one["default"])
    names = "/".join(one["flags"]) if any("--no-" in name for name in one["flags"]) else one["flags"][0]
    return click.Option([names], is_flag=True, default=one["default"])


def _serve(model: str, **given: Any) -> None:
    path = given["config"] or given.get("extra_llm_api_options")
    options = yaml.safe_load(Path(path).read_text()) if path else {}
    llm = TorchLlmArgs(**options)
    name = Path(model).name if Path(model).is_dir() else model
    flags = argparse.Namespace(
        model=model,
        served_model_name=given["served_model_name"] or name,
        host=given["host"],
        port=given["port"],
        max_num_seqs=given["max_batch_size"],
        max_num_batched_tokens=given["max_num_tokens"],
        max_model_len=given["max_seq_len"] or 2048,
        enable_prefix_caching=llm.kv_cache_config is None or llm.kv_cache_config.enable_block_reuse,
        enable_chunked_prefill=True,
        stream_interval=llm.stream_interval,
        return_perf_metrics=llm.return_perf_metrics,
    )
    run(flags, TrtllmServer)


serve = click.Command(
    "serve", callback=_serve, params=[click.Argument(["model"]), *(_option(one) for one in RECORDED["options"])]
)


def main() -> None:
    """Run from the command line."""
    serve(prog_name="trtllm-serve")


if __name__ == "__main__":
    main()
