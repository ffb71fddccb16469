"""The report as Markdown: for a merge request, a wiki, a terminal. Figures appear as their tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from scoot_ray.results.report.chart import Figure, Table
from scoot_ray.results.report.contents import Report, failures_sentence
from scoot_ray.results.report.headline import Headline
from scoot_ray.results.report.text import plain
from scoot_ray.results.report.trials import Row

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&!])")
_MOST_LOGS = 20  # of failed trials, the latest


def markdown_report(report: Report) -> str:
    """The whole document."""
    return "\n".join(_lines(report)).rstrip("\n") + "\n"


def _lines(report: Report) -> Iterator[str]:
    run = report.run
    yield f"# {_text(run.result['study'])}{' (simulated)' if run.simulated else ''}"
    yield ""
    if run.simulated:
        yield from ("**Every figure here is simulated: computed by a model of the engine, never measured.**", "")
    yield from (f"- {name}: {_text(value)}" for name, value in report.facts)
    yield from _headline(report.headline, report.targets, run.result["warnings"])
    if report.choices:
        yield from ("## The best of the search" if report.front is None else f"## {report.front.title}", "")
        yield from _figure(report.front)
        for choice in report.choices:
            yield from (f"Trial {choice.trial}:", "", *_code(choice.command), "")
    for figure in (report.latency, report.importance, report.dependence):
        yield from _section(figure)
    if silence := run.explanation["silence"]:
        yield from ("## Which parameters matter", "", f"It cannot be told yet: {_text(silence)}.", "")
    yield from ("## Failures and what they taught", "", _text(failures_sentence(report)), "")
    yield from (f"- {_text(rule['text'])}" for rule in run.explanation["hidden_constraints"])
    yield from ("", *_table(report.failures)) if report.failures.rows else ()
    for figure in (report.progress, report.timeline):
        yield from _section(figure)
    yield from ("## Cost", "", *_table(report.cost), "## Environment", "", *_table(report.environment))
    yield from ("## Every trial", "", *_table(_trials(report.rows)), *_logs(report.rows))
    if report.steps:
        yield from ("## What next", "")
        yield from (*_code("\n".join(f"{command}  # {purpose}" for command, purpose in report.steps)), "")
    yield from ("## How to reproduce", "", "Save as `study.yaml`, then `scoot-ray tune study.yaml`:", "")
    yield from _code(report.study, "yaml")


def _headline(headline: Headline, targets: Sequence[str], warnings: Sequence[str]) -> Iterator[str]:
    yield from ("", f"## {_text(headline.title)}", "", _text(headline.sentence), "")
    yield from (f"- **{_text(one)}**" for one in headline.broken)
    for gain in headline.gains:
        yield f"- {gain.label}: **{gain.change}**, {gain.before} → {gain.after} ({gain.sure})"
    if headline.settings:
        yield from ("", "What to set:", "")
        yield from (
            f"- {_text(one.parameter)}: {_text(one.before)} → **{_text(one.after)}**" for one in headline.settings
        )
    if headline.command:
        yield from ("", *_code(headline.command))
    yield from ("", *map(_text, headline.notes), f"Asked for: {_text('; '.join(targets))}.", "")
    yield from (f"> {_text(warning)}" for warning in warnings)
    if headline.promises:
        yield from ("", *_table(headline.promises))


def _section(figure: Figure | None) -> Iterator[str]:
    if figure is not None:
        yield from (f"## {figure.title}", "")
        yield from _figure(figure)


def _figure(figure: Figure | None) -> Iterator[str]:
    if figure is not None:
        yield from (_text(figure.caption), "", *_table(figure.table))


def _table(table: Table) -> Iterator[str]:
    """A table in GitHub's dialect."""
    if not table.rows:
        return
    yield _row(table.head)
    yield _row("---" for _ in table.head)
    yield from (_row(map(_text, row)) for row in table.rows)
    yield ""


def _trials(rows: Sequence[Row]) -> Table:
    head = ("trial", "asked for by", "outcome", "figures", "where it differs from the default")
    return Table(
        "Every trial",
        head,
        tuple(
            (str(row.trial), row.origin, row.outcome, _told(row), row.differs)
            for row in rows
        ),
    )  # fmt: skip


def _told(row: Row) -> str:
    return row.detail or ", ".join(f"{label} {value}" for label, value in row.figures)


def _logs(rows: Sequence[Row]) -> Iterator[str]:
    """The ends of the logs of what failed; all of them are in the HTML and JSON forms."""
    for row in [row for row in rows if row.kind == "failed" and row.log][-_MOST_LOGS:]:
        yield from (f"### Log of trial {row.trial}", "", *_code(row.log), "")


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    """One line that means nothing but itself."""
    return _SPECIAL.sub(r"\\\1", " ".join(plain(text).split()))


def _code(text: str, language: str = "") -> Iterator[str]:
    """A block fenced by more backticks than the text has in a row."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (fence + language, *plain(text).splitlines(), fence)
