"""What to set, what it gains, how sure that is: the first screen of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from scoot_ray.confirm import key
from scoot_ray.results.report.chart import Table
from scoot_ray.results.report.run import Run
from scoot_ray.results.report.text import counted, named, number, percent, value_text
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
    promises: Table | None


def headline_of(run: Run) -> Headline:
    """The headline of a run in any state."""
    recommended = run.result["recommended"]
    tone, title = _title(run)
    config = recommended["config"] if recommended else None
    return Headline(
        tone,
        title,
        run.result["sentence"] if recommended else _nothing(run),
        _gains(run) if recommended else (),
        _settings(run, config) if config else (),
        run.command(config) if config else None,
        _notes(run),
        _promises(run),
    )


def _title(run: Run) -> tuple[Tone, str]:
    verdict, recommended = run.result["verdict"], run.result["recommended"]
    if recommended is None:
        return ("open", "Nothing is measured yet") if run.state == "under way" else ("bad", "No configuration worked")
    if not recommended["confirmed"]:
        return "open", "The best so far, not confirmed"
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


def _nothing(run: Run) -> str:
    if run.state == "under way":
        return "No evaluation has given a usable measurement so far."
    failed = sum(run.result["outcomes"]["failed"].values())
    lost = run.result["outcomes"]["retried"]
    told = counted(failed, "configuration") + " failed" if failed else "No configuration was measured"
    return told + (f"; {counted(lost, 'attempt')} were lost to the machines" if lost else "") + ". See below why."


def _gains(run: Run) -> tuple[Gain, ...]:
    verdict = run.result["verdict"]
    return _confirmed_gains(run, verdict) if verdict is not None else _searched_gains(run)


def _confirmed_gains(run: Run, verdict: Mapping[str, Any]) -> tuple[Gain, ...]:
    role = verdict["reference"]
    standings = run.result["confirmation"]
    reference = next(one for one in standings if one["role"] == role)
    winner = next(one for one in standings if key(one["config"]) == key(verdict["winner"]))
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
    return tuple(notes)


def _promises(run: Run) -> Table | None:
    """What the confirmation measured of every contestant."""
    standings = [one for one in run.result["confirmation"] if one["promises"] or one["failure"]]
    if not any(one["promises"] for one in standings):
        return None
    rows = [row for number_, one in enumerate(standings) for row in _promise_rows(run, one, number_)]
    head = ("configuration", "metric", "mean", "worst run", "95% bound", "runs")
    return Table("Measured again under other arrival orders; a further run stays within the bound in 95%", head, tuple(rows))


def _promise_rows(run: Run, standing: Mapping[str, Any], at: int) -> list[tuple[str, ...]]:
    label = standing["role"] if standing["role"] != "finalist" else f"finalist {at}"
    if run.result["slos"] and standing["promises"]:
        label += " (keeps the SLOs)" if standing["meets_slos"] else " (breaks an SLO)"
    if standing["failure"]:
        label += f" – {standing['failure']}"
    rows = []
    for promise in standing["promises"]:
        name = named(promise["metric"])
        figures = (name.figure(promise[which]) for which in ("mean", "worst", "bound"))
        rows.append((label, name.heading, *figures, "  ".join(name.figure(one) for one in promise["runs"])))
    return rows or [(label, "–", "–", "–", "–", "–")]


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
        wanted.append(f"SLO {name.label} {slo.operator} {number(slo.limit * name.factor)} {name.unit}".strip())
    return wanted
