"""The report as one JSON document: what ``status`` and ``explain`` give, and what the figures are drawn from."""

from __future__ import annotations

from typing import Any

from scoot_ray.results.report.contents import Report
from scoot_ray.results.report.effort import Cost


def report_document(report: Report) -> dict[str, Any]:
    """All of it; seconds, milliseconds and requests per second as their names say."""
    run = report.run
    return {
        "schema_version": 1,
        "study": run.result["study"],
        "simulated": run.simulated,
        "state": run.state,
        "written": run.written.isoformat(),
        "headline": {"title": report.headline.title, "sentence": report.headline.sentence},
        "result": dict(run.result),
        "explanation": dict(run.explanation),
        "environment": dict(run.environment),
        "latencies": [
            {
                "configuration": spread.name,
                "requests": spread.requests,
                "trials": list(spread.trials),
                "cumulative_percent_ms": {name: list(curve) for name, curve in spread.curves.items()},
            }
            for spread in report.spreads
        ],
        "timeline": [
            {
                "trial": span.trial,
                "where": span.where,
                "slot": span.slot,
                "begin_s": span.begin_s,
                "end_s": span.end_s,
                "phases_s": dict(span.phases),
                "outcome": span.outcome,
            }
            for span in report.spans
        ],
        "cost": [_cost(cost) for cost in report.costs],
        "front": [{"trial": one.trial, "command": one.command} for one in report.choices],
        "trials": [
            {
                "trial": row.trial,
                "origin": row.origin,
                "outcome": row.outcome,
                "detail": row.detail,
                "configuration": row.config,
                "where": row.where,
                "log_tail": row.log,
            }
            for row in report.rows
        ],
        "study_yaml": report.study,
    }


def _cost(cost: Cost) -> dict[str, Any]:
    phases = {f"{phase}_s": seconds for phase, seconds in cost.phases_s.items()}
    return {
        "part": cost.part,
        "trials": cost.trials,
        **phases,
        "gpus": cost.gpus,
        "held_s": cost.held_s,
        "gpu_s": cost.gpu_s,
    }
