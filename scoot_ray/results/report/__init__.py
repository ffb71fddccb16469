"""The report of a run: one HTML file, or Markdown, JSON, and figures for papers.

``read_run`` gathers, ``report_of`` puts together, the rest writes::

    page = html_report(report_of(read_run(folder, resolved)))
"""
