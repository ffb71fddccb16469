"""What reports say, of runs in every state; harmless whatever the texts in a run are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from scoot_ray.cli import main
from scoot_ray.results.report import Report, html_report, markdown_report, report_document, report_of, save_figures
from scoot_ray.results.report.trials import log_tail
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Failed, FailureKind, Measured, Observation, Origin, Trial
from scoot_ray.storage import LocalStorage
from tests.fakes import problem
from tests.unit.report.conftest import confirmed, only_search, reported, timed
from tests.unit.test_confirm import DEFAULT, searched

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`${7*7}{{7*7}}\u2028\u202e\x00\x1b[31m|\ud800"
)

Make = Callable[..., RunFolder]


class Outline(HTMLParser):
    """The elements of a page, its ids and what its links lead to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = {name: value or "" for name, value in attrs}
        self.attributes |= given.keys()
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []


def test_a_confirmed_gain_leads_with_what_to_set_and_how_sure(whole: Report) -> None:
    headline = whole.headline
    assert headline.tone == "open"  # three orders are too few to promise the SLOs
    assert re.fullmatch(r"Mean TPOT \d+% lower, for mean TTFT \d+% higher", headline.title)
    assert headline.sentence.startswith("Measured again under 3 other arrival orders, the best finalist gains")
    assert {gain.certain for gain in headline.gains} >= {"better"}
    assert all("95% interval" in gain.sure for gain in headline.gains)
    assert headline.command is not None
    assert headline.command.startswith("vllm serve fake-model \\\n  --")
    assert [one.parameter for one in headline.settings]
    assert headline.promises is not None
    assert [figure.id for figure in whole.figures] == [
        "front", "latency", "importance", "dependence", "progress", "timeline",
    ]  # fmt: skip


def test_every_figure_has_a_table_and_every_link_a_target(whole: Report) -> None:
    page = html_report(whole)
    outline = Outline(page)
    assert page.count("The same as a table") == len(whole.figures)
    assert len(outline.ids) == len(set(outline.ids))
    assert {link.removeprefix("#") for link in outline.links} <= set(outline.ids)
    assert all(link.startswith("#") for link in outline.links)
    assert "src" not in outline.attributes
    assert "style" not in outline.attributes
    assert outline.tags.count("h1") == 1
    assert re.search(r"Content-Security-Policy\" content=\"default-src &#39;none&#39;; style-src &#39;sha256-", page)


def test_the_distributions_are_of_the_confirmations_requests(whole: Report) -> None:
    today, best = whole.spreads
    assert (today.name, best.name) == ("default", "recommended")
    assert today.requests == best.requests == 120
    assert today.curves["ttft"][0][1] == pytest.approx(50.0)
    assert best.table["tpot"][0] == pytest.approx(20.0)


def test_without_records_the_trials_own_percentiles_must_do(run_of: Make) -> None:
    ranks = ("p50", "p90", "p95", "p99")
    kept = {f"{rank}_{latency}_ms": 10.0 for latency in ("ttft", "tpot", "e2el") for rank in ranks}
    seen = [
        replace(one, outcome=Measured({**one.outcome.metrics, **kept})) if isinstance(one.outcome, Measured) else one
        for one in timed(searched(problem(), 3).observations)
    ]
    report = reported(run_of(seen))
    assert report.latency is not None
    assert {spread.requests for spread in report.spreads} == {0}
    assert report.spreads[0].curves["ttft"] == ((50.0, 10.0), (90.0, 10.0), (95.0, 10.0), (99.0, 10.0))
    assert "the percentiles kept of 1 trial" in report.latency.caption


def test_cost_is_of_slots_and_gpus(whole: Report) -> None:
    search, confirmation = whole.costs
    assert (search.part, search.trials) == ("search", 12)
    assert search.held_s == pytest.approx(12 * 45.0)
    assert confirmation.trials == 9
    assert whole.cost.rows[-1][0] == "together"


def test_no_better_than_the_default_is_a_result(run_of: Make) -> None:
    folder = run_of(
        timed(confirmed(6, noise=2.0).observations), changes={"confirmation": {"finalists": 2, "arrival_orders": 3}}
    )
    report = reported(folder)
    assert report.headline.tone == "calm"
    assert report.headline.title == "Keep the default configuration"
    assert not report.headline.settings
    assert "that, too, is a result" in report.headline.sentence
    assert report.headline.compared


