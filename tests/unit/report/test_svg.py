"""Charts as they are drawn: golden files, well-formed for hostile words, the same on paper."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoot_ray.results.report import svg
from scoot_ray.results.report.chart import (
    Axis,
    Band,
    Bar,
    Bars,
    Chart,
    Dot,
    Dots,
    Line,
    Rule,
    Segments,
    axis_of,
    categories,
)
from scoot_ray.results.report.markup import tag
from scoot_ray.results.report.scales import Scale, scale_of

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = "</svg><script>alert(1)</script>\" onload='x' ]]>&amp; \x00\u2028"

PLANE = Chart(
    "Trade-off",
    "Two points.",
    axis_of("mean TTFT, ms", [100.0, 4000.0]),
    axis_of("mean TPOT, ms", [20.0, 40.0]),
    (
        Rule("limit", 1000.0, "SLO", upright=True),
        Line("front", ((100.0, 40.0), (4000.0, 20.0)), step=True, dashed=True),
        Dots("observed", (Dot(400.0, 38.0, "trial 3", 3),), "other", "ring", 3.0),
        Dots("front", (Dot(100.0, 40.0, "trial 1", 1), Dot(4000.0, 20.0, "trial 2", 2)), "front"),
        Dots("failed", (Dot(200.0, 22.0),), "failed", "cross"),
        Dots("default", (Dot(300.0, 25.0),), "default", "square"),
        Dots("baseline", (Dot(300.0, 27.0),), "baseline", "triangle"),
        Dots("chosen", (Dot(300.0, 29.0),), "recommended", "diamond"),
    ),
)
ROWS = Chart(
    "Importance",
    "One matters.",
    Axis("share, %", Scale(0.0, 100.0)),
    categories("", ["max_num_seqs", "a_parameter_with_a_name_that_is_too_long_for_the_margin"]),
    (
        Bars("front", (Bar(0.0, 60.0, 0.0, "max_num_seqs: 60%"),), "matters"),
        Segments("interval", ((40.0, 0.0, 80.0, 0.0),), "90% interval"),
        Band("front", ((0.0, -1.0, 0.0), (50.0, -0.5, 0.0)), "band"),
    ),
    rows=2,
)


@pytest.mark.parametrize(("name", "chart"), [("plane", PLANE), ("rows", ROWS)])
def test_drawings_are_as_they_were(name: str, chart: Chart) -> None:
    """SCOOT_RAY_GOLDEN=write makes them anew; look at them before committing."""
    path = GOLDEN / f"{name}.svg"
    drawn = svg.standalone(chart, 480, note="simulated")
    if os.environ.get("SCOOT_RAY_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(drawn)
    assert drawn == path.read_text()


def test_dots_lead_to_their_trials_unless_told_not_to() -> None:
    linked = str(svg.draw(PLANE, 400))
    assert linked.count("<a ") == 3
    assert 'href="#trial-2"' in linked
    assert 'role="group"' in linked
    assert "<a " not in svg.draw(PLANE, 400, links=False)
    assert 'role="img"' in svg.draw(ROWS, 400)


@pytest.mark.parametrize("width", [280, 356, 860])
def test_nothing_is_drawn_outside(width: float) -> None:
    root = ET.fromstring(str(svg.draw(PLANE, width)))
    _, _, right, floor = map(float, root.attrib["viewBox"].split())
    for dot in root.iter("circle"):
        assert 0 <= float(dot.attrib["cx"]) <= right
        assert 0 <= float(dot.attrib["cy"]) <= floor


@given(st.text(max_size=30))
def test_words_stay_words(text: str) -> None:
    element = ET.fromstring(str(tag("text", text, aria_label=text)))
    assert len(element) == 0


def test_hostile_words_make_no_element() -> None:
    chart = Chart(
        HOSTILE,
        HOSTILE,
        Axis(HOSTILE, Scale(0.0, 1.0)),
        Axis(HOSTILE, Scale(0.0, 1.0), ((0.5, HOSTILE),)),
        (Dots("front", (Dot(0.5, 0.5, HOSTILE),), HOSTILE), Rule("limit", 0.5, HOSTILE)),
    )
    root = ET.fromstring(svg.standalone(chart))
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names <= {"svg", "style", "g", "text", "line", "circle", "title", "path"}
    assert all(not name.startswith("on") for element in root.iter() for name in element.attrib)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(1e-3, 1e9), st.floats(-1e9, 1e9)), min_size=1, max_size=20))
def test_any_points_can_be_drawn(points: list[tuple[float, float]]) -> None:
    x, y = (scale_of([point[at] for point in points]) for at in (0, 1))
    marks = (Line("front", tuple(points), step=True), Dots("front", tuple(Dot(*point) for point in points)))
    drawn = str(svg.draw(Chart("c", "", Axis("x", x), Axis("y", y), marks), 300))
    ET.fromstring(drawn)
    assert "nan" not in drawn
    assert "inf" not in drawn


@pytest.mark.parametrize("chart", [PLANE, ROWS], ids=["plane", "rows"])
def test_the_same_as_a_picture(chart: Chart, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from scoot_ray.results.report.picture import save_png

    path = tmp_path / "chart.png"
    save_png(chart, path, note="simulated $x$")
    assert path.read_bytes().startswith(b"\x89PNG")
