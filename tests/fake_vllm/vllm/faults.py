"""Faults on request, by environment.

FAKE_VLLM_FAULT            crash_at_start, oom_at_start, hang_at_start, port_in_use, hub_unreachable,
                           dead_but_hanging (last words, but no end), spoilt_cache (crashes on a cache in which a file
                           "spoilt" lies), slow_start (FAKE_VLLM_START_S seconds, of which its log tells): before it
                           listens;
                           crash_under_load, oom_under_load, killed_under_load, hang_under_load, error_in_stream,
                           cut_stream, garbage, slow: once FAKE_VLLM_FAULT_AFTER requests (3) have come
FAKE_VLLM_CRASH_ABOVE_SEQS a hidden constraint: under load, more max_num_seqs than this is out of memory
"""

from __future__ import annotations

import os
import signal
import sys
import time
from argparse import Namespace
from pathlib import Path

TRACEBACK = """\
(EngineCore pid={pid}) ERROR 11-23 10:41:43 [core.py:1510] {where}
(EngineCore pid={pid}) ERROR 11-23 10:41:43 [core.py:1510] Traceback (most recent call last):
(EngineCore pid={pid}) ERROR 11-23 10:41:43 [core.py:1510]   File "/vllm/v1/engine/core.py", line 1482, in run
(EngineCore pid={pid}) ERROR 11-23 10:41:43 [core.py:1510]     raise {cause_type}(message)
(EngineCore pid={pid}) ERROR 11-23 10:41:43 [core.py:1510] {cause}
"""
LAST_WORDS = (
    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
)
START = {
    "crash_at_start": "AssertionError: rotary dimension 48 does not fit the kernel",
    "oom_at_start": (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of "
        "23.69 GiB of which 1.12 GiB is free."
    ),
    "port_in_use": "OSError: [Errno 98] Address already in use",
    "hub_unreachable": "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find the requested files",
}
LOAD = {
    "crash_under_load": "RuntimeError: an illegal memory access was encountered",
    "oom_under_load": START["oom_at_start"],
}


def log(line: str) -> None:
    """Write to the log."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def active() -> str:
    """Return the fault asked for, "" for none."""
    return os.environ.get("FAKE_VLLM_FAULT", "")


def at_start() -> None:
    """Fail before listening, if asked to."""
    if active() == "hang_at_start":
        log("INFO 11-23 10:41:43 [core.py:133] Initializing a V1 LLM engine")
        time.sleep(3600)
    if active() == "slow_start":
        for step in range(round(float(os.environ["FAKE_VLLM_START_S"]) / 0.2)):
            log(f"INFO 11-23 10:41:43 [backends.py:{step}] Compiling a graph for compile range {step}")
            time.sleep(0.2)
    spoilt = active() == "spoilt_cache" and Path(os.environ["VLLM_CACHE_ROOT"], "spoilt").exists()
    if cause := START.get("crash_at_start" if spoilt or active() == "dead_but_hanging" else active()):
        _last_words(cause, "EngineCore failed to start.")
        log(LAST_WORDS)
        if active() == "dead_but_hanging":
            time.sleep(3600)
        raise SystemExit(1)


def under_load(flags: Namespace, requests: int) -> str:
    """Die if asked to, at the request numbered ``requests``; return the fault that the server acts out, "" for none."""
    limit = os.environ.get("FAKE_VLLM_CRASH_ABOVE_SEQS")
    due = requests > int(os.environ.get("FAKE_VLLM_FAULT_AFTER", "3"))
    fault = active() if due else ""
    if due and limit and flags.max_num_seqs > int(limit):
        fault = "oom_under_load"
    if cause := LOAD.get(fault):
        _last_words(cause, "EngineCore encountered a fatal error.")
        os._exit(1)
    if fault == "killed_under_load":
        os.kill(os.getpid(), signal.SIGKILL)
    return fault


def _last_words(cause: str, where: str) -> None:
    log(TRACEBACK.format(pid=os.getpid(), where=where, cause=cause, cause_type=cause.partition(":")[0]).rstrip())
