"""Figures for papers: every chart of a report as a file of its own, SVG and, with the extra, PNG."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from scoot_ray.results.report import svg
from scoot_ray.results.report.chart import Chart
from scoot_ray.results.report.contents import Report
from scoot_ray.results.report.picture import save_png
from scoot_ray.run_folder import write


def save_figures(report: Report, folder: Path, *, png: bool) -> list[Path]:
    """Write them; return the files. Raises OSError where they cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    note = "simulated" if report.run.simulated else ""
    for stem, chart, wide in _named(report):
        path = folder / f"{stem}.svg"
        write(path, svg.standalone(chart, 720 if wide else 480, note=note).encode())
        written.append(path)
        if png:
            save_png(chart, path.with_suffix(".png"), 6.5 if wide else 4.5, note)
            written.append(path.with_suffix(".png"))
    return written


def _named(report: Report) -> Iterator[tuple[str, Chart, bool]]:
    """Charts with the names of their files: the figure's, and the chart's where it has several."""
    for figure in report.figures:
        for chart in figure.charts:
            stem = figure.id if len(figure.charts) == 1 else f"{figure.id}-{chart.name}"
            yield re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-").lower()[:80], chart, figure.size == "large"
