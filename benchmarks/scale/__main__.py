"""``python -m benchmarks.scale``: from the repository's root. The service is made up and the slots run nothing."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.scale.run import Scale, Spent, run
from benchmarks.search.markdown import table


def main() -> int:
    """Run a study and print what it took; return the exit code."""
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="scoot-ray-scale-") as folder:
        found = run(Path(folder), options.tuner, options.slots, options.evaluations)
    print("\n".join(report(found)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--slots", type=int, default=256, help="evaluations at once [default: 256]")
    parser.add_argument("--evaluations", type=int, default=2000, help="altogether [default: 2000]")
    parser.add_argument("--tuner", default="scoot", help="[default: scoot]")
    return parser


def report(found: Scale) -> list[str]:
    """The figures as a Markdown table."""
    until_last = found.busy_until_last_start / (found.slots * found.last_started_s)
    memory = ", ".join(f"{mib:.0f} ({count})" for count, mib in _some(found.resident_mib))
    rows = [
        ["slots, evaluations", f"{found.slots}, {found.evaluations}"],
        ["virtual hours", f"{found.lasted_s / 3600:.2f}"],
        ["slot time at work until the last start", f"{until_last:.1%}"],
        ["the same to the end of the last evaluation", f"{found.busy_s / (found.slots * found.lasted_s):.1%}"],
        ["CPU s per call for suggestions, median and longest", _spread(found.suggesting)],
        ["CPU s per suggestion", f"{sum(found.suggesting.cpu_s) / max(1, found.suggested):.3f}"],
        ["CPU s to send a log to the optimizer and read it, median and longest", _spread(found.sending)],
        ["CPU s per event in the journal, median and longest", _spread(found.journalling)],
        ["CPU s to replay the journal", f"{found.replay_s:.1f}"],
        ["resident MiB (after evaluations)", memory],
    ]
    return table(["", f"{found.slots} slots"], rows)


def _spread(spent: Spent) -> str:
    return f"{np.median(spent.cpu_s):.3f}, {max(spent.cpu_s):.2f}" if spent.cpu_s else ""


def _some(noted: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """About five of them, the first and the last among them."""
    return [noted[i] for i in np.unique(np.linspace(0, len(noted) - 1, 5).astype(int))] if noted else []


if __name__ == "__main__":
    sys.exit(main())
