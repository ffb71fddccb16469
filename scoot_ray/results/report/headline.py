"""What to set, what it gains, how sure that is: the first screen of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from scoot_ray.finalists import key
from scoot_ray.results.report.chart import Table
from scoot_ray.results.report.promises import broken_slos, promises_table, runs_table
from scoot_ray.results.report.run import Run
from scoot_ray.results.report.text import counted, named, percent, value_text
from scoot_ray.search import Config

Tone: TypeAlias = Literal["good", "calm", "open", "bad"]


@dataclass(frozen=True, slots=True)
class Gain:
    """One objective: how it changes, in words, and between which figures."""

    label: str
    change: str
    certain: Literal["better", "worse", "no"]
    sure: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One parameter that is to be set otherwise than today."""

    parameter: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Headline:
    """All of it. ``settings`` are empty where what runs today is to be kept, or nothing can be said."""

    tone: Tone
    title: str
    sentence: str
    gains: tuple[Gain, ...]
    settings: tuple[Setting, ...]
    command: str | None
    notes: tuple[str, ...]
    broken: tuple[str, ...]
    compared: str
    promises: Table | None
    runs: Table


def headline_of(run: Run) -> Headline:
    """The headline of a run in any state."""
    recommended = run.result["recommended"]
    tone, title = _title(run)
    broken = broken_slos(run)
    config = recommended["config"] if recommended else None
    return Headline(
        "open" if broken else tone,
        title,
        _lead(run) if recommended else _nothing(run),
        _gains(run) if recommended else (),
        _settings(run, config) if config else (),
        run.command(config) if config else None,
        _notes(run),
        broken,
        _compared(run),
        promises_table(run),
        runs_table(run),
    )


def _title(run: Run) -> tuple[Tone, str]:
    verdict, recommended = run.result["verdict"], run.result["recommended"]
    if recommended is None:
        return (
            ("open", "Nothing is measured yet")
            if run.state == "under way"
            else ("bad", "No configuration can be recommended")
        )
    if not recommended["confirmed"]:
        return "open", f"The best {'of the search' if run.state == 'complete' else 'so far'}, not confirmed"
    if verdict is None:
        return "calm", "What was left after measuring again"
    if key(recommended["config"]) != key(verdict["winner"]):
        return "calm", f"Keep the {verdict['reference']} configuration"
    better = [_plainly(change) for change in verdict["changes"] if change["certain"] == "better"]
    worse = [_plainly(change) for change in verdict["changes"] if change["certain"] == "worse"]
    if not better:
        return "good", f"Keeps the SLOs, which the {verdict['reference']} configuration does not"
    title = _sentence_case(" and ".join(better))
    return ("good", title) if not worse else ("calm", f"{title}, for {' and '.join(worse)}")


def _lead(run: Run) -> str:
    """What the title rests on."""
    verdict, orders = run.result["verdict"], run.resolved.study.confirmation.arrival_orders
    if verdict is None:
        return str(run.result["sentence"]).removeprefix("Simulated: ")
    again = f"{_sentence_case(run.seen)} again under {counted(orders, 'other arrival order')}, "
    today = f"the {verdict['reference']} configuration"
    winner, reference = _standings(run, verdict)
    chosen = key(run.result["recommended"]["config"]) == key(verdict["winner"])
    if chosen and winner["meets_slos"] and not reference["meets_slos"]:
        return f"{again}the best finalist keeps the SLOs, which {today} does not."
    if reference["meets_slos"] and not winner["meets_slos"]:
        return f"{again}no finalist keeps the SLOs that {today} keeps, so it stays."
    words = {
        ("better", True): f"the best finalist beats {today} beyond the noise.",
        ("trade", True): f"the best finalist gains more on one objective than it costs on the other, against {today}.",
        ("trade", False): f"the best finalist costs more on one objective than it gains on the other; {today} stays.",
        ("none", False): f"nothing that the search found was shown to beat {today} beyond the noise, so it "
        "stays: that, too, is a result.",
    }
    return again + words[verdict["kind"], chosen]


