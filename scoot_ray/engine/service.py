"""The beginning and the end of a server, for those that run it: what an external service needs beside its process."""

from __future__ import annotations

import subprocess
import time

from scoot_ray.engine.diagnose import Diagnosis
from scoot_ray.engine.process import EngineProcess, EngineSpec, start
from scoot_ray.engine.ready import StartFailed
from scoot_ray.engine.server import answers
from scoot_ray.search.trial import FailureKind

_STOP_COMMAND_S = 60.0
_SILENT_S = 30.0
COMMANDS_S = 2 * _STOP_COMMAND_S + _SILENT_S
"""The most that an external service's stop commands add to one start and its end."""
_POLL_S = 0.5


def begin(spec: EngineSpec) -> EngineProcess:
    """Start an engine; returns before it is ready.

    What an earlier external service has left running would be measured in the new one's place: where something answers
    already, the stop command is given a chance to end it.

    Raises:
        StartFailed: (PORT_TAKEN) something goes on answering where the service is to become ready.
        GuardianError: no guardian could be started.
    """
    if spec.external and answers(spec.health_url):
        _run_stop_command(spec)
        if not _silent(spec.health_url):
            raise StartFailed(_taken(spec.health_url))
    return start(spec)


def end(process: EngineProcess) -> None:
    """Stop an engine, an external one by its own command first.

    Raises:
        GuardianError: processes of the engine are left in spite of all.
    """
    _run_stop_command(process.spec)
    process.stop()


def _run_stop_command(spec: EngineSpec) -> None:
    """Run the stop command, if there is one; what it says, and how it ended, is in the engine's log.

    A failure is no verdict: whether something is left is seen before the next start.
    """
    if not spec.stop_argv:
        return
    with spec.log_path.open("ab") as log:
        try:
            done = subprocess.run(
                spec.stop_argv,
                check=False,
                env=dict(spec.env),
                cwd=spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=_STOP_COMMAND_S,
            )
            how = f"ended with exit code {done.returncode}"
        except (OSError, subprocess.TimeoutExpired) as error:
            how = f"failed: {error}"
        log.write(f"stop_command {how}\n".encode())


def _silent(url: str) -> bool:
    """Whether a URL stops answering in time."""
    ends_s = time.monotonic() + _SILENT_S
    while answers(url):
        if time.monotonic() > ends_s:
            return False
        time.sleep(_POLL_S)
    return True


def _taken(url: str) -> Diagnosis:
    return Diagnosis(
        kind=FailureKind.PORT_TAKEN,
        evidence=f"{url} answers before the engine was started",
        advice="end what serves there; give a stop_command, or a port of each start's own: {port}",
    )
