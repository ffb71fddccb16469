"""Torch kept to itself: for all that fits or predicts with it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def quiet() -> Iterator[None]:
    """One thread, no warnings, and torch's random state as it was afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")  # retries and jitter are dealt with by BoTorch
            torch.manual_seed(0)  # of the fork
            yield
    finally:
        torch.set_num_threads(threads)
