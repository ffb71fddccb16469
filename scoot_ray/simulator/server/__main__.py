"""``python -m scoot_ray.simulator.server``: start as vLLM starts, serve, end on SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Sequence

from aiohttp import web

from scoot_ray.load.client.loop import PreciseEventLoop
from scoot_ray.simulator.boot import Booted, StartRefused
from scoot_ray.simulator.server.api import Served
from scoot_ray.simulator.server.app import App
from scoot_ray.simulator.server.arguments import Options, read_arguments
from scoot_ray.simulator.server.driver import Driver
from scoot_ray.simulator.server.log import write_log

_SHUTDOWN_S = 1.0  # for requests that are under way when the server is to end
_LINGER_S = 0.5  # between the death of a newer engine and its server's end
_BACKLOG = 1024


def main(words: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    options = read_arguments(sys.argv[1:] if words is None else words)
    with socket.socket(socket.AF_INET6 if ":" in options.host else socket.AF_INET) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((options.host, options.port))
        except OSError as error:
            write_log([f"OSError: {error}"])
            return 1
        try:
            booted = options.service.boot(options.config)
        except StartRefused as refused:
            write_log(refused.log)
            return refused.exit_code
        with asyncio.Runner(loop_factory=PreciseEventLoop) as runner:
            runner.run(_serve(options, booted, listener))
    return 0


async def _serve(options: Options, booted: Booted, listener: socket.socket) -> None:
    """Be ready after a while, then serve until a signal or the engine's death."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    *starting, ready = booted.log
    write_log(starting)
    if await _within(stop, options.start_s):
        return

    def on_death(log: Sequence[str]) -> None:
        write_log(log)
        if booted.version != "0.4.2":  # which never notices
            loop.call_later(_LINGER_S, stop.set)

    driver = Driver(booted, options.service.noise, options.seed, on_death)
    app = App(_served(options, booted), booted, driver, options.api_key, options.fault)
    runner = web.AppRunner(app.application(), access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=_BACKLOG).start()
    gc.freeze()  # what has been imported is not looked through again while it serves
    write_log([ready])
    await stop.wait()
    driver.close()
    await runner.cleanup()


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Whether an event happens in time."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _served(options: Options, booted: Booted) -> Served:
    return Served(
        options.served_name,
        options.model,
        booted.version,
        booted.settings.max_model_len,
        options.service.model.vocabulary,
    )


if __name__ == "__main__":
    sys.exit(main())