def test_a_promise_that_breaks_an_slo_is_said_first(run_of: Make) -> None:
    changes = {
        "confirmation": {"finalists": 2, "arrival_orders": 3},
        "slos": ["ttft:mean<1ms"],
    }
    headline = reported(run_of(timed(confirmed(6).observations), changes=changes)).headline
    assert headline.tone == "open"
    assert "mean TTFT < 1 ms is not promised" in headline.broken[0]


def test_a_run_without_a_success(run_of: Make) -> None:
    trials = [Trial(at, {**DEFAULT, "max_num_seqs": 2**at}, Origin.MODEL) for at in range(4)]
    seen = [Observation(trial, Failed(FailureKind.OUT_OF_MEMORY, "no room")) for trial in trials]
    report = reported(run_of(seen))
    assert report.headline.title == "No configuration can be recommended"
    assert report.headline.sentence == "4 configurations failed. See below why."
    assert report.failures.rows == (("out of memory", "4", "no room (trial 3)"),)
    assert report.figures == ()
    assert "no room" in html_report(report)
    assert "no room" in markdown_report(report)


def test_a_run_of_one_observation(run_of: Make) -> None:
    folder = run_of(timed(searched(problem(), 1).observations), stopped=False)
    report = reported(folder)
    assert report.run.state == "under way"
    assert report.headline.title == "The best so far, not confirmed"
    assert [figure.id for figure in report.figures] == ["front", "progress", "timeline"]
    assert "under way" in html_report(report)


