"""The report of a folder: ``report.md`` with tables, and figures beside it where matplotlib is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.search import figures, tables
from benchmarks.search.score import Result, Scale, Yardstick, read_results, scores, suggestion_seconds, yardsticks
from benchmarks.search.services import SERVICES
from benchmarks.search.tables import Comparison

_SPLITS = (("judge", "Services that were not looked at"), ("dev", "Services that the search was tuned on"))
_HEAD = """\
# The search benchmark

Everything here is simulated. Regret is 1 - normalised score: 0 is the best known, 1 no better than the default, judged
without noise on what the tuner recommends (`docs/search.md`; hypervolumes on the {scale} scale). PD is how many trials
run at a time; counts of cells are in parentheses.
"""


class NothingToReport(ValueError):  # noqa: N818 - says what is wrong
    """The folder has no judged cells of services whose best is known."""


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
    for split, title in _SPLITS:
        names = {scenario.name for scenario in SERVICES if scenario.split == split}
        mine = tuple(one for one in scored if one.cell.scenario in names)
        if mine:
            chosen = [result for result in results if result.cell.scenario in names & sticks.keys()]
            comparison = Comparison(mine, subject)
            lines += [f"## {title}\n", *_section(comparison, chosen)]
            lines += _figures(folder, split, comparison, chosen, sticks)
    text = "\n".join(lines)
    (folder / "report.md").write_text(text, encoding="utf-8")
    return text


def _section(comparison: Comparison, results: Sequence[Result]) -> list[str]:
    """One group of services."""
    return [
        "Mean regret:\n",
        *tables.mean_regrets(comparison),
        "Mean rank, on the services and seeds that all tuners have (how many):\n",
        *tables.ranks(comparison),
        f"Regret of {comparison.subject} less that of the others, paired by service and seed (below zero: better):\n",
        *tables.differences(comparison),
        "Trials at a time:\n",
        *tables.parallelism(comparison),
        "Mean regret by service:\n",
        *tables.by_service(comparison),
        "Failures, and CPU seconds per suggestion after the initial sample:\n",
        *tables.costs(comparison, suggestion_seconds(results)),
    ]


def _figures(
    folder: Path, split: str, comparison: Comparison, results: Sequence[Result], sticks: dict[str, Yardstick]
) -> list[str]:
    """Draw them; return the lines that show them."""
    if not figures.available():
        return ["No figures: they need the extra, pip install 'scoot-ray[plots]'.\n"]
    parallel = comparison.parallels[0]
    figures.regret_figure(comparison, parallel, folder / f"regret-{split}.svg")
    lines = [f"![Regret over observations](regret-{split}.svg)\n"]
    shown = _example(results, parallel, comparison.budget, sticks)
    if shown:
        name = shown[0].cell.scenario
        figures.front_figure(shown, sticks[name], comparison.budget, folder / f"fronts-{split}.svg")
        lines.append(f"![Fronts of {name}](fronts-{split}.svg)\n")
    return lines


def _example(results: Sequence[Result], parallel: int, budget: int, sticks: dict[str, Yardstick]) -> list[Result]:
    """The first service with two objectives, in its first seed, as every tuner solved it."""
    two = [
        result
        for result in results
        if len(sticks[result.cell.scenario].problem.objectives) == 2
        and result.cell.parallel == parallel
        and budget in result.judgement.recommended
    ]
    first = min(((one.cell.seed, one.cell.scenario) for one in two), default=None)
    return [one for one in two if (one.cell.seed, one.cell.scenario) == first]
