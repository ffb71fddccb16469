"""All that a report says, whatever its form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from scoot_ray.engine.kinds import KINDS
from scoot_ray.results.next_steps import next_steps
from scoot_ray.results.report.chart import Figure, Table
from scoot_ray.results.report.distributions import Spread, distributions_figure, spreads_of
from scoot_ray.results.report.effort import Cost, cost_table, costs_of, failure_table, timeline_figure
from scoot_ray.results.report.front import front_figure
from scoot_ray.results.report.headline import Headline, headline_of, targets
from scoot_ray.results.report.lessons import dependence_figure, importance_figure
from scoot_ray.results.report.progress import progress_figure
from scoot_ray.results.report.run import HIDDEN, HIDDEN_FLAGS, Run
from scoot_ray.results.report.text import config_text, counted, duration, number
from scoot_ray.results.report.timeline import Span, spans_of
from scoot_ray.results.report.trials import Choice, Row, choices_of, rows_of
from scoot_ray.search import Failed


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """The parts in the order in which they are read."""

    run: Run
    headline: Headline
    targets: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    front: Figure | None
    choices: tuple[Choice, ...]
    latency: Figure | None
    importance: Figure | None
    dependence: Figure | None
    failures: Table
    progress: Figure | None
    timeline: Figure | None
    costs: tuple[Cost, ...]
    cost: Table
    environment: Table
    rows: tuple[Row, ...]
    study: str
    steps: tuple[tuple[str, str], ...]
    spans: tuple[Span, ...]
    spreads: tuple[Spread, ...]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Those that could be drawn."""
        drawn = (self.front, self.latency, self.importance, self.dependence, self.progress, self.timeline)
        return tuple(figure for figure in drawn if figure is not None)


def report_of(run: Run, *, logs: bool = True) -> Report:
    """Put a run's report together; without ``logs`` the engines' own words are left out."""
    study = run.resolved.study
    spans = spans_of(run.events, study.parallelism.max, virtual=study.engine.in_virtual_time)
    spreads = spreads_of(run)
    costs = costs_of(run, spans)
    failed = [seen for seen in run.log.observations if isinstance(seen.outcome, Failed)]
    return Report(
        run,
        headline_of(run),
        tuple(targets(run)),
        _facts(run, costs),
        front_figure(run),
        choices_of(run),
        distributions_figure(run, spreads),
        importance_figure(run),
        dependence_figure(run),
        failure_table(failed),
        progress_figure(run, spans),
        timeline_figure(run, spans),
        costs,
        cost_table(costs),
        _environment(run),
        rows_of(run, spans, logs=logs),
        _study_text(run),
        next_steps(str(run.folder), run.result),
        spans,
        spreads,
    )


def _facts(run: Run, costs: Sequence[Cost]) -> tuple[tuple[str, str], ...]:
    """The line under the title."""
    budget, outcomes = run.result["budget"], run.result["outcomes"]
    failed = sum(outcomes["failed"].values())
    held_s = sum(cost.held_s for cost in costs)
    gpu_h = sum(cost.gpu_s for cost in costs) / 3600
    spent = f"{duration(held_s)} of slot time" + (f", {number(gpu_h)} GPU-hours" if gpu_h else "")
    simulated = " (simulated)" if run.simulated else ""
    return (
        ("model", run.resolved.study.engine.model),
        ("hardware", _hardware(run) + simulated),
        ("trials", f"{budget['spent']} of {budget['observations']} observations, {failed} failed"),
        ("cost", spent + simulated),
        ("state", run.state),
        ("written", run.written.strftime("%Y-%m-%d %H:%M %Z")),
    )


def _hardware(run: Run) -> str:
    study = run.resolved.study
    if study.engine.hardware is not None:
        return f"{study.gpus} × {study.engine.hardware.accelerator}" if study.gpus else "a calibrated machine"
    if study.gpus:
        return f"{study.gpus} × {study.resources.accelerator or 'GPU'}"
    return "CPU"


