"""``python -m benchmarks.search run | stops | speed | report | services``, from the repository's root; simulated."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.search.campaign import Campaign, OtherServices, run
from benchmarks.search.pool import FolderInUse, Progress
from benchmarks.search.relatives import WARM
from benchmarks.search.report import NothingToReport, write_report
from benchmarks.search.services import SERVICES, Scenario
from benchmarks.search.speed import measure_speed, speed_table
from benchmarks.search.stopping import NoRuns, study_stops
from benchmarks.search.variants import ABLATION
from scoot_ray.search import TUNERS

_QUICK_SERVICES = ("bot-13b-2a10", "cls-13b-2l40s")
_QUICK_TUNERS = ("scoot", "random")
_SETS = {"all": TUNERS, "ablation": tuple(ABLATION), "warm": tuple(WARM)}
_FAILED, _BAD_INPUT, _INTERRUPTED = 1, 2, 130
_Item = TypeVar("_Item")


def main() -> int:
    """Run one verb; return the exit code."""
    options = _parser().parse_args()
    try:
        return int(options.verb(options))
    except (FolderInUse, NoRuns, OtherServices, NothingToReport) as error:
        print(error, file=sys.stderr)
        return _BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="run | stops | speed | report | services")
    one = verbs.add_parser("run", help="run what is missing in a folder")
    one.set_defaults(verb=_run)
    one.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    one.add_argument("--services", default="dev", help="dev, judge, all, or names with commas [default: dev]")
    one.add_argument(
        "--tuners", type=_tuners, default=TUNERS, help="names with commas, or all, ablation, warm [default: all]"
    )
    one.add_argument("--seeds", type=_positive, default=10, help="[default: 10]")
    one.add_argument("--pd", type=_listed(_positive), default=(1, 2, 4, 8), help="[default: 1,2,4,8]")
    one.add_argument("--budget", type=_positive, default=30, help="observations of each cell [default: 30]")
    one.add_argument("--best-known", type=_positive, default=3000, help="evaluations to find the best [default: 3000]")
    _add_jobs(one)
    one.add_argument("--quick", action="store_true", help="2 services, 2 tuners, 2 seeds, PD 1, 15 observations")
    one = verbs.add_parser("stops", help="read off where budget.patience would have ended the runs of a folder")
    one.set_defaults(verb=_stops)
    one.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    one.add_argument("--services", default="dev", help="dev, judge, all, or names with commas [default: dev]")
    one.add_argument("--seeds", type=_positive, default=3, help="[default: 3]")
    one.add_argument("--budget", type=_positive, default=60, help="observations of each run [default: 60]")
    _add_jobs(one)
    one = verbs.add_parser("speed", help="time suggestions after 30 and 200 observations on one core")
    one.set_defaults(verb=_speed)
    one.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    one.add_argument("--tuner", type=_tuner, default="scoot", help="[default: scoot]")
    one.add_argument("--seeds", type=_positive, default=3, help="[default: 3]")
    one = verbs.add_parser("report", help="write report.md and its figures into a folder, and print it")
    one.set_defaults(verb=_report)
    one.add_argument("folder", type=Path, metavar="FOLDER")
    one.add_argument("--subject", default="scoot", help="the tuner that the others are compared with [default: scoot]")
    one.add_argument("--scale", choices=("log", "plain"), default="log", help="of hypervolumes [default: log]")
    one = verbs.add_parser("services", help="print the services, with the share that is infeasible of 200 Sobol points")
    one.set_defaults(verb=_services)
    return parser


def _run(options: argparse.Namespace) -> int:
    campaign = Campaign(
        options.out,
        _chosen(options.services),
        options.tuners,
        options.seeds,
        options.pd,
        options.budget,
        options.best_known,
    )
    if options.quick:
        campaign = Campaign(options.out, _chosen(",".join(_QUICK_SERVICES)), _QUICK_TUNERS, 2, (1,), 15, 300)
    return _follow(run(campaign, options.jobs))


def _stops(options: argparse.Namespace) -> int:
    names = [one.name for one in _chosen(options.services)]
    return _follow(study_stops(options.out, names, options.seeds, options.budget, options.jobs))


def _speed(options: argparse.Namespace) -> int:
    code = _follow(measure_speed(options.out, options.tuner, options.seeds))
    print("\n".join(speed_table(options.out)))
    return code


def _follow(work: Iterable[Progress]) -> int:
    """Print what ends; return the exit code."""
    failed = 0
    for progress in work:
        print(progress.line, flush=True)
        failed += progress.failed
    if failed:
        print(f"{failed} failed; the same command tries them again", file=sys.stderr)
    return _FAILED if failed else 0


def _report(options: argparse.Namespace) -> int:
    print(write_report(options.folder, options.subject, options.scale))
    return 0


def _services(_options: argparse.Namespace) -> int:
    from benchmarks.search.feasible import services_table  # noqa: PLC0415 - of use to this verb alone

    print("\n".join(services_table(SERVICES)))
    return 0


def _chosen(text: str) -> Sequence[Scenario]:
    """The services that ``--services`` names."""
    if text == "all":
        return SERVICES
    chosen = [one for one in SERVICES if text == one.split or one.name in text.split(",")]
    unknown = set() if text in {"dev", "judge"} else set(text.split(",")) - {one.name for one in chosen}
    if unknown:
        known = ", ".join(one.name for one in SERVICES)
        print(f"--services: {unknown.pop()!r}; allowed: dev, judge, all, or of {known}", file=sys.stderr)
        raise SystemExit(_BAD_INPUT)
    return chosen


def _listed(read: Callable[[str], _Item]) -> Callable[[str], tuple[_Item, ...]]:
    def listed(text: str) -> tuple[_Item, ...]:
        return tuple(read(part) for part in text.split(","))

    listed.__name__ = "list"
    return listed


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: whole numbers from 1 on")
    return int(text)


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=_positive, default=len(os.sched_getaffinity(0)), help="[default: all cores]")


def _tuners(text: str) -> tuple[str, ...]:
    """Names with commas; some stand for several."""
    known = {**_SETS, **{name: (name,) for some in _SETS.values() for name in some}}
    for name in text.split(","):
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r}; allowed: {', '.join(known)}")
    return tuple(dict.fromkeys(tuner for name in text.split(",") for tuner in known[name]))


def _tuner(name: str) -> str:
    if name not in TUNERS:
        raise argparse.ArgumentTypeError(f"{name!r}; allowed: {', '.join(TUNERS)}")
    return name


if __name__ == "__main__":
    sys.exit(main())
