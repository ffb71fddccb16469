"""``python -m benchmarks.faults run | report``: from the repository's root. Network cuts and full disks need root."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.faults import network
from benchmarks.faults.catalogue import FAULTS
from benchmarks.faults.machines import NotReady, Stage
from benchmarks.faults.report import report
from benchmarks.faults.rounds import Round, play_round, staged

_BAD_INPUT, _INTERRUPTED = 2, 130
_TRIES = 3


def main() -> int:
    """Run one verb; return the exit code: 1 where an invariant broke."""
    options = _parser().parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # nothing may be left running, in the background either
    try:
        return int(options.verb(options))
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return _BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="run | report")
    one = verbs.add_parser("run", help="play the rounds that a folder does not have yet, print the report")
    one.set_defaults(verb=_run)
    one.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    one.add_argument("--times", type=_positive, default=20, help="rounds of each fault [default: 20]")
    one.add_argument("--faults", type=_names, default=tuple(FAULTS), metavar="A,B", help="[default: all]")
    one = verbs.add_parser("report", help="print the report of a folder")
    one.set_defaults(verb=_report)
    one.add_argument("out", type=Path, metavar="FOLDER")
    return parser


def _run(options: argparse.Namespace) -> int:
    options.out.mkdir(parents=True, exist_ok=True)
    done = {(one.fault, one.number) for one in _rounds(options.out)}
    for number in range(options.times):
        for group in _groups([name for name in options.faults if (name, number) not in done]):
            with staged(FAULTS[group[0]]) as stage:
                for name in group:
                    _play(stage, name, number, options.out)
    return _report(options)


def _groups(names: list[str]) -> list[list[str]]:
    """Faults that share a stage, network cuts left out where none can be made."""
    groups: dict[tuple[bool, bool], list[str]] = {}
    for name in names:
        fault = FAULTS[name]
        if fault.networked and not network.possible():
            print(f"{name}: left out, this user can make no network namespace", file=sys.stderr)
            continue
        groups.setdefault((fault.as_job, fault.networked), []).append(name)
    return list(groups.values())


def _play(stage: Stage, name: str, number: int, out: Path) -> None:
    """One round, written down as soon as it is over; where the fault did not come about, once more on a new cluster."""
    for _ in range(_TRIES):
        try:
            found = play_round(stage, name, number, out / f"{name}-{number:02d}")
        except NotReady as problem:
            print(f"{name} {number}: {problem}", file=sys.stderr, flush=True)
            stage.end()
            continue
        with (out / "rounds.jsonl").open("a") as file:
            file.write(json.dumps(asdict(found)) + "\n")
        print(f"{name} {number}: {found.took_s:.0f} s, {list(found.broken) or 'kept'}", file=sys.stderr, flush=True)
        return


def _report(options: argparse.Namespace) -> int:
    rounds = _rounds(options.out)
    text = report(rounds)
    (options.out / "report.md").write_text(text, encoding="utf-8")
    print(text)
    return int(any(one.broken for one in rounds))


def _rounds(folder: Path) -> list[Round]:
    path = folder / "rounds.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    return [Round(**{**json.loads(line), "broken": tuple(json.loads(line)["broken"])}) for line in lines]


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in FAULTS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r}; allowed: {', '.join(FAULTS)}")
    return names


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: whole numbers from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
