from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.engine.models import ModelShape
from scoot_ray.load.arrivals import Arrivals, schedule
from scoot_ray.load.trace import Request
from scoot_ray.simulator.batch import Batch
from scoot_ray.simulator.boot import StartRefused
from scoot_ray.simulator.fitted import (
    BadCalibration,
    Fitted,
    LinearCost,
    MeasuredStep,
    boot_fitted,
    fit,
    predict_s,
    read_fitted,
)
from scoot_ray.simulator.service import Load, Service, replay

MODEL = ModelShape("small", 6, 512, 8, 8, 64, 1408, 8192, 2048)
MACHINE = Fitted(8e-3, 4e-4, 1e-4, 3e-8, 4e-7, 3e-3, 5e-3, kv_cache_bytes=1e9, default_block_size=128)


def prompt(tokens: int) -> Batch:
    return Batch(prompt_tokens=tokens, pairs=tokens * (tokens + 1) / 2, prompt_context=tokens, ending=1)


def test_a_calibration_survives_its_file(tmp_path: Path) -> None:
    MACHINE.write(tmp_path / "machine.json")
    assert read_fitted(tmp_path / "machine.json") == MACHINE


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_s": -1.0}, "base_s"),
        ({"kv_cache_bytes": 0.0}, "kv_cache_bytes"),
        ({"per_token_s": "fast"}, "per_token_s"),
        ({"default_block_size": 1.5}, "default_block_size"),
        ({"speed": 1.0}, "speed"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "machine.json"
    MACHINE.write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadCalibration, match=said) as caught:
        read_fitted(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff", b'{"base_s": 1}'])
def test_a_file_that_is_no_calibration(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "machine.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadCalibration, match=r"not a calibration|cannot be read"):
        read_fitted(path)


def test_the_machines_defaults_stand_where_a_configuration_is_silent() -> None:
    machine = Fitted(1e-2, 0, 0, 0, 0, kv_cache_bytes=1e9, default_block_size=128, default_max_num_seqs=64)
    booted = boot_fitted(machine, MODEL, "0.32.0", {"max_num_batched_tokens": 512})
    assert (booted.settings.block_size, booted.settings.max_num_seqs) == (128, 64)
    assert boot_fitted(machine, MODEL, "0.32.0", {"max_num_seqs": 8}).settings.max_num_seqs == 8
    with pytest.raises(StartRefused, match="must be greater than or equal to max_num_seqs"):
        boot_fitted(machine, MODEL, "0.32.0", {"max_num_batched_tokens": 32})


def test_http_is_waited_for_once_and_delays_no_one_else() -> None:
    requests = (Request(0.0, 100, 5),) * 3
    load = Load(requests, schedule(Arrivals("constant", 50.0), requests, count=3), timeout_s=60.0)
    quick = Fitted(8e-3, 4e-4, 1e-4, 0.0, 0.0, kv_cache_bytes=1e9)
    slow = Fitted(8e-3, 4e-4, 1e-4, 0.0, 0.0, request_s=0.5, kv_cache_bytes=1e9)
    seen = [replay(Service(MODEL, machine).boot({}), 1, load, 0.0, (0,)).records for machine in (quick, slow)]
    for early, late in zip(*seen, strict=True):
        assert late.token_times_s == pytest.approx([time_s + 0.5 for time_s in early.token_times_s])


@given(
    constants=st.tuples(*[st.floats(1e-3, 1.0)] * 7),
    scales=st.just((1e-2, 1e-3, 1e-4, 1e-7, 1e-6, 1e-2, 1e-2)),
)
def test_exact_measurements_are_fitted_exactly(constants: tuple[float, ...], scales: tuple[float, ...]) -> None:
    truth = LinearCost(*(constant * scale for constant, scale in zip(constants, scales, strict=True)))
    batches = [prompt(tokens) for tokens in (16, 256, 1024, 1500)]
    batches += [Batch(decodes=n, decode_context=n * context) for n in (1, 8, 64) for context in (20, 500)]
    batches += [Batch(8, 200, prompt_tokens=tokens, ending=1) for tokens in (128, 512)]
    steps = [MeasuredStep(batch, truth.step_s(batch)) for batch in batches]
    steps += [MeasuredStep(batch, truth.step_s(batch) + truth.request_s, from_sending=True) for batch in batches[:3]]
    found = fit(steps)
    for step in steps:
        assert predict_s(found, step) == pytest.approx(step.took_s, rel=1e-6)


def test_constants_are_never_negative() -> None:
    """Steps that get quicker with more tokens, as noise may have it."""
    steps = [MeasuredStep(prompt(tokens), 0.1 - tokens * 1e-5) for tokens in (16, 128, 512, 1024)]
    found = fit(steps)
    assert found.per_token_s == found.per_pair_s == 0.0
    assert found.step_s(prompt(100)) == pytest.approx(0.096, rel=0.05)


def test_work_that_never_comes_apart_is_predicted_all_the_same() -> None:
    truth = LinearCost(1e-2, 1e-3, 1e-4, 0.0, 0.0, 5e-3, 0.0)
    steps = [MeasuredStep(prompt(tokens), truth.step_s(prompt(tokens))) for tokens in (16, 128, 512)]
    assert fit(steps).step_s(prompt(300)) == pytest.approx(truth.step_s(prompt(300)), rel=1e-6)
