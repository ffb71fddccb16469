"""The report of a folder: ``report.md`` with tables, and figures beside it where matplotlib is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.search import figures, parallelism, tables
from benchmarks.search.bar import PAPER, bar
from benchmarks.search.comparison import Comparison
from benchmarks.search.fronts import diversities, diversity_table, with_fronts
from benchmarks.search.groups import EVERY, groups
from benchmarks.search.relatives import WARM
from benchmarks.search.score import Result, Scale, Yardstick, read_results, scores, suggestion_seconds, yardsticks
from benchmarks.search.services import SERVICES
from benchmarks.search.speed import speed_table
from benchmarks.search.stopping import read_stops, stops_table
from benchmarks.search.variants import ABLATION
from scoot_ray.search import TUNERS

_SPLITS = (("judge", "Services that were not looked at"), ("dev", "Services that the search was tuned on"))
_WARM_AT = (5, 8, 10, 15, 20, 30)
_HEAD = """\
# The search benchmark

Everything here is simulated. Regret is 1 - normalised score: 0 is the best known, 1 no better than the default, judged
without noise on what the tuner recommends (`docs/search.md`; hypervolumes on the {scale} scale). PD is how many trials
run at a time; counts of cells are in parentheses. Differences are paired by service and seed, and negative where the
first of the two has less regret.
"""


class NothingToReport(ValueError):  # noqa: N818 - says what is wrong
    """The folder has no judged cells of services whose best is known."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What is reported of one split: its scores, its kinds of services, and the cells behind them."""

    folder: Path
    split: str
    everything: Comparison
    members: Mapping[str, frozenset[str]]
    results: Sequence[Result]
    sticks: Mapping[str, Yardstick]

    @property
    def tuners(self) -> Comparison:
        """Of the tuners that users have, without a warm start."""
        return self.everything.of(TUNERS)


def write_report(folder: Path, subject: str, scale: Scale) -> str:
    """Write ``report.md`` and the figures; return the report.

    Raises:
        NothingToReport: see there.
    """
    results = read_results(folder)
    sticks = yardsticks(folder, results, scale)
    scored = scores(results, sticks)
    if not scored:
        raise NothingToReport(f"{folder}: no cell has been judged; run the benchmark into it first")
    lines = [_HEAD.format(scale=scale)]
    unmeasured = sorted({result.cell.scenario for result in results} - sticks.keys())
    if unmeasured:
        lines.append(f"Left out, since nothing better than the default is known: {', '.join(unmeasured)}.\n")
    if not figures.available():
        lines.append("No figures: they need the extra, pip install 'scoot-ray[plots]'.\n")
    for split, title in _SPLITS:
        names = {scenario.name for scenario in SERVICES if scenario.split == split} & sticks.keys()
        mine = [one for one in scored if one.cell.scenario in names]
        if mine:
            chosen = [result for result in results if result.cell.scenario in names]
            there = {one.cell.scenario for one in mine}
            part = _Part(folder, split, Comparison(mine, subject), groups(folder, there), chosen, sticks)
            lines += [f"## {title}\n", *_section(part)]
    timed = speed_table(folder)
    lines += _titled("## CPU seconds of a call on one core", timed)
    text = "\n".join(lines)
    (folder / "report.md").write_text(text, encoding="utf-8")
    return text


def _section(part: _Part) -> list[str]:
    """One group of services."""
    lines = _titled("### The bar", bar(part.everything))
    if part.tuners.tuners:
        lines += [*_comparisons(part.tuners, part.members), *_parallelism(part.tuners), *_fronts(part)]
        lines += _titled(
            "### Failures, and CPU seconds per suggestion after the initial sample",
            tables.costs(part.tuners, suggestion_seconds(part.results)),
        )
    everything = part.everything
    lines += _titled("### Without a mechanism", tables.variants(everything, [*ABLATION], everything.budgets))
    lines += _titled("### Warm starts", tables.variants(everything, [*WARM], _WARM_AT))
    stops = [one for one in read_stops(part.folder) if one.cell.scenario in part.members[EVERY]]
    if stops:
        lines += _titled("### Stopping early", stops_table(stops, part.sticks))
    return [*lines, *_figures(part)]


def _comparisons(comparison: Comparison, members: Mapping[str, frozenset[str]]) -> list[str]:
    subject = comparison.subject
    return [
        *_titled("### Mean regret", tables.mean_regrets(comparison)),
        *_titled("### Mean rank, on the services and seeds that all tuners have (how many)", tables.ranks(comparison)),
        *_titled(f"### {subject} against the others", tables.differences(comparison)),
        *_titled("### Kinds of services (how many)", tables.by_group(comparison, members)),
        *_titled(f"### {subject} against the others by kind", tables.group_differences(comparison, members)),
        *_titled("### Mean regret by service", tables.by_service(comparison)),
    ]


def _parallelism(comparison: Comparison) -> list[str]:
    return [
        *_titled("### Trials at a time: quality", parallelism.quality(comparison)),
        *_titled("### Trials at a time: tuning time", parallelism.duration(comparison)),
    ]


def _fronts(part: _Part) -> list[str]:
    comparison = part.tuners
    parallel, budget = comparison.parallels[0], comparison.budget
    chosen = [one for one in part.results if one.cell.tuner in TUNERS]
    found = diversities(with_fronts(chosen, part.sticks, parallel, budget), part.sticks, budget)
    title = f"### Diversity of the fronts (PD {parallel}, {budget})"
    return _titled(title, diversity_table(found, comparison.tuners)) if found else []


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    """A table under its title; nothing where it has no rows."""
    return [f"{title}\n", *lines] if len(lines) > len(["header", "rule", "end"]) else []


def _figures(part: _Part) -> list[str]:
    """Draw them; return the lines that show them."""
    if not figures.available():
        return []
    comparison, parallel = part.everything, part.everything.parallels[0]
    lines = []

    def shown(kind: str, title: str) -> Path:
        lines.append(f"![{title}]({kind}-{part.split}.svg)\n")
        return part.folder / f"{kind}-{part.split}.svg"

    if part.tuners.tuners:
        panels = {title: part.tuners.within(services) for title, services in part.members.items()}
        figures.regret_figure(panels, parallel, shown("regret", "Regret over observations"))
        chosen = [one for one in part.results if one.cell.tuner in TUNERS]
        fronts = with_fronts(chosen, part.sticks, parallel, part.tuners.budget)
        if fronts:
            figures.front_figure(fronts, part.sticks, part.tuners.budget, shown("fronts", "Fronts"))
    compared = [tuner for tuner in dict.fromkeys([comparison.subject, PAPER]) if tuner in comparison.tuners]
    if len(comparison.parallels) > 1 and compared:
        figures.parallel_figure(comparison, compared, shown("parallel", "Trials at a time"))
    warm = comparison.of([*WARM, comparison.subject])
    if len(warm.tuners) > 1:
        figures.regret_figure({"warm starts": warm}, 1, shown("warm", "Warm starts"))
    return lines
