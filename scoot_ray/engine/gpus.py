"""The GPUs of this machine, as ``nvidia-smi`` tells them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

_ANSWER_S = 10.0
_FIELDS = ("name", "driver_version", "memory.total", "memory.used")


class NoAnswer(RuntimeError):  # noqa: N818 - says what happened
    """``nvidia-smi`` is there, but did not tell what was asked; one line: why."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU; memory in MiB."""

    name: str
    driver: str
    total_mib: int
    used_mib: int


def installed_gpus(program: str = "nvidia-smi") -> tuple[Gpu, ...]:
    """Return the GPUs of this machine; none where there is no ``nvidia-smi``. Takes at most 10 s.

    Raises:
        NoAnswer: it fails, hangs, or prints anything else.
    """
    query = [program, f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            query,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_ANSWER_S,
        )
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise NoAnswer(f"{program} cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(f"{program} gave no answer in {_ANSWER_S:.0f} s") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines() or [f"exit code {done.returncode}"]
        raise NoAnswer(f"{program}: {said[0]}")
    try:
        return tuple(_gpu(line) for line in done.stdout.splitlines() if line.strip())
    except ValueError as error:
        raise NoAnswer(f"{program} printed {done.stdout.strip()[:80]!r}") from error


def _gpu(line: str) -> Gpu:
    name, driver, total, used = (part.strip() for part in line.rsplit(",", len(_FIELDS) - 1))
    return Gpu(name, driver, int(total), int(used))
