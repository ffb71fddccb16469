"""``python -m benchmarks.scale``: from the repository's root. Slots that run nothing, or ``--real`` worker actors."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.scale.real import run_real
from benchmarks.scale.report import real_report, report
from benchmarks.scale.run import run


def main() -> int:
    """Run a study and print what it took; return the exit code."""
    options = _parser().parse_args()
    slots = options.slots or (32 if options.real else 256)
    evaluations = options.evaluations or (3 * slots if options.real else 2000)
    with tempfile.TemporaryDirectory(prefix="scoot-ray-scale-") as folder:
        if options.real:
            lines = real_report(run_real(Path(folder), slots, evaluations, options.load_s, options.rate))
        else:
            lines = report(run(Path(folder), options.tuner, slots, evaluations))
    print("\n".join(lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--slots", type=int, help="evaluations at once [default: 256; 32 with --real]")
    parser.add_argument("--evaluations", type=int, help="altogether [default: 2000; 3 for each slot with --real]")
    parser.add_argument("--tuner", default="scoot", help="of slots that run nothing [default: scoot]")
    parser.add_argument("--real", action="store_true", help="worker actors on a Ray of its own, simulated engines")
    parser.add_argument("--load-s", type=float, default=110.0, help="of each real evaluation [default: 110]")
    parser.add_argument("--rate", type=float, default=2.0, help="requests per second to each engine [default: 2]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