def _standings(run: Run, verdict: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Of the winner and of what runs today."""
    standings = run.result["confirmation"]
    winner = next(one for one in standings if key(one["config"]) == key(verdict["winner"]))
    return winner, next(one for one in standings if one["role"] == verdict["reference"])


def _compared(run: Run) -> str:
    """Over the changes, where they are not those of what is recommended against what runs today."""
    verdict, recommended = run.result["verdict"], run.result["recommended"]
    if verdict is None or key(recommended["config"]) == key(verdict["winner"]):
        return ""
    return f"The best finalist against the {verdict['reference']} configuration"


def _nothing(run: Run) -> str:
    if run.state == "under way":
        return "No evaluation has given a usable measurement so far."
    failed = sum(run.result["outcomes"]["failed"].values())
    lost = run.result["outcomes"]["retried"]
    told = [f"{counted(failed, 'configuration')} failed"] if failed else []
    if measured := run.result["outcomes"]["measured"]:
        most = percent(run.resolved.problem.max_error_rate)
        told.append(f"{measured:,} ran, but dropped more than {most} of their requests or lack an objective's metric")
    if lost:
        told.append(f"{counted(lost, 'attempt')} were lost to the machines")
    return f"{_sentence_case('; '.join(told) or 'nothing was measured')}. See below why."


def _gains(run: Run) -> tuple[Gain, ...]:
    verdict = run.result["verdict"]
    return _confirmed_gains(run, verdict) if verdict is not None else _searched_gains(run)


def _confirmed_gains(run: Run, verdict: Mapping[str, Any]) -> tuple[Gain, ...]:
    winner, reference = _standings(run, verdict)
    gains = []
    for change in verdict["changes"]:
        name = named(change["metric"])
        before, after = (_mean(one, change["metric"]) for one in (reference, winner))
        words = {"better": "beyond the noise", "worse": "worse, beyond the noise", "no": "within the noise"}
        sure = words[change["certain"]]
        if change["low"] is not None:
            sure += f": 95% interval {percent(change['low'], signed=True)} to {percent(change['high'], signed=True)}"
        moved = percent(change["relative"], signed=True)
        gains.append(Gain(name.label, moved, change["certain"], sure, name.quantity(before), name.quantity(after)))
    return tuple(gains)


def _searched_gains(run: Run) -> tuple[Gain, ...]:
    """From single measurements of the search: what was picked for being best looks better than it is."""
    before, candidate = run.measured(run.today[1]), run.candidate
    after = run.measured(candidate) if candidate else None
    if before is None or after is None or before.trial.id == after.trial.id:
        return ()
    gains = []
    for metric in run.metrics:
        name = named(metric)
        was, now = (dict(getattr(one.outcome, "metrics", {})).get(metric) for one in (before, after))
        moved = percent(now / was - 1, signed=True) if was and now is not None else "–"
        gains.append(
            Gain(name.label, moved, "no", "one measurement each, optimistic", name.quantity(was), name.quantity(now))
        )
    return tuple(gains)


def _settings(run: Run, config: Config) -> tuple[Setting, ...]:
    today = run.today[1]
    return tuple(
        Setting(name, value_text(today.get(name)), value_text(value))
        for name, value in config.items()
        if today.get(name) != value
    )


def _notes(run: Run) -> tuple[str, ...]:
    recommended, study = run.result["recommended"], run.resolved.study
    notes = []
    if recommended and recommended["replicas"] > 1:
        notes.append(f"Serve {recommended['replicas']} replicas of this on GPUs of their own, behind a balancer.")
    if recommended and study.engine.env:
        notes.append(f"With the study's environment variables: {', '.join(sorted(study.engine.env))}.")
    for standing in run.result["confirmation"]:
        if (soak := standing["soak"]) is not None:
            one = "What is recommended" if recommended and standing["config"] == recommended["config"] else "A finalist"
            notes.append(f"{one} {soak['line']}.")
    return tuple(notes)


def _mean(standing: Mapping[str, Any], metric: str) -> float:
    return float(next(one["mean"] for one in standing["promises"] if one["metric"] == metric))


def _plainly(change: Mapping[str, Any]) -> str:
    way = "lower" if change["relative"] < 0 else "higher"
    return f"{named(change['metric']).label} {percent(abs(change['relative']))} {way}"


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


def targets(run: Run) -> Sequence[str]:
    """What was asked for, a line per objective and SLO."""
    wanted = [f"{objective.direction} {named(objective.metric).label}" for objective in run.resolved.problem.objectives]
    for slo in run.resolved.problem.slos:
        name = named(slo.metric)
        wanted.append(f"SLO {name.label} {slo.operator} {name.quantity(slo.limit)}")
    return wanted
