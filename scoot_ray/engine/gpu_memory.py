"""What GPUs hold, as ``nvidia-smi`` tells it: an engine's memory must be seen free before the next engine comes.

The driver frees a process's memory some time after the process has gone.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence

_ANSWER_S = 10.0
_POLL_S = 0.5


def used_mib(devices: Sequence[str]) -> tuple[int, ...] | None:
    """The memory in use on each of ``devices`` (indices or UUIDs), in MiB, as many as there are devices.

    Takes at most 10 s. None where there is nothing to read: no devices, no ``nvidia-smi``, or one that fails, hangs or
    prints anything but one number for each device. The order is that of ``nvidia-smi``, the same at every reading.
    """
    if not devices:
        return None
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", ",".join(devices)]
    try:
        answer = subprocess.run(
            query,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_ANSWER_S,
            check=True,
        )
        readings = tuple(int(line) for line in answer.stdout.splitlines())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return readings if len(readings) == len(devices) else None


def wait_freed(
    devices: Sequence[str],
    before_mib: tuple[int, ...] | None,
    deadline_s: float = 60.0,
    slack_mib: int = 512,
) -> bool:
    """Wait until each device holds at most what it held before the engine, plus a slack; blocks the caller.

    Args:
        devices: the engine's GPUs, as given to `used_mib`.
        before_mib: what `used_mib` told before the engine was started; None: nothing to compare with, True at once.
        deadline_s: seconds to wait; the last reading may end up to 10 s after it.
        slack_mib: what may be in use above ``before_mib``, in MiB.

    Returns:
        Whether the memory was seen free. A reading that fails does not show it, and the next one may.

    Raises:
        ValueError: ``before_mib`` is not of these devices: there are more or fewer.
    """
    if before_mib is None:
        return True
    if len(before_mib) != len(devices):
        raise ValueError(f"before_mib: {len(before_mib)} readings for {len(devices)} devices")
    end = time.monotonic() + deadline_s
    while not _is_free(used_mib(devices), before_mib, slack_mib):
        left_s = end - time.monotonic()
        if left_s <= 0:
            return False
        time.sleep(min(_POLL_S, left_s))
    return True


def _is_free(now_mib: tuple[int, ...] | None, before_mib: tuple[int, ...], slack_mib: int) -> bool:
    if now_mib is None:
        return False
    return all(now <= before + slack_mib for now, before in zip(now_mib, before_mib, strict=True))
