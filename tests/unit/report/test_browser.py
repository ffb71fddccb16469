"""Reports in a real browser: no complaint, no request, nothing wider than the screen, and one can choose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scoot_ray.results.report import Report, html_report
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Failed, FailureKind, Measured, Observation, Origin, Trial
from tests import browser
from tests.runs import TIMINGS
from tests.unit.report.conftest import reported
from tests.unit.report.test_report import HOSTILE
from tests.unit.test_confirm import DEFAULT

PROGRAM = browser.find()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason=f"no browser here: none of {', '.join(browser.NAMES)}"),
]
PHONE, DESKTOP = 390, 1200


@pytest.fixture
def page_of(tmp_path: Path) -> Callable[[Report], Path]:
    """Write a report where a browser can open it."""

    def write(report: Report) -> Path:
        path = tmp_path / "report.html"
        path.write_text(html_report(report))
        return path

    return write


async def quiet(path: Path, profile: Path) -> None:
    """Open at both widths, light and dark: the browser has nothing to say, and nothing is asked for."""
    assert PROGRAM is not None
    for width, dark in ((PHONE, True), (DESKTOP, False)):
        async with browser.tab(PROGRAM, profile / str(width)) as page:
            await page.open(path, width, dark=dark)
            assert page.complaints == []
            assert page.requests == [path.as_uri()]
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            assert (await page.screenshot()).startswith(b"\x89PNG")


async def test_a_whole_report_at_both_widths(whole: Report, page_of: Callable[[Report], Path], tmp_path: Path) -> None:
    await quiet(page_of(whole), tmp_path)


async def test_hostile_texts_run_nothing(
    page_of: Callable[[Report], Path], run_of: Callable[..., RunFolder], tmp_path: Path
) -> None:
    seen = Observation(Trial(0, DEFAULT, Origin.DEFAULT), Failed(FailureKind.CRASHED, HOSTILE), "a", TIMINGS)
    await quiet(page_of(reported(run_of([seen], files={0: {"engine.log": HOSTILE}}))), tmp_path)


async def test_two_thousand_observations(
    page_of: Callable[[Report], Path],
    run_of: Callable[..., RunFolder],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    seen = [
        Observation(
            Trial(at, {**DEFAULT, "max_num_seqs": 2 ** (at % 7)}, Origin.MODEL if at else Origin.DEFAULT),
            Measured({"mean_ttft_ms": 100.0 + at * 7919 % 2003, "mean_tpot_ms": 10.0 + at * 104729 % 1999 / 20}),
            "a",
            TIMINGS,
        )
        for at in range(2000)
    ]
    monkeypatch.setattr("scoot_ray.search.explain.believe", lambda *_, **__: None)
    path = page_of(reported(run_of(seen, changes={"budget": {"observations": 2000}})))
    assert path.stat().st_size < 8e6
    await quiet(path, tmp_path)


async def test_a_point_of_the_front_is_chosen_by_click_and_by_key(
    whole: Report, page_of: Callable[[Report], Path], tmp_path: Path
) -> None:
    assert PROGRAM is not None
    path = page_of(whole)
    assert len(whole.choices) > 1
    other = whole.choices[-1].trial
    chosen = "document.querySelector('.choice.selected').dataset.point"
    visible = "[...document.querySelectorAll('.choice')].filter(one => one.offsetHeight > 0).length"
    async with browser.tab(PROGRAM, tmp_path / "profile") as page:
        await page.open(path, DESKTOP)
        assert await page.evaluate(visible) == 1
        click = "dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))"
        await page.evaluate(f"document.querySelector('#choose .wide a[data-trial=\"{other}\"] > *').{click}")
        assert await page.evaluate(chosen) == str(other)
        text = await page.evaluate("document.querySelector('.choice.selected pre').textContent")
        assert text == whole.choices[-1].command
        await page.evaluate("document.querySelector('input[name=point]:checked').focus()")
        await page.press("ArrowLeft")
        assert await page.evaluate(chosen) == str(whole.choices[-2].trial)
        await page.evaluate("location.hash = 'trial-3'")
        await page.evaluate("new Promise(done => setTimeout(done, 100))")
        assert await page.evaluate("document.getElementById('trial-3').open")
        assert page.complaints == []
