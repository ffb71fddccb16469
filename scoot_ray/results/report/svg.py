"""Charts as SVG. Colours come from the page by class, or from ``standalone`` for files of their own. Pure.

x grows to the right, y upwards; lengths in the drawing are CSS pixels at the size drawn for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from scoot_ray.results.report.chart import Band, Bars, Chart, Dot, Dots, Line, Mark, Rule, Segments
from scoot_ray.results.report.markup import tag
from scoot_ray.results.report.palette import variables
from scoot_ray.results.report.strokes import Place, path_of, shape

_LETTER = 6.8  # mean width of a character at 12 px
_LEGEND_ROW, _TICKS_ROW, _LABEL_ROW = 18.0, 18.0, 20.0
_NAMES_SHARE = 0.42  # of the width that the names of an upright axis may take
_MOST_TITLES = 400  # bars from which they are drawn as one, without words of their own

STYLE = (
    "text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:var(--soft)}"
    ".grid{stroke:var(--hair);stroke-width:1}.axis{stroke:var(--soft);stroke-width:1}"
    ".line{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}.dashed{stroke-dasharray:5 4}"
    ".band{fill:currentColor;opacity:.16}.fill{fill:currentColor}"
    ".hollow{fill:var(--ground);stroke:currentColor;stroke-width:1.5}.stroke{fill:none;stroke:currentColor;stroke-width:1.75}"
    ".rule{stroke:currentColor;stroke-width:1.25;stroke-dasharray:2 3}.said{fill:currentColor}"
)


@dataclass(frozen=True, slots=True)
class Frame:
    """The size of a drawing and the margins around its plot, in pixels."""

    width: float
    height: float
    left: float
    top: float
    right: float
    bottom: float

    @property
    def inner_width(self) -> float:
        """Of the plot."""
        return self.width - self.left - self.right

    @property
    def inner_height(self) -> float:
        """Of the plot."""
        return self.height - self.top - self.bottom


def draw(chart: Chart, width: float, height: float | None = None, *, links: bool = True) -> Markup:
    """The chart as an ``svg`` element of its own.

    The height of a chart with rows follows from them. With ``links``, dots that stand for a trial lead to it.
    """
    frame = _frame(chart, width, height)
    place = _place(chart, frame)
    linked = links and any(dot.trial is not None for mark in chart.marks if isinstance(mark, Dots) for dot in mark.dots)
    return tag(
        "svg",
        *_axes(chart, frame, place),
        *(_mark(mark, place, frame, links) for mark in chart.marks),
        *_legend(chart, frame),
        class_="chart",
        viewBox=f"0 0 {frame.width:g} {frame.height:g}",
        role="group" if linked else "img",
        aria_label=f"{chart.name}. {chart.summary}".strip(),
    )


def standalone(chart: Chart, width: float = 720, height: float | None = None, note: str = "") -> str:
    """The chart as an SVG file, on white; a ``note`` stands in its corner."""
    drawing = draw(chart, width, height, links=False)
    roles = Markup("").join(Markup(".r-{}{{color:var(--{})}}").format(role, role) for role in _roles(chart))
    style = Markup("<style>:root{{{}}}svg{{background:var(--ground)}}{}{}</style>").format(
        Markup(variables(dark=False)),  # noqa: S704 - our own colours
        roles,
        Markup(STYLE),  # noqa: S704 - our own rules
    )
    opening, _, rest = drawing.partition(">")
    said = tag("text", note, x=2, y=_frame(chart, width, height).height - 4) if note else ""
    rest = rest.removesuffix("</svg>")
    return f'{opening} xmlns="http://www.w3.org/2000/svg">{style}{rest}{said}</svg>\n'


def _roles(chart: Chart) -> list[str]:
    return sorted({mark.role for mark in chart.marks})


def _frame(chart: Chart, width: float, height: float | None) -> Frame:
    longest = max((len(text) for _, text in chart.y.ticks(6)), default=0)
    left = min(longest * _LETTER + 14, width * _NAMES_SHARE)
    if height is None:
        height = 24.0 * chart.rows + 76 if chart.rows else 0.68 * width
    rows = _legend_rows(chart, width)
    top = _LEGEND_ROW * len(rows) + (_LABEL_ROW if chart.y.label else 6)
    return Frame(width, height + _LEGEND_ROW * max(0, len(rows) - 1), left, top + 6, 16, _TICKS_ROW + _LABEL_ROW + 4)


def _place(chart: Chart, frame: Frame) -> Place:
    def place(x: float, y: float) -> tuple[float, float]:
        return (
            frame.left + chart.x.scale.share(x) * frame.inner_width,
            frame.top + (1 - chart.y.scale.share(y)) * frame.inner_height,
        )

    return place


def _axes(chart: Chart, frame: Frame, place: Place) -> Iterable[Markup]:
    floor, right = frame.top + frame.inner_height, frame.left + frame.inner_width
    for value, text in chart.y.ticks(6 if frame.inner_height > 180 else 5):
        y = place(chart.x.scale.low, value)[1]
        if not chart.rows:
            yield tag("line", x1=frame.left, x2=right, y1=y, y2=y, class_="grid")
        fits = int((frame.left - 10) / _LETTER)
        short = text if len(text) <= fits else text[: fits - 1] + "…"
        yield tag("text", short, x=frame.left - 8, y=y + 4, text_anchor="end")
    for value, text in chart.x.ticks(max(2, int(frame.inner_width / 72))):
        x = place(value, chart.y.scale.low)[0]
        yield tag("line", x1=x, x2=x, y1=frame.top, y2=floor, class_="grid")
        yield tag("text", text, x=x, y=floor + 16, text_anchor="middle")
    yield tag("line", x1=frame.left, x2=right, y1=floor, y2=floor, class_="axis")
    if chart.y.label:
        yield tag("text", chart.y.label, x=2, y=frame.top - 10)
    yield tag("text", chart.x.label, x=right, y=floor + 34, text_anchor="end")


def _mark(mark: Mark, place: Place, frame: Frame, links: bool) -> Markup:
    return tag("g", *_drawn(mark, place, frame, links), "", class_=f"r-{mark.role}")


def _drawn(mark: Mark, place: Place, frame: Frame, links: bool) -> Iterable[Markup]:
    match mark:
        case Dots():
            return (_dot(dot, mark, place, links) for dot in mark.dots)
        case Line():
            kind = "line dashed" if mark.dashed else "line"
            return (tag("path", d=path_of(mark.points, place, step=mark.step), class_=kind),) if mark.points else ()
        case Band():
            upper = [(x, high) for x, _, high in mark.points]
            lower = [(x, low) for x, low, _ in reversed(mark.points)]
            return (tag("path", d=path_of(upper + lower, place) + "Z", class_="band"),) if mark.points else ()
        case Bars():
            return _bars(mark, place)
        case Segments():
            ends = ([(a, b), (c, d)] for a, b, c, d in mark.strokes)
            return (tag("path", d=path_of(end, place), class_="stroke") for end in ends)
        case Rule():
            return _rule(mark, place, frame)


def _dot(dot: Dot, mark: Dots, place: Place, links: bool) -> Markup:
    x, y = place(dot.x, dot.y)
    kind, attributes = shape(mark.shape, x, y, mark.radius)
    said = (tag("title", dot.title),) if dot.title else ()
    drawn = tag(kind, *said, **attributes)
    if dot.trial is None or not links:
        return drawn
    return tag("a", drawn, href=f"#trial-{dot.trial}", data_trial=str(dot.trial), tabindex="-1")


def _bars(mark: Bars, place: Place) -> Iterable[Markup]:
    boxes = []
    for bar in mark.bars:
        left, top = place(bar.low, bar.y + mark.thickness / 2)
        right, floor = place(bar.high, bar.y - mark.thickness / 2)
        boxes.append((left, top, max(right - left, 0.5), floor - top, bar.title))
    if len(boxes) > _MOST_TITLES:
        path = "".join(f"M{x:.1f} {y:.1f}h{w:.1f}v{h:.1f}h{-w:.1f}z" for x, y, w, h, _ in boxes)
        return (tag("path", d=path, class_="fill"),)
    return (
        tag("rect", *((tag("title", said),) if said else ()), x=x, y=y, width=w, height=h, class_="fill")
        for x, y, w, h, said in boxes
    )


def _rule(mark: Rule, place: Place, frame: Frame) -> Iterable[Markup]:
    floor, right = frame.top + frame.inner_height, frame.left + frame.inner_width
    if mark.upright:
        x = frame.left + _share_x(mark.at, place, frame)
        yield tag("line", x1=x, x2=x, y1=frame.top, y2=floor, class_="rule")
        anchor = "end" if x > (frame.left + right) / 2 else "start"
        shift = -5 if anchor == "end" else 5
        yield tag("text", mark.name, x=x + shift, y=floor - 8, text_anchor=anchor, class_="said")
    else:
        y = place(1.0, mark.at)[1]
        yield tag("line", x1=frame.left, x2=right, y1=y, y2=y, class_="rule")
        yield tag("text", mark.name, x=right, y=y - 5, text_anchor="end", class_="said")


def _share_x(at: float, place: Place, frame: Frame) -> float:
    return place(at, 1.0)[0] - frame.left


def _legend(chart: Chart, frame: Frame) -> Iterable[Markup]:
    for row, entries in enumerate(_legend_rows(chart, frame.width)):
        y = 12 + row * _LEGEND_ROW
        for x, mark in entries:
            yield tag("g", *_key(mark, x, y), tag("text", mark.name, x=x + 20, y=y + 4), class_=f"r-{mark.role}")


def _legend_rows(chart: Chart, width: float) -> Sequence[Sequence[tuple[float, Mark]]]:
    """Entries with their place from the left, broken into rows that fit."""
    rows: list[list[tuple[float, Mark]]] = []
    at = width
    for mark in chart.legend():
        needs = 20 + len(mark.name) * _LETTER + 16
        if at + needs > width and (not rows or at > 2):
            rows.append([])
            at = 2.0
        rows[-1].append((at, mark))
        at += needs
    return rows


def _key(mark: Mark, x: float, y: float) -> Iterable[Markup]:
    """A small likeness of the mark."""
    match mark:
        case Dots():
            kind, attributes = shape(mark.shape, x + 7, y, min(mark.radius, 4.5))
            return (tag(kind, **attributes),)
        case Line():
            return (tag("path", d=f"M{x:g} {y:g}h14", class_="line dashed" if mark.dashed else "line"),)
        case Band():
            return (tag("rect", x=x, y=y - 5, width=14, height=10, class_="band"),)
        case Segments():
            return (tag("path", d=f"M{x:g} {y:g}h14", class_="stroke"),)
        case _:
            return (tag("rect", x=x, y=y - 5, width=14, height=10, class_="fill"),)
