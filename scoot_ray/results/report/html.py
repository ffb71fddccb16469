"""The report as one HTML file: no network, no other file, safe whatever the run's texts contain.

Every text passes ``plain`` and then Jinja's escaping. The page's own style and script are allowed by their hashes, and
nothing else is.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from scoot_ray.results.report import svg
from scoot_ray.results.report.chart import Chart, Figure, Size
from scoot_ray.results.report.contents import Report, failures_sentence
from scoot_ray.results.report.palette import ROLES, variables
from scoot_ray.results.report.text import plain

_NARROW = 356  # CSS pixels: a phone
_WIDTHS: Mapping[Size, int] = {"small": 300, "medium": 430, "large": 860}


def html_report(report: Report) -> str:
    """The whole page."""
    environment = _environment()
    style, script = _style(environment), Markup(_source(environment, "report.js"))  # noqa: S704 - our own file
    own = f"style-src {_hash(style)}; script-src {_hash(script)}"
    policy = f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"
    return environment.get_template("report.html.j2").render(
        report=report,
        run=report.run,
        result=report.run.result,
        headline=report.headline,
        explanation=report.run.explanation,
        failures_sentence=failures_sentence(report),
        drawings=_drawings,
        style=style,
        script=script,
        policy=policy,
    )


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("scoot_ray.results.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalized(value: object) -> object:
    """What an expression of the template may put on the page."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _drawings(figure: Figure) -> list[tuple[Chart, Markup, Markup | None]]:
    """Each chart, as drawn; a large one for wide and for narrow screens."""
    width = _WIDTHS[figure.size]
    height = 430 if figure.size == "large" else None
    return [
        (
            chart,
            svg.draw(chart, width, None if chart.rows else height),
            None if figure.size == "small" else svg.draw(chart, _NARROW, None if chart.rows else 0.85 * _NARROW),
        )
        for chart in figure.charts
    ]


def _style(environment: Environment) -> Markup:
    light, dark = variables(dark=False), variables(dark=True)
    roles = "".join(f".r-{role}{{color:var(--{role})}}" for role in ROLES)
    colours = (
        f":root{{color-scheme:light dark;{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"@media print{{:root{{color-scheme:light;{light}}}}}{roles}"
    )
    scoped = "".join(f"svg.chart {rule}}}" for rule in svg.STYLE.split("}") if rule)
    return Markup(f"{colours}{scoped}{_source(environment, 'report.css')}")  # noqa: S704 - our own files


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _hash(content: str) -> str:
    """As a content security policy names an inline element."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