def _environment(run: Run) -> Table:
    """What the figures hold for: versions, machines, the trace's fingerprint."""
    study, engine, trace = run.resolved.study, run.result["engine"], run.result["trace"]
    noted, title = run.environment, KINDS[study.engine.kind].title
    version = "the simulator's model of it" if run.simulated else study.engine.python or f"this environment's {title}"
    too_long = ", ".join(f"{count} {what}" for what, count in trace["too_long"].items() if count) or "none"
    rows = [
        ("model", study.engine.model),
        ("engine", f"{title} {engine['engine_version'] or 'of unknown version'}, {version}"),
        ("longest sequence", f"{engine['max_model_len']:,} tokens" if engine["max_model_len"] else "–"),
        ("hardware of one evaluation", f"{_hardware(run)}, {study.resources.cpus:g} CPUs reserved"),
        ("hosts", ", ".join(sorted({seen.where for seen in run.log.observations if seen.where})) or "–"),
        ("flags that stay as they are", _flags(run)),
        ("trace", trace["source"]),
        ("trace SHA-256", noted.get("trace_sha256") or trace["sha256"]),
        ("requests in the trace", f"{trace['requests']:,} (too long: {too_long})"),
        ("arrivals", _arrivals(run)),
        ("traffic", _traffic(noted.get("traffic"))),
        ("search", f"{study.tuner}, seed {study.seed}"),
        ("scoot-ray", str(noted.get("scoot_ray", "–"))),
        ("platform", f"{noted.get('platform', '–')}, Python {noted.get('python', '–')}"),
        ("packages", ", ".join(f"{name} {version}" for name, version in noted.get("packages", {}).items()) or "–"),
    ]
    for past in run.result["warm_start"]:
        taken = f"{past['observations']} observations, similarity {past['similarity']:.2f}"
        rows.append((f"started from {past['study']}", taken))
    return Table("What the figures hold for", ("", ""), tuple(rows))


def _flags(run: Run) -> str:
    shown = {name: value for name, value in run.resolved.study.engine.args.items() if name not in HIDDEN_FLAGS}
    return config_text(shown) or "–"


def _arrivals(run: Run) -> str:
    workload = run.resolved.study.workload
    arrivals = workload.arrivals
    rate = f"{arrivals.rate:g} requests/s" if arrivals.rate else f"recorded, time scale {arrivals.time_scale:g}"
    if arrivals.end_rate:
        rate += f" rising to {arrivals.end_rate:g}"
    return f"{arrivals.process}, {rate}, over {workload.duration_s:g} s"


def _traffic(figures: Mapping[str, Any] | None) -> str:
    if not figures:
        return "–"
    shared = f", {figures['shared']:.0%} of the prompts' blocks seen before" if figures.get("shared") else ""
    return f"{figures['input_tokens']:,.0f} tokens in and {figures['output_tokens']:,.0f} out on average{shared}"


def _study_text(run: Run) -> str:
    """The study as resolved; variables of the engine's environment by name alone."""
    document = run.resolved.study.model_dump(mode="json", exclude_none=True)
    engine = document["engine"]
    engine["env"] = {
        name: entry if isinstance(entry, dict) else HIDDEN for name, entry in engine.get("env", {}).items()
    }
    engine["args"] |= dict.fromkeys(HIDDEN_FLAGS & engine["args"].keys(), HIDDEN)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def failures_sentence(report: Report) -> str:
    """How many configurations failed, and whether something explains it."""
    explained = report.run.explanation
    failed = int(explained["failed"])
    if not failed:
        return "No configuration failed."
    told = f"{counted(failed, 'configuration')} of the search failed."
    if explained["hidden_constraints"]:
        return f"{told} These conditions tell them from those that worked, better than chance would:"
    return f"{told} No condition on one or two parameters explains them better than chance would."
