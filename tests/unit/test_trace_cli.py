"""The ``trace`` verbs as a user meets them, and the memory they take."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scoot_ray.cli import main
from scoot_ray.load.formats import read_trace

BOT = str(Path(__file__).parents[2] / "traces" / "bot.jsonl")
GOOD = '{"timestamp": 5, "input_length": 9, "output_length": 2}\n'


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["trace", *arguments], env=env)


def rows_of(done: Result) -> list[dict[str, object]]:
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_info_as_text_and_as_one_document() -> None:
    text = run("info", BOT)
    assert text.exit_code == 0
    assert text.stdout.startswith("format          native\nrows            1,000\n")
    document = json.loads(run("info", BOT, "--json").stdout)
    assert (document["format"], document["rows"], document["sessions"]["count"]) == ("native", 1000, 271)
    assert document["sha256"] == read_trace(BOT).sha256


def test_info_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run("info", BOT, "--png", str(tmp_path / "a.png")).exit_code == 0
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_convert_keeps_all_and_azure_lengths_and_times(tmp_path: Path) -> None:
    native, azure = tmp_path / "native", tmp_path / "azure"
    assert run("convert", BOT, "--out", str(native)).stderr == "1000 requests written (native read)\n"
    for same, row in zip(read_trace(native).requests, read_trace(BOT).requests, strict=True):
        assert same == replace(row, timestamp_s=same.timestamp_s)
        assert same.timestamp_s == pytest.approx(row.timestamp_s, abs=1e-6)
    assert run("convert", BOT, "--to", "azure", "--out", str(azure)).exit_code == 0
    for one, two in zip(read_trace(azure).requests, read_trace(BOT).requests, strict=True):
        assert one.timestamp_s == pytest.approx(two.timestamp_s, abs=1e-5)
        assert (one.input_tokens, one.output_tokens) == (two.input_tokens, two.output_tokens)


def test_sample_slices_and_picks() -> None:
    assert len(rows_of(run("sample", BOT, "--skip", "10", "--rows", "5"))) == 5
    random = rows_of(run("sample", BOT, "--random", "7", "--rows", "100", "--seed", "1"))
    assert len(random) == 7
    assert random == rows_of(run("sample", BOT, "--random", "7", "--rows", "100", "--seed", "1"))
    assert 100 < len(rows_of(run("sample", BOT, "--fraction", "0.3"))) < 500
    assert rows_of(run("sample", BOT, "--from", "10", "--until", "12"))[0]["timestamp"] == 0


def test_scale_reaches_the_rate(tmp_path: Path) -> None:
    out = str(tmp_path / "fast")
    assert run("scale", BOT, "--rate", "40", "--out", out).exit_code == 0
    assert json.loads(run("info", out, "--json").stdout)["arrivals"]["mean_rate"] == pytest.approx(40, rel=1e-3)


def test_generate_makes_as_many_rows_as_it_read() -> None:
    rows = rows_of(run("generate", BOT, "--fit-rows", "200"))
    assert len(rows) == 200
    assert len(rows_of(run("generate", BOT, "--rows", "30", "--rate", "9"))) == 30


def test_anonymize_names_anew_each_time_unless_salted() -> None:
    env = {"SALT": "0123456789abcdef"}
    one, two = run("anonymize", BOT), run("anonymize", BOT)
    assert one.stdout != two.stdout
    assert run("anonymize", BOT, "--salt-env", "SALT", env=env).stdout == (
        run("anonymize", BOT, "--salt-env", "SALT", env=env).stdout
    )
    sharing = [row["hash_ids"] for row in rows_of(one)]
    assert len({ids[0] for ids in sharing if isinstance(ids, list)}) == 1  # the system prompt of all


def test_broken_rows_are_said(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text(GOOD + "{broken\n" + GOOD)
    done = run("convert", str(path), "--max-broken", "1")
    assert len(rows_of(done)) == 2
    assert f"note: {path}: 1 broken rows are left out, such as {path}:2: line: is not JSON at column 2" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["info", "missing"], "missing: cannot be read"),
        (["convert", BOT, "--out", "/proc/nowhere/x"], "out: /proc/nowhere/x: cannot be written"),
        (["sample", BOT, "--from", "1e9"], "none of its 1000 requests is kept"),
        (["sample", BOT, "--random", "5", "--fraction", "0.5"], "random: stands beside fraction"),
        (["sample", BOT, "--random", "1001"], "random: 1001 of 1000 rows"),
        (["sample", BOT, "--fraction", "2"], "fraction: 2.0"),
        (["sample", BOT, "--rows", "0"], "slice: keeps nothing"),
        (["scale", BOT], "rate: allowed either --rate or --factor"),
        (["scale", BOT, "--rate", "-1"], "factor: -"),
        (["generate", BOT, "--rows", "-1"], "rows: -1"),
        (["anonymize", BOT, "--salt-env", "NOT_SET_ANYWHERE"], "salt_env: NOT_SET_ANYWHERE is not set"),
        (["anonymize", BOT, "--salt-env", "SHORT"], "salt: has 3 bytes"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], said: str) -> None:
    done = run(*arguments, env={"SHORT": "abc"})
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_a_failed_conversion_leaves_the_old_file(tmp_path: Path) -> None:
    path, out = tmp_path / "t", tmp_path / "out"
    path.write_text(GOOD + "{broken\n")
    out.write_text("old")
    assert run("convert", str(path), "--out", str(out)).exit_code == 2
    assert out.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [out, path]


def test_a_trace_is_rewritten_in_place(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text(GOOD * 3)
    assert run("scale", str(path), "--factor", "2", "--out", str(path)).exit_code == 0
    assert len(read_trace(path).requests) == 3


ROWS, TEXT = 2000, "word " * 1000


def native(row: int) -> str:
    return (
        json.dumps({"timestamp": row, "prompt": f"{row} {TEXT}", "output_length": 3, "session": str(row % 900)}) + "\n"
    )


def sharegpt(row: int) -> str:
    turns = [{"from": "human", "value": f"{row} {TEXT}"}, {"from": "gpt", "value": "answer"}]
    return ("[" if row == 0 else ",") + json.dumps({"id": str(row), "conversations": turns}) + "]" * (row == ROWS - 1)


@pytest.fixture(scope="module", params=[native, sharegpt])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    line: Callable[[int], str] = request.param
    path = tmp_path_factory.mktemp("large") / "trace"
    with path.open("w") as file:
        file.writelines(line(row) for row in range(ROWS))
    assert path.stat().st_size > 10_000_000
    return path


@pytest.mark.parametrize(
    "verb",
    [
        ["info", "--json"],
        ["convert"],
        ["anonymize"],
        ["scale", "--factor", "2"],
        ["sample", "--random", "1500"],
        ["sample", "--fraction", "0.9"],
    ],
    ids=" ".join,
)
def test_10_mb_pass_through_less_than_5(large: Path, verb: list[str]) -> None:
    out = [] if verb[0] == "info" else ["--out", str(large.with_name("out"))]
    run("info", BOT)  # imports are no part of it
    tracemalloc.start()
    done = run(verb[0], str(large), *verb[1:], *out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert done.exit_code == 0, done.output
    assert peak < 5_000_000
