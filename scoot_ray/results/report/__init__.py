"""The report of a run: one HTML file, or Markdown, JSON, and figures for papers.

``read_run`` gathers, ``report_of`` puts together, the rest writes::

    page = html_report(report_of(read_run(folder, resolved)))
"""

from __future__ import annotations

from scoot_ray.results.report.contents import Report, report_of
from scoot_ray.results.report.document import report_document
from scoot_ray.results.report.html import html_report
from scoot_ray.results.report.markdown import markdown_report
from scoot_ray.results.report.papers import save_figures
from scoot_ray.results.report.picture import NoPictures, require_pictures
from scoot_ray.results.report.run import Run, read_run

__all__ = [
    "NoPictures",
    "Report",
    "Run",
    "html_report",
    "markdown_report",
    "read_run",
    "report_document",
    "report_of",
    "require_pictures",
    "save_figures",
]
