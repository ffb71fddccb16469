"""One process of a fleet: a job comes in on standard input, progress and the result go out on standard output."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import struct
import sys
import threading
from typing import Any, BinaryIO

from scoot_ray.load.client.loop import PreciseEventLoop
from scoot_ray.load.figures.standing import Standing
from scoot_ray.load.fleet import Job, encoded
from scoot_ray.load.hooks import ENGINE_DIED, Hooks
from scoot_ray.load.replay import ReplayResult, replay

_HEAD = struct.Struct("!Q")


class _Line:
    """The streams to the parent. What it says during the replay is read in a thread; its silence ends this process."""

    def __init__(self, reading: BinaryIO, writing: BinaryIO) -> None:
        self._reading = reading
        self._writing = writing
        self._reason: str | None = None

    def hear(self) -> Any:
        """Wait for the next message; the parent's end is this process's own."""
        head = self._reading.read(_HEAD.size)
        if len(head) < _HEAD.size:
            os._exit(1)
        return pickle.loads(self._reading.read(_HEAD.unpack(head)[0]))  # noqa: S301 - our own parent's

    def say(self, message: object) -> None:
        """Send a message."""
        self._writing.write(encoded(message))
        self._writing.flush()

    def listen(self) -> None:
        """Take in why to end early, for as long as the parent lives."""
        while True:
            self._reason = self.hear()

    def hooks(self, job: Job) -> Hooks:
        """Pass the parent's reason to end to the replay, and its progress to the parent."""
        return Hooks(
            stop=lambda: self._reason is not None and self._reason != ENGINE_DIED,
            engine_alive=lambda: self._reason != ENGINE_DIED,
            on_progress=self.say,
            hopeless=self._tell_standing if job.watched else None,
            goodput=job.goodput,
        )

    def _tell_standing(self, standing: Standing) -> bool:
        """The parent alone sees all members, and so decides."""
        self.say(standing)
        return False


def main() -> None:
    """Replay one job, from the moment the parent names."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt reaches the whole group; the parent decides
    reading, writing = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed must not get between the messages
    line = _Line(reading, writing)
    job: Job = line.hear()
    line.say("ready")
    start_s: float = line.hear()
    threading.Thread(target=line.listen, daemon=True).start()
    line.say(_run(job, start_s, line.hooks(job)))


def _run(job: Job, start_s: float, hooks: Hooks) -> ReplayResult:
    with asyncio.Runner(loop_factory=PreciseEventLoop) as runner:
        return runner.run(replay(job.target, job.plan, hooks=hooks, drain_s=job.drain_s, start_s=start_s))


if __name__ == "__main__":
    main()
