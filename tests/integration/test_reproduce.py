"""A trial again on a real Ray, through the pool that tuned it."""

from __future__ import annotations

import json

import pytest

from tests.integration.conftest import Run

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_a_trial_is_started_and_loaded_again_beside_the_run(run: Run) -> None:
    code, _, err = run.tune()
    assert code == 0, err
    before = len(run.events("observed"))
    code, out, err = run.finish(run.start("reproduce", str(run.output), "--trial", "1", "--json"))
    found = json.loads(out)
    assert code == (0 if found["reproduced"] else 1), err  # which of them is the machine's to say
    assert {one["metric"] for one in found["metrics"]} == {"mean_ttft_ms", "mean_tpot_ms"}
    assert all("requests" in one["basis"] for one in found["metrics"])
    assert found["now"][0]["timings"]["start_s"] > 0
    assert found["changes"] == []
    assert len(run.events("observed")) == before
    assert (run.output / "reproduced" / "0001-1" / "trials" / "0001" / "engine.log").is_file()
    assert run.engines() == []