@pytest.mark.slow  # the models are fitted, as they are for anybody
def test_a_run_of_two_thousand_observations(run_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    seen = [
        Observation(
            Trial(at, {**DEFAULT, "max_num_seqs": 2 ** (at % 7)}, Origin.MODEL if at else Origin.DEFAULT),
            Failed(FailureKind.CRASHED, "no")
            if at % 50 == 49
            else Measured({"mean_ttft_ms": 100.0 + at * 7919 % 2003, "mean_tpot_ms": 10.0 + at * 104729 % 1999 / 20}),
        )
        for at in range(2000)
    ]
    report = reported(run_of(timed(seen), changes={"budget": {"observations": 2000}}))
    page = html_report(report)
    assert {"front", "progress", "timeline"} < {figure.id for figure in report.figures}
    assert report.importance is not None
    assert report.dependence is not None
    assert page.count('id="trial-') == 2000
    assert len(page) < 8e6


def test_a_run_where_nothing_has_happened_yet(run_of: Make) -> None:
    report = reported(run_of([], stopped=False))
    assert report.headline.title == "Nothing is measured yet"
    assert "None has been submitted yet" in html_report(report)
    assert markdown_report(report)


def test_open_trials_are_listed(run_of: Make) -> None:
    from scoot_ray.journal import Journal

    folder = run_of(timed(searched(problem(), 3).observations), stopped=False)
    journal = Journal(folder.journal)
    journal.submitted(journal.replay(), Trial(3, DEFAULT, Origin.MODEL))
    assert reported(folder).rows[-1].kind == "open"


def test_a_single_objective(run_of: Make) -> None:
    report = reported(run_of(timed(only_search(confirmed(6))), changes={"objectives": "throughput"}))
    assert report.front is None
    assert len(report.choices) == 1
    assert report.progress is not None
    assert [chart.name for chart in report.progress.charts] == [
        "request throughput, by observations", "request throughput, by time",
    ]  # fmt: skip


@pytest.fixture
def hostile(run_of: Make) -> Report:
    """Whatever a user, an engine or a trace can put into a run."""
    trials = [Trial(0, DEFAULT, Origin.DEFAULT), Trial(1, {**DEFAULT, "max_num_seqs": 1}, Origin.MODEL)]
    first = searched(problem(), 1).observations[0]
    seen = [
        replace(first, where=HOSTILE.replace("\ud800", ""), timings={"load_s": 3.0}),
        Observation(trials[1], Failed(FailureKind.CRASHED, HOSTILE)),
    ]
    harmless = HOSTILE.replace("\x00", "").replace("\ud800", "").replace("\x1b", "").replace("/", "")
    engine = {
        "model": "".join(filter(str.isprintable, harmless)),
        "python": "elsewhere/bin/python",
        "args": {"dtype": harmless},
        "env": {"KEY": "s3cret"},
    }
    folder = run_of(
        seen, changes={"engine": engine}, files={1: {"engine.log": HOSTILE + "\nlast"}}, trace=f"{harmless}.jsonl"
    )
    folder.write_json("environment.json", {"scoot_ray": HOSTILE, "python": HOSTILE, "packages": {HOSTILE: HOSTILE}})
    return reported(folder)


def test_hostile_texts_are_shown_and_do_nothing(hostile: Report) -> None:
    page = html_report(hostile)
    page.encode()
    outline = Outline(page)
    assert outline.tags.count("script") == 1
    assert "img" not in outline.tags
    assert not {name for name in outline.attributes if name.startswith("on")}
    assert "&lt;img src=x onerror=alert(2)&gt;" in page
    assert "{{7*7}}" in page
    assert not {"\x00", "\x1b", "\u2028", "\u202e"} & set(page)
    assert "s3cret" not in page


def test_hostile_texts_end_neither_a_line_nor_a_block_of_markdown(hostile: Report) -> None:
    text = markdown_report(hostile)
    text.encode()
    assert "s3cret" not in text
    prose = re.sub(r"(?ms)^(`{3,})\w*\n.*?\n\1$", "", text)
    assert "<script>" not in prose.replace(r"\<script\>", "")
    assert not re.search(r"(?<!\\)<", prose)


def test_hostile_texts_are_json(hostile: Report) -> None:
    text = json.dumps(report_document(hostile), allow_nan=False)
    assert "s3cret" not in text
    assert json.loads(text)["trials"][1]["detail"] == HOSTILE


def test_the_log_is_its_end_without_prompts(tmp_path: Path) -> None:
    lines = [f"INFO line {at}" for at in range(500)]
    quoting = "INFO 01-01 async_llm_engine.py:529] Received request cmpl-1: prompt: 'my secret', sampling_params"
    (tmp_path / "engine.log").write_text("\n".join([*lines, quoting, "INFO end"]))
    tail = log_tail(LocalStorage(tmp_path), 1000)
    assert len(tail) <= 1002
    assert tail.startswith("…\nINFO line")
    assert tail.endswith("INFO end")
    assert "my secret" not in tail
    assert log_tail(LocalStorage(tmp_path), 0) == ""
    assert log_tail(LocalStorage(tmp_path / "missing"), 1000) == ""


def test_logs_can_be_left_out(whole: Report) -> None:
    assert any(row.log for row in whole.rows)
    assert all(not row.log for row in report_of(whole.run, logs=False).rows)


def test_figures_for_papers(whole: Report, tmp_path: Path) -> None:
    written = save_figures(whole, tmp_path / "figures", png=False)
    assert {path.suffix for path in written} == {".svg"}
    assert len({path.name for path in written}) == len(written) == sum(len(one.charts) for one in whole.figures)
    assert tmp_path / "figures" / "front.svg" in written


def test_the_document_holds_what_the_figures_show(whole: Report) -> None:
    document = json.loads(json.dumps(report_document(whole), allow_nan=False))
    assert document["state"] == "complete"
    assert len(document["trials"]) == len(document["timeline"]) == 21
    assert document["front"][0]["command"].startswith("vllm serve")
    assert document["latencies"][0]["requests"] == 120


def test_the_verb_writes_where_it_is_told(run_of: Make, tmp_path: Path) -> None:
    folder = run_of(timed(searched(problem(), 2).observations))
    run = str(folder.path)
    done = CliRunner().invoke(main, ["report", run])
    assert done.exit_code == 0, done.output
    assert (folder.path / "report.html").read_text().startswith("<!DOCTYPE html>")
    done = CliRunner().invoke(main, ["report", run, "--format", "json", "-o", "-"])
    assert json.loads(done.stdout)["study"] == "fake"
    out = tmp_path / "out.md"
    elsewhere = ["--format", "md", "-o", str(out), "--figures", str(tmp_path / "figures")]
    done = CliRunner().invoke(main, ["report", run, *elsewhere])
    assert done.exit_code == 0, done.output
    assert out.read_text().startswith("# fake\n")
    assert (tmp_path / "figures" / "front.svg").is_file()


def test_mistakes_are_one_line(run_of: Make, tmp_path: Path) -> None:
    folder = run_of([])
    (tmp_path / "file").touch()
    for arguments in (["nowhere"], [str(folder.path), "-o", str(tmp_path / "file" / "x.html")]):
        done = CliRunner().invoke(main, ["report", *arguments])
        assert done.exit_code == 2
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1


def test_what_can_be_done_next_is_in_every_form(whole: Report) -> None:
    folder = whole.run.folder.path
    for text in (html_report(whole), markdown_report(whole)):
        for verb in ("choose", "export", "reproduce", "verify"):
            assert f"scoot-ray {verb} {folder}" in text
    trial = next(step for step, _ in whole.steps if "reproduce" in step).split()[-1]
    config = next(one["config"] for one in whole.run.result["observations"] if str(one["trial"]) == trial)
    assert config == whole.run.result["recommended"]["config"]
