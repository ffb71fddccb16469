"""``python -m benchmarks.trust run | report``: from the repository's root. Every figure is simulated."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from benchmarks.search.files import write_json
from benchmarks.search.services import SERVICES
from benchmarks.trust.bank import Plan, banks
from benchmarks.trust.play import Played, play_all
from benchmarks.trust.report import report
from scoot_ray.sweep import begin_worker

_QUICK = ("sql-13b-2a100", "bot-13b-a100", "cls-7b-2a10", "rec-7b-a100")
_BAD_INPUT, _INTERRUPTED = 2, 130


def main() -> int:
    """Run one verb; return the exit code."""
    options = _parser().parse_args()
    try:
        return int(options.verb(options))
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return _BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trust", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="run | report")
    one = verbs.add_parser("run", help="simulate what is missing in a folder, play the studies, print the report")
    one.set_defaults(verb=_run)
    one.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    one.add_argument("--studies", type=_positive, default=400, help="of each service, with and without gain")
    one.add_argument("--orders", type=_positive, default=120, help="arrival orders of each bank [default: 120]")
    one.add_argument("--variants", type=_positive, default=12, help="configurations of each bank [default: 12]")
    one.add_argument("--jobs", type=_positive, default=len(os.sched_getaffinity(0)), help="[default: all cores]")
    one.add_argument("--quick", action="store_true", help="4 services, 60 studies of each, 45 orders, 8 variants")
    one = verbs.add_parser("report", help="print the report of a folder")
    one.set_defaults(verb=_report)
    one.add_argument("folder", type=Path, metavar="FOLDER")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.quick:
        options.studies, options.orders, options.variants = 60, 45, 8
    names = _QUICK if options.quick else tuple(scenario.name for scenario in SERVICES)
    plans = [Plan(name, gain, options.variants, options.orders) for name in names for gain in (False, True)]
    studies: list[Played] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, context, initializer=begin_worker, initargs=(os.getpid(),)) as pool:
        for bank in banks(options.out, plans, pool):
            shares = [range(first, options.studies, options.jobs) for first in range(options.jobs)]
            played = pool.map(play_all, [bank] * options.jobs, shares)
            found = [one for share in played for one in share]
            studies += sorted(found, key=lambda one: one.seed)
            print(f"{bank.plan.name}: {len(found)} studies", file=sys.stderr, flush=True)
    write_json(options.out / "studies.json", [asdict(one) for one in studies])
    return _report(argparse.Namespace(folder=options.out))


def _report(options: argparse.Namespace) -> int:
    documents = json.loads((options.folder / "studies.json").read_text())
    text = report([Played(**document) for document in documents])
    (options.folder / "report.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: whole numbers from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
