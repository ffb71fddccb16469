"""Joining a Ray cluster, or starting a local one, without Ray writing on our standard output."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import ray


class ClusterError(Exception):
    """Ray cannot be reached or cannot hold the study; the message is one line for the user."""


@contextmanager
def real_stdout() -> Iterator[IO[str]]:
    """Give the process's standard output to the caller alone; whatever else writes there goes to stderr.

    Ray prints worker deaths on file descriptor 1 whatever its logging level, which would spoil piped output.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "w", encoding="utf-8", errors="replace") as out:
            yield out
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def ray_session(address: str | None, dashboard: bool = False) -> Iterator[None]:
    """Join the cluster at ``address`` (or RAY_ADDRESS, or one running here), else start one on this machine.

    Raises:
        ClusterError: no cluster answers at ``address``.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(
            address=address,
            include_dashboard=dashboard if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            namespace="scoot-ray",
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ClusterError(
            f"--ray-address {address or os.environ.get('RAY_ADDRESS', '(this machine)')}: {reason}; is the cluster up, "
            "and does RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH hold its token?"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
