"""Choosing from a front and comparing runs: on figures made by hand, and by the verbs on a simulated run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.cli import main
from scoot_ray.log import Log
from scoot_ray.resolve import resolve
from scoot_ray.results.candidates import Candidate, Offer, front, offer_of
from scoot_ray.results.choose import NothingFits, Wish, WrongWeights, choose
from scoot_ray.results.compare import compare_document
from scoot_ray.results.summary import summarise
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import SLO, Objective
from scoot_ray.study import read_study
from scoot_ray.sweep import run_inline
from tests.unit.test_results import confirmed_run

TTFT, TPOT = Objective("mean_ttft_ms"), Objective("mean_tpot_ms")


def candidate(label: str, ttft: float, tpot: float, confirmed: bool = True, spread: float = 0.01) -> Candidate:
    factors = (1 - spread, 1.0, 1 + spread) if confirmed else (1.0,)
    runs = [{"mean_ttft_ms": ttft * factor, "mean_tpot_ms": tpot * factor} for factor in factors]
    return Candidate({"x": label}, label, confirmed, runs, range(len(runs)))


TODAY = candidate("default", 1000, 40)
FRONT = [TODAY, candidate("fast", 100, 38), candidate("middle", 200, 20), candidate("smooth", 900, 15)]
OFFER = Offer((TTFT, TPOT), FRONT, [candidate("rumour", 50, 30, confirmed=False)], TODAY)


@pytest.mark.parametrize(
    ("wish", "label"),
    [
        (Wish([SLO("mean_ttft_ms", "<", 150)]), "fast"),
        (Wish([SLO("mean_tpot_ms", "<", 17)]), "smooth"),
        (Wish([SLO("mean_ttft_ms", "<", 2000)]), "middle"),
        (Wish([SLO("mean_ttft_ms", "<", 70)]), "rumour"),
        (Wish(weights={"ttft": 5, "tpot": 1}), "fast"),
        (Wish(weights={"mean_tpot_ms": 1}), "smooth"),
        (Wish(knee=True), "middle"),
        (Wish([SLO("mean_ttft_ms", ">", 500)], knee=True), "smooth"),
    ],
)
def test_a_wish_is_met_by_the_one_that_meets_it_best(wish: Wish, label: str) -> None:
    found = choose(OFFER, wish)
    assert found.candidate.label == label
    assert ("not confirmed" in found.why) == (label == "rumour")


def test_what_is_promised_decides_not_the_mean() -> None:
    loose = candidate("loose", 100, 10, spread=0.5)
    tight = candidate("tight", 110, 12)
    offer = Offer((TTFT, TPOT), [loose, tight], [], tight)
    assert choose(offer, Wish([SLO("mean_ttft_ms", "<", 130)])).candidate is tight


def test_where_nothing_fits_the_nearest_is_named() -> None:
    with pytest.raises(
        NothingFits, match=r"no configuration keeps mean_ttft_ms<10; nearest is fast \(x=fast\).* times the limit off"
    ):
        choose(OFFER, Wish([SLO("mean_ttft_ms", "<", 10)]))
    with pytest.raises(NothingFits, match="p99_e2el_ms was not measured"):
        choose(OFFER, Wish([SLO("p99_e2el_ms", "<", 10)]))
    with pytest.raises(NothingFits, match="no configuration was measured"):
        choose(Offer((TTFT,), [], [], None), Wish(knee=True))


@pytest.mark.parametrize(
    "weights", [{"e2el": 1.0}, {"ttft": 0.0}, {"ttft": -1.0}, {"ttft": float("nan")}, {"mean": 1.0}]
)
def test_weights_that_weigh_nothing_are_refused(weights: Mapping[str, float]) -> None:
    with pytest.raises(WrongWeights, match="--weights"):
        choose(OFFER, Wish(weights=weights))


positive = st.floats(1.0, 1e4)


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=12), st.floats(0.1, 10))
def test_the_choice_is_never_worse_in_all_than_another(figures: list[tuple[float, float]], weight: float) -> None:
    candidates = [candidate(str(at), *pair) for at, pair in enumerate(figures)]
    offer = Offer((TTFT, TPOT), candidates, [], candidates[0])
    best = front(candidates, offer.objectives)
    for wish in (Wish(knee=True), Wish(weights={"ttft": weight, "tpot": 1})):
        assert choose(offer, wish).candidate in best
    assert choose(offer, Wish([SLO("mean_ttft_ms", "<", 1e9)])).candidate in best


def test_a_result_offers_what_was_confirmed_and_the_rest_of_the_front() -> None:
    _, result = confirmed_run()
    offer = offer_of(result)
    assert [one.label for one in offer.confirmed] == ["default", "finalist"]
    assert offer.today is offer.confirmed[0]
    assert offer.preferred is offer.confirmed
    for found, standing in zip(offer.confirmed, result["confirmation"], strict=True):
        (promise,) = standing["promises"]
        assert found.mean("mean_tpot_ms") == pytest.approx(promise["mean"])
        assert found.held(SLO("mean_tpot_ms", "<", 1)) == pytest.approx(promise["bound"])
    nobody = offer_of({**result, "confirmation": []})
    assert nobody.preferred is nobody.searched
    assert nobody.today is not None
    assert not nobody.today.confirmed


def test_runs_of_other_traffic_cannot_be_compared() -> None:
    _, result = confirmed_run()
    other = {**result, "trace": {**result["trace"], "sha256": "other"}, "tuner": "random"}
    found = compare_document([("a", result), ("b", other)])
    assert not found["comparable"]
    assert found["differing"] == [{"what": "trace", "values": ["c0ffee", "other"], "fatal": True}]
    assert found["runs"][1]["figures"][0]["against_first"] is None


def test_another_window_of_the_same_trace_is_other_traffic() -> None:
    plan, result = confirmed_run()
    workload = plan.study.workload.model_copy(update={"skip_rows": 100, "sessions": "wait"})
    other = summarise(
        replace(plan, study=plan.study.model_copy(update={"workload": workload})), Log(), True, "complete", {}
    )
    assert other["load"] == {**result["load"], "skip_rows": 100, "sessions": "wait"}
    found = compare_document([("a", result), ("b", {**result, "load": other["load"]})])
    assert [one["what"] for one in found["differing"] if one["fatal"]] == ["load"]


def test_other_hardware_is_compared_and_named() -> None:
    _, result = confirmed_run()
    other = {**result, "serving": {**result["serving"], "gpus": 4, "accelerator": "H100"}}
    found = compare_document([("a", result), ("b", other)])
    assert found["comparable"]
    assert found["differing"] == [{"what": "hardware", "values": ["no GPU", "4 × H100"], "fatal": False}]
    figure = found["runs"][1]["figures"][0]
    assert figure["against_first"]["relative"] == pytest.approx(0, abs=1e-9)
    assert figure["change"]["relative"] < 0
    assert json.dumps(found, allow_nan=False)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    rows = [{"timestamp": i, "input_length": 300 + i, "output_length": 20 + i % 30} for i in range(120)]
    (folder / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document: dict[str, Any] = {
        "name": "small",
        "tuner": "random",
        "engine": {
            "kind": "simulated",
            "model": "Llama-2-7b-hf",
            "args": {"max-model-len": 2048},
            "hardware": {"accelerator": "A10", "count": 2},
        },
        "workload": {"trace": "trace.jsonl", "arrivals": {"process": "poisson", "rate": 4}, "duration_s": 10},
        "objectives": "interactive",
        "space": {"max_num_seqs": {"type": "choice", "values": [64, 256, 8], "default": 256}},
        "budget": {"observations": 3},
        "confirmation": {"finalists": 1, "arrival_orders": 3, "max_arrival_orders": 3},
        "output": str(folder / "runs"),
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(document))
    run = RunFolder(folder / "runs" / "small")
    run_inline(resolve(read_study(path), path), run)
    (folder / "trace.jsonl").unlink()  # what has ended needs it no more
    return run.path


def invoked(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_choose_prints_figures_or_json_and_ends_with_1_where_nothing_fits(simulated: Path) -> None:
    done = invoked("choose", simulated, "--slo", "ttft:p99<60s", "--knee", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["simulated"]
    assert document["confirmed"]
    assert document["command"][:2] == ["vllm", "serve"]
    assert {one["metric"] for one in document["figures"]} == {"mean_ttft_ms", "mean_tpot_ms", "p99_ttft_ms"}
    text = invoked("choose", simulated, "--weights", "ttft=2,tpot=1")
    assert "confirmed over 3 runs" in text.stdout
    nothing = invoked("choose", simulated, "--slo", "ttft:p99<1ms")
    assert nothing.exit_code == 1
    assert len(nothing.stderr.strip().splitlines()) == 1
    assert "nearest is" in nothing.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to choose by"),
        (["--slo", "ttft<1"], "--slo: SLO 'ttft<1'"),
        (["--weights", "ttft"], "--weights: 'ttft'"),
        (["--weights", "x=1"], "--weights: 'x'"),
        (["--weights", "ttft=1", "--knee"], "--weights: stands beside --knee"),
    ],
)
def test_a_wish_that_makes_no_sense_is_one_line(simulated: Path, arguments: list[str], said: str) -> None:
    done = invoked("choose", simulated, *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {said}")


def test_export_writes_every_format_after_the_difference(simulated: Path, tmp_path: Path) -> None:
    done = invoked("export", simulated, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert len(written) == 8
    assert "No difference to the default" in done.stdout or "--- default" in done.stdout
    one = invoked("export", simulated, "--trial", 1, "--format", "kubernetes", "--image", "mine:1")
    assert one.exit_code == 0
    service, _ = yaml.safe_load_all(one.stdout)
    assert service["spec"]["template"]["spec"]["containers"][0]["image"] == "mine:1"
    assert service["spec"]["replicas"] == 2
    assert "--- default" in one.stderr
    assert invoked("export", simulated, "--trial", 99).exit_code == 2
    assert invoked("export", simulated, "--format", "env", "--format", "helm").exit_code == 2


def test_compare_lays_runs_side_by_side(simulated: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(simulated, other)
    done = invoked("compare", simulated, other, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["comparable"]
    text = invoked("compare", simulated, other)
    assert "2 runs" in text.stdout
    assert invoked("compare", simulated).exit_code == 2
    assert invoked("compare", simulated, tmp_path).exit_code == 2


def test_the_confirmation_has_intervals_over_runs_and_over_requests(simulated: Path) -> None:
    result = json.loads((simulated / "result.json").read_text())
    (first, *_) = result["confirmation"]
    assert [run["order"] for run in sorted(first["runs"], key=lambda run: run["order"])] == [1, 2, 3]
    low, high = first["runs"][0]["intervals"]["mean_ttft_ms"]
    assert low < first["runs"][0]["metrics"]["mean_ttft_ms"] < high
    assert result["cost"]["confirmation_runs"] == sum(len(one["runs"]) for one in result["confirmation"])
