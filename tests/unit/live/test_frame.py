"""The live display at fixed sizes: what is there, what is left out first, and that nothing breaks it."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from scoot_ray.log import Log
from scoot_ray.results.live import LiveDisplay, frame, scene_of
from scoot_ray.search import (
    SLO,
    Bounded,
    Failed,
    FailureKind,
    Measured,
    Metrics,
    Observation,
    Origin,
    Trial,
)
from tests.unit.live.scenes import ONE, TWO, Busy, busy, drawn, plan, with_failures_of_ours
from tests.unit.test_confirm import DEFAULT, searched

SIZES = ((80, 24), (120, 40), (60, 15))
RUNNING = tuple(busy(30 + at, phase) for at, phase in enumerate(("waiting for resources", "load", "warm-up")))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("goal", [ONE, TWO], ids=["one objective", "two"])
def test_what_matters_is_there_at_every_size(goal: object, size: tuple[int, int]) -> None:
    told = replace(plan(goal), warnings=("the objective is flat",))  # type: ignore[arg-type]  # of the parameters
    lines = drawn(told, searched(told.problem, 25), *size, RUNNING)
    text = "\n".join(lines)
    assert "fake" in lines[0]
    assert "searching" in lines[0]
    assert "25 of 30 tried: 19 measured, 6 failed" in text
    assert "running 3 min 05 s, about" in text
    assert all(word in text for word in ("30", "waiting for resources", "load", "warm-up"))
    assert "mean TPOT" in text
    assert "%" in text  # the gain
    assert "out_of_memory: no room for the KV cache" in text
    assert "the objective is flat" in text
    assert "┤" in text
    assert "D default" in text
    assert len(lines) <= size[1]
    assert all(cell_len(line) <= size[0] for line in lines)


def test_slots_show_what_differs_from_the_default() -> None:
    text = "\n".join(
        drawn(plan(), searched(TWO), 120, 40, (*RUNNING, Busy(Trial(40, DEFAULT, Origin.DEFAULT), "load")))
    )
    assert "30  model" in text
    assert "gpu-7" in text
    assert "0:34" in text
    assert "max_num_seqs=8" in text
    assert "max_num_batched_tokens=512" not in text
    assert "as the default" in text


def test_gains_are_told_against_the_default_and_the_baseline() -> None:
    log = searched(TWO, 25)
    others = [seen for seen in log.searched if isinstance(seen.outcome, Measured)][1:3]
    goal = replace(TWO, baseline=others[0].trial.config, slos=(SLO("mean_ttft_ms", "<", 1.0),))
    text = "\n".join(drawn(plan(goal), log, 80, 24, best=others[1:]))
    assert "vs default" in text
    assert "vs baseline" in text
    assert "B baseline" in text
    assert "breaks an SLO" in text


def test_failures_of_the_machines_are_told_apart() -> None:
    lost = Observation(Trial(3, DEFAULT, Origin.MODEL), Failed(FailureKind.NODE_LOST, "the node went away"))
    text = "\n".join(drawn(plan(), with_failures_of_ours(searched(TWO), lost, lost), 80, 24))
    assert "2 node_lost (tried again): the node went away" in text


def test_the_confirmation_has_a_count_of_its_own() -> None:
    log = searched(TWO)
    for order in (1, 2):
        trial = Trial(log.next_id, DEFAULT, Origin.CONFIRMATION, (order,))
        log = log.with_trial(trial).with_observation(Observation(trial, Measured({"mean_ttft_ms": 1.0})))
    text = "\n".join(drawn(plan(), log, 80, 24))
    assert "confirming" in text
    assert "2 of at most 16 runs to confirm, after 12 tried" in text


def test_gpu_hours_and_simulation_are_said() -> None:
    engine = {"kind": "simulated", "model": "Llama-2-7b-hf", "hardware": {"accelerator": "A10", "count": 2}}
    simulated = plan(engine=plan().study.engine.model_validate(engine))
    seen = Observation(Trial(0, DEFAULT, Origin.DEFAULT), Measured({"mean_ttft_ms": 1.0}), "", {"load_s": 1800.0})
    text = "\n".join(drawn(simulated, Log((seen.trial,), (seen,)), 80, 24))
    assert "(simulated)" in text.splitlines()[0]
    assert "1 GPU-hours (simulated)" in text


def test_at_the_very_beginning_there_is_nothing_to_draw() -> None:
    text = "\n".join(drawn(plan(), Log(), 80, 24))
    assert "starting" in text
    assert "all free" in text
    assert "nothing yet" in text
    assert "┤" not in text


def test_a_low_terminal_keeps_progress_best_and_slots() -> None:
    text = "\n".join(drawn(plan(), searched(TWO, 25), 80, 5, RUNNING))
    assert "25 of 30" in text
    assert "30 waiting for resources, 31 load, 32 warm-up" in text
    assert "mean TTFT" in text
    assert "┤" not in text


def test_what_ended_last_is_told_by_its_figures() -> None:
    log = searched(TWO, 25)
    last = log.observations[-1]
    assert isinstance(last.outcome, Measured)
    (line,) = [line for line in drawn(plan(), log, 120, 40) if f" {last.trial.id} model: " in line]
    assert f"mean TTFT {last.outcome.metrics['mean_ttft_ms']:.0f} ms" in line


def test_a_style_ends_with_its_words() -> None:
    scene = scene_of(plan(), searched(TWO, 25), RUNNING, (), 1.0)
    title = frame(scene, 80, 24)[0]
    assert not title.style
    assert [title.plain[span.start : span.end] for span in title.spans if "reverse" in str(span.style)] == [
        " scoot-ray "
    ]


def test_more_slots_than_lines_are_counted() -> None:
    many = tuple(busy(30 + at) for at in range(64))
    text = "\n".join(drawn(plan(), searched(TWO, 25), 80, 24, many))
    assert "more" in text
    assert "mean TTFT" in text
    assert "┤" in text


HOSTILE = st.text(max_size=30) | st.sampled_from(["[bold]x[/", "\x1b[31mred", "a\nb\r\nc\td", "全角" * 30, "\u202eabc"])
METRICS = st.dictionaries(
    st.sampled_from(["mean_ttft_ms", "mean_tpot_ms", "error_rate", "request_throughput"]), st.floats(), max_size=4
)


@st.composite
def outcomes(draw: st.DrawFn) -> Measured | Bounded | Failed:
    match draw(st.integers(0, 2)):
        case 0:
            metrics: Metrics = draw(METRICS)
            return Measured(metrics, (metrics,))
        case 1:
            return Bounded({"mean_ttft_ms": (1.0, float("inf"))}, draw(HOSTILE))
        case _:
            return Failed(draw(st.sampled_from(FailureKind)), draw(HOSTILE), draw(st.booleans()))


@st.composite
def logs(draw: st.DrawFn) -> Log:
    log = Log()
    for number in range(draw(st.integers(0, 12))):
        origin = Origin.DEFAULT if number == 0 else draw(st.sampled_from(Origin))
        config = DEFAULT if number == 0 else {**DEFAULT, "max_num_seqs": draw(st.integers(1, 64))}
        trial = Trial(number, config, origin, (number,))
        log = log.with_trial(trial)
        if draw(st.booleans()):
            timings = draw(st.dictionaries(st.sampled_from(["queue_s", "load_s"]), st.floats(0, 1e9)))
            log = log.with_observation(Observation(trial, draw(outcomes()), draw(HOSTILE), timings))
    return log


@settings(max_examples=150, deadline=None)
@given(logs(), st.sampled_from([ONE, TWO]), st.integers(1, 200), st.integers(1, 60), HOSTILE, HOSTILE)
def test_any_log_fits_into_any_terminal(
    log: Log, goal: object, width: int, height: int, phase: str, where: str
) -> None:
    told = replace(plan(goal), warnings=(phase, where))  # type: ignore[arg-type]  # of the parameters
    working = tuple(Busy(trial, phase, 1e6, where) for trial in log.open)
    best = [seen for seen in log.searched if isinstance(seen.outcome, Measured)][:3]
    lines = drawn(told, log, width, height, working, best)
    assert 1 <= len(lines) <= height
    assert all(cell_len(line) <= width for line in lines)
    assert all(line.isprintable() for line in lines)


def test_the_display_draws_in_its_terminal_and_never_raises() -> None:
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm"})

    def broken() -> tuple[Busy, ...]:
        raise RuntimeError("no slots")

    with LiveDisplay(terminal, plan(), broken) as display:
        display.update(Log())
        display.update(searched(TWO, 2))
        terminal.print(display.render())
    assert "this frame cannot be drawn: RuntimeError" in out.getvalue()
    assert out.getvalue().index("\x1b[?1049h") < out.getvalue().index("\x1b[?1049l")  # the alternate screen, and back
    left_behind = out.getvalue().rpartition("\x1b[?1049l")[2]
    assert "trial   0" in left_behind
    assert "trial   1" in left_behind


def test_a_change_of_size_is_followed() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120, height=40, _environ={"TERM": "xterm"})
    display = LiveDisplay(terminal, plan(), lambda: RUNNING)
    display.update(searched(TWO, 2))
    terminal.size = (60, 15)
    out = Console(file=io.StringIO(), width=60, record=True)
    out.print(display.render())
    lines = out.export_text().splitlines()
    assert len(lines) <= 15
    assert max(map(cell_len, lines)) <= 60
