"""What the search has learnt, drawn: which parameters an objective hangs on, and which way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scoot_ray.results.report.chart import (
    Axis,
    Band,
    Bar,
    Bars,
    Chart,
    Dot,
    Dots,
    Figure,
    Line,
    Mark,
    Segments,
    Table,
    axis_of,
    categories,
)
from scoot_ray.results.report.palette import Role
from scoot_ray.results.report.run import Run
from scoot_ray.results.report.scales import Scale
from scoot_ray.results.report.text import counted, named, number, percent, value_text
from scoot_ray.search import Value

_VERDICTS: tuple[tuple[str, Role], ...] = (
    ("matters", "front"),
    ("cannot tell", "default"),
    ("hardly matters", "faint"),
)
_MOST_CURVES = 12  # per objective
_FEW_VALUES = 4  # up to so many are written at the axis one by one


def importance_figure(run: Run) -> Figure | None:
    """The share of each objective's variance that hangs on each parameter; None where too little was measured."""
    objectives = run.explanation["objectives"]
    if not objectives:
        return None
    caption = (
        "Share of the variance that goes with a parameter, alone or together with others, over allowed configurations "
        f"that are likely to work; strokes are 90% intervals. {' '.join(_trust(one) for one in objectives)}"
    )
    charts = tuple(_importance_chart(one) for one in objectives)
    return Figure("importance", "Which parameters matter", caption, charts, _importance_table(objectives), "medium")


def dependence_figure(run: Run) -> Figure | None:
    """The curves of the parameters that matter most, per objective on one scale; None where there are none."""
    charts = tuple(chart for one in run.explanation["objectives"] for chart in _curve_charts(one))
    if not charts:
        return None
    caption = (
        "The metric at each value, averaged over the same configurations, with a 90% interval of the average. The most "
        "important parameter comes first; what hardly matters is in the table alone. An objective has one scale. "
        "An average over the space says nothing about the best corner of it."
    )
    return Figure(
        "dependence", "Which way they work", caption, charts, _dependence_table(run.explanation["objectives"])
    )


def _importance_chart(objective: Mapping[str, Any]) -> Chart:
    entries = objective["importance"]
    label = named(objective["metric"]).label
    marks: list[Mark] = []
    for verdict, role in _VERDICTS:
        bars = tuple(
            Bar(0.0, 100 * one["share"], -float(at), f"{one['parameter']}: {percent(one['share'])}, {verdict}")
            for at, one in enumerate(entries)
            if one["verdict"] == verdict
        )
        marks.append(Bars(role, bars, verdict, 0.45))
    strokes = tuple(
        (100 * one["interval_90"][0], -float(at), 100 * one["interval_90"][1], -float(at))
        for at, one in enumerate(entries)
    )
    marks.append(Segments("interval", strokes, "90% interval"))
    mattering = [one["parameter"] for one in entries if one["verdict"] == "matters"]
    summary = f"What matters: {', '.join(mattering)}." if mattering else "No parameter can be said to matter."
    x = Axis("share of the variance, %", Scale(0.0, 100.0))
    y = categories("", [one["parameter"] for one in entries])
    return Chart(f"What {label} hangs on", summary, x, y, tuple(marks), rows=len(entries))


def _trust(objective: Mapping[str, Any]) -> str:
    """How far the model behind the figures may be believed."""
    one = objective["calibration"]
    unit = " of its logarithm" if one["logarithmic"] else ""
    return (
        f"Behind them is a model that foretells each of {counted(one['observations'], 'measurement')} of "
        f"{named(objective['metric']).label} from the others with an error of {number(one['error'])}{unit}, where they "
        f"vary by {number(one['spread'])}; its 90% intervals held {percent(one['within_90'])}."
    )


def _importance_table(objectives: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            named(objective["metric"]).label,
            one["parameter"],
            percent(one["share"]),
            " – ".join(percent(end) for end in one["interval_90"]),
            one["verdict"],
        )
        for objective in objectives
        for one in objective["importance"]
    )
    return Table("Importance", ("objective", "parameter", "share", "90% interval", "verdict"), rows)


def _curve_charts(objective: Mapping[str, Any]) -> list[Chart]:
    name = named(objective["metric"])
    shares = {one["parameter"]: one["share"] for one in objective["importance"]}
    idle = {one["parameter"] for one in objective["importance"] if one["verdict"] == "hardly matters"}
    ranked = sorted(objective["partial_dependence"], key=lambda one: -shares.get(one["parameter"], 0.0))
    shown = [one for one in ranked if one["parameter"] not in idle][:_MOST_CURVES]
    y = axis_of(name.heading, [end * name.factor for one in shown for end in (*one["low"], *one["high"])])
    return [_curve_chart(name.label, name.factor, y, one) for one in shown]


def _curve_chart(label: str, factor: float, y: Axis, curve: Mapping[str, Any]) -> Chart:
    parameter, values = curve["parameter"], curve["values"]
    x, places = _values_axis(parameter, values)
    triples = [
        (at, low * factor, mean * factor, high * factor)
        for at, low, mean, high in zip(places, curve["low"], curve["mean"], curve["high"], strict=True)
    ]
    mean = tuple((at, middle) for at, _, middle, _ in triples)
    if _ordered(values):
        spread: Mark = Band("front", tuple((at, low, high) for at, low, _, high in triples))
        line: tuple[Mark, ...] = (Line("front", mean),)
    else:
        spread, line = Segments("front", tuple((at, low, at, high) for at, low, _, high in triples)), ()
    dots = tuple(
        Dot(*point, f"{parameter}={value_text(value)}: {number(point[1])}")
        for point, value in zip(mean, values, strict=True)
    )
    first, last = (f"{number(mean[end][1])} at {value_text(values[end])}" for end in (0, -1))
    return Chart(f"{label} by {parameter}", f"From {first} to {last}.", x, y, (spread, *line, Dots("front", dots)))


def _ordered(values: Sequence[Value]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _values_axis(parameter: str, values: Sequence[Value]) -> tuple[Axis, list[float]]:
    """Numbers at their place; anything else side by side."""
    if _ordered(values):
        places = [float(value) for value in values]
        axis = axis_of(parameter, places)
        if len(places) > _FEW_VALUES:
            return axis, places
        return Axis(
            axis.label, axis.scale, tuple((at, value_text(v)) for at, v in zip(places, values, strict=True))
        ), places
    marks = tuple((float(at), value_text(value)) for at, value in enumerate(values))
    return Axis(parameter, Scale(-0.5, len(values) - 0.5), marks), [at for at, _ in marks]


def _dependence_table(objectives: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            named(objective["metric"]).heading,
            curve["parameter"],
            value_text(value),
            named(objective["metric"]).figure(mean),
            f"{named(objective['metric']).figure(low)} – {named(objective['metric']).figure(high)}",
        )
        for objective in objectives
        for curve in objective["partial_dependence"]
        for value, mean, low, high in zip(curve["values"], curve["mean"], curve["low"], curve["high"], strict=True)
    )
    return Table("Partial dependence", ("objective", "parameter", "value", "average", "90% interval"), rows)
