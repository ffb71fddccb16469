"""Every evaluation has a process of its own, so that what a worker imports is paid for each time."""

from __future__ import annotations

import subprocess
import sys

_SLOW = ("scipy.stats", "scipy.optimize", "sklearn", "torch", "pandas", "matplotlib")


def test_a_worker_imports_nothing_slow() -> None:
    program = f"import sys, scoot_ray.cluster.worker; print([name for name in {_SLOW!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
