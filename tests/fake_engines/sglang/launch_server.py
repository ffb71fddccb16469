"""``python -m sglang.launch_server``."""

from __future__ import annotations

import argparse
import sys

from aiohttp import web
from vllm.entrypoints.openai.api_server import Server, run

import sglang
from sglang.srt.server_args import ServerArgs


class SglangServer(Server):
    """The routes of SGLang over the same engine."""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.router.add_get("/health", self.health)
        app.router.add_get("/server_info", self.server_info)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/tokenize", self.tokenize)
        app.router.add_post("/v1/completions", self.completions)
        app.router.add_post("/v1/chat/completions", self.completions)
        app.router.add_post("/flush_cache", self.flush_cache)
        if self.flags.enable_metrics:
            app.router.add_get("/metrics", self.metrics)
        return app

    async def server_info(self, _: web.Request) -> web.Response:
        return web.json_response({"model_path": self.flags.model, "version": sglang.__version__})

    async def flush_cache(self, _: web.Request) -> web.Response:
        done = self.batcher.reset_prefix_cache()
        return web.Response(text="Cache flushed.\n" if done else "Flush cache failed.\n", status=200 if done else 400)

    async def metrics(self, _: web.Request) -> web.Response:
        values = {"num_running_reqs": len(self.batcher.running), "num_queue_reqs": len(self.batcher.waiting)}
        labels = f'{{model_name="{self.name}"}}'
        return web.Response(text="".join(f"sglang:{name}{labels} {float(value)}\n" for name, value in values.items()))


def engine_flags(args: argparse.Namespace) -> argparse.Namespace:
    """The flags of the fake vLLM's engine that mean the same."""
    return argparse.Namespace(
        model=args.model_path,
        served_model_name=args.served_model_name,
        host=args.host,
        port=args.port,
        max_num_seqs=args.max_running_requests or 128,
        max_num_batched_tokens=args.chunked_prefill_size or 2048,
        max_model_len=args.context_length or 2048,
        enable_prefix_caching=not args.disable_radix_cache,
        enable_chunked_prefill=True,
        stream_interval=args.stream_interval,
        enable_metrics=args.enable_metrics,
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="sglang serve")
    ServerArgs.add_cli_args(parser)
    args = parser.parse_args()
    if args.page_size and args.chunked_prefill_size and args.chunked_prefill_size % args.page_size:
        raise AssertionError("chunked_prefill_size must be divisible by page_size")
    if (args.mem_fraction_static or 1.0) < 0.2:
        sys.stderr.write("[2026-01-01 00:00:00] Scheduler hit an exception: Traceback (most recent call last):\n")
        raise RuntimeError("Not enough memory. Please try to increase --mem-fraction-static.")
    run(engine_flags(args), SglangServer)


if __name__ == "__main__":
    main()
